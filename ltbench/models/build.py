"""Networks by the name of their backbone: built, initialised, and what they cost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from ltbench.backbone import ChosenBackbone
from ltbench.errors import ContractError
from ltbench.method import Architecture
from ltbench.models.frozen import Adapter
from ltbench.models.heads import CosineHead, LinearHead
from ltbench.models.network import ExpertNetwork
from ltbench.registry import load_backbones
from ltbench.seeds import everybodys_generator

_SMALL = 64  # pixels

Wanted = str | ChosenBackbone
"""The name of a backbone that is installed or shipped, or a chosen one."""


def build_network(
    backbone: Wanted, classes: int, request: Architecture, generator: torch.Generator
) -> ExpertNetwork:
    """Builds and initialises a network on the CPU, from ``generator`` alone.

    Convolutions: He normal, by fan-in for the ResNets of small images, as in the published CIFAR
    code, by fan-out for the others, as in torchvision. Raises :class:`ContractError` for a plugin
    that builds something else.
    """
    chosen = _chosen(backbone)
    with everybodys_generator(generator.initial_seed()):  # layer constructors draw from it
        network = _built(chosen, classes, request)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode=chosen.cls.fan, generator=generator)
        elif isinstance(module, CosineHead | LinearHead | Adapter):
            module.reset(generator)
    return network


def count_parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def count_macs(backbone: Wanted, classes: int, request: Architecture, image_size: int) -> int:
    """Multiply-accumulate operations of one forward pass of one image (convolutions and heads)."""
    return network_cost(backbone, classes, request, image_size)[0]


def network_cost(
    backbone: Wanted, classes: int, request: Architecture, image_size: int
) -> tuple[int, int, int]:
    """Multiply-accumulates of a forward pass of one image, parameters, and numbers that layers put out.

    A network for large images is built without weights and shown the shape of an image. PyTorch imports its
    compiler for that, two seconds in every process; to compute a small image takes milliseconds.
    """
    macs = activations = 0

    def add(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal macs, activations
        if isinstance(module, nn.Conv2d):
            kernel = module.weight[0].numel()  # of one group
            macs += kernel * output[0].numel()
        elif isinstance(module, CosineHead | nn.Linear):
            macs += module.weight.numel()
        if isinstance(module, nn.Conv2d | nn.BatchNorm2d):
            activations += output[0].numel()

    device = "cpu" if image_size <= _SMALL else "meta"
    with _on_one_thread(), torch.device(device), torch.inference_mode():
        network = _built(_chosen(backbone), classes, request).eval()
        for module in network.modules():
            module.register_forward_hook(add)
        network(network.blank(image_size))
    return macs, count_parameters(network), activations


@contextmanager
def _on_one_thread() -> Iterator[None]:
    """Beside trainings, threads of so small a piece wait for each other many times as long as they work.

    One at a time, as whoever draws from the global generator: building layers does.
    """
    with everybodys_generator():
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)


def _chosen(backbone: Wanted) -> ChosenBackbone:
    if isinstance(backbone, ChosenBackbone):
        return backbone
    return ChosenBackbone.of(load_backbones().get(backbone).cls)


def _built(chosen: ChosenBackbone, classes: int, request: Architecture) -> ExpertNetwork:
    network = chosen.build(classes, request)
    if not isinstance(network, ExpertNetwork):
        raise ContractError(
            f"backbone {chosen.name!r}: build returned {type(network).__name__}; expected an "
            "ltbench.models.network.ExpertNetwork, for example a SplitNetwork"
        )
    return network
