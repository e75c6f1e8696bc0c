"""The trained network as a test-time strategy gets it: uint8 images in, logits out."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from ltbench.train.arithmetic import tf32
from ltbench.train.augment import normalise


class ImageNetwork(nn.Module):
    """A network with its normalisation on its device.

    forward: ``(B, 3, H, W)`` uint8 images, as :attr:`UnlabelledTest.images` gives them, to
    ``(B, E, C)`` float32 logits on the CPU, with gradients where they are enabled.
    """

    def __init__(self, network: nn.Module, mean: Tensor, std: Tensor, device: torch.device) -> None:
        super().__init__()
        self.network = network.to(device)
        self.mean, self.std = mean.to(device), std.to(device)
        self.device = device

    def forward(self, images: Tensor) -> Tensor:
        inputs = normalise(images.to(self.device), self.mean, self.std)
        with tf32(convolutions=False):
            logits: Tensor = self.network(inputs).float().cpu()
        return logits

    def private_copy(self) -> ImageNetwork:
        """One that nobody else holds, in evaluation mode: what happens to it stays there."""
        return copy.deepcopy(self).eval()
