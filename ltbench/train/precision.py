"""Where bfloat16 cannot be trusted to train."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ltbench.errors import InputError


def check_precision(network: nn.Module, image_size: int, device: torch.device) -> None:
    """Raises :class:`InputError`, one line, where bfloat16 training on a CPU would give noise.

    Measured (torch 2.14.1): of a convolution with a stride that sees a map of one pixel, the CPU's
    bfloat16 gradient of the weights is partly memory that nobody wrote, in some steps 1e28 or NaN.
    Images of at most 8 pixels get there in the ResNets for large images. The network is run once, on
    a black image, and left as it is.
    """
    if device.type != "cpu":
        return
    seen: list[bool] = []

    def look(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        assert isinstance(module, nn.Conv2d)
        wide = module.kernel_size != (1, 1) and module.stride != (1, 1)
        seen.append(wide and inputs[0].shape[2:] == (1, 1))

    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    handles = [module.register_forward_hook(look) for module in convolutions]
    modes = [(module, module.training) for module in network.modules()]
    try:
        network.eval()
        with torch.no_grad():
            network(torch.zeros(1, 3, image_size, image_size))
    finally:
        for handle in handles:
            handle.remove()
        for module, training in modes:
            module.training = training
    if any(seen):
        raise InputError(
            f"precision bf16 cannot train on images of {image_size} pixels on a CPU: a convolution with "
            "a stride sees a single pixel, where PyTorch's gradient is wrong; use float32, larger images "
            "or a backbone for small ones"
        )
