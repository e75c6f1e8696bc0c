"""How an epoch is cut into batches."""

from __future__ import annotations

import torch
from torch import nn

from ltbench.errors import InputError
from ltbench.models.network import ExpertNetwork


def batch_bounds(images: int, size: int, *, smallest: int = 1) -> list[slice]:
    """Consecutive slices of ``size`` images; the last one may be smaller.

    A last batch of fewer than ``smallest`` images is joined to the batch before it: no image is left
    out, and only a training that could not run at all is cut otherwise.
    """
    starts = list(range(0, images, size))
    if len(starts) > 1 and images - starts[-1] < smallest:
        starts.pop()
    return [slice(a, b) for a, b in zip(starts, [*starts[1:], images], strict=True)]


def smallest_batch(network: nn.Module, image_size: int) -> int:
    """1, or 2 where a BatchNorm that learns would see a single value of each channel of one image.

    There it has no variance, which PyTorch refuses: images of at most 4 pixels arrive at the last
    stage as one. The network is run once, on a black image, and left as it is.
    """
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d) and m.training]
    values: list[int] = []
    handles = [
        norm.register_forward_hook(
            lambda module, inputs, output: values.append(output[0, 0].numel())
        )
        for norm in norms
    ]
    modes = [(module, module.training) for module in network.modules()]
    weight = next(network.parameters())
    try:
        network.eval()
        with torch.no_grad():
            blank = network.blank(image_size) if isinstance(network, ExpertNetwork) else None
            if blank is None:
                blank = torch.zeros(1, 3, image_size, image_size)
            network(blank.to(weight.device))
    finally:
        for handle in handles:
            handle.remove()
        for module, training in modes:
            module.training = training
    return 2 if 1 in values else 1


def check_batches(batches: list[slice], smallest: int, image_size: int) -> None:
    """Raises :class:`InputError`, one line, where a batch is smaller than can be trained on."""
    if any(batch.stop - batch.start < smallest for batch in batches):
        raise InputError(
            f"a batch of one image of {image_size} x {image_size} pixels cannot be trained on: at the "
            "last stage BatchNorm would have one value of a channel; recipe.batch_size must be at "
            f"least {smallest}"
        )
