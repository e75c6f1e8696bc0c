"""A method's network with what its ``build`` makes of it; the same for training and for loading."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from ltbench.errors import ContractError
from ltbench.method import Method, overrides
from ltbench.models.build import Wanted, build_network
from ltbench.models.network import ExpertNetwork
from ltbench.seeds import everybodys_generator


def assemble(
    backbone: Wanted,
    classes: int,
    lineage: Sequence[Method[Any]],
    generator: torch.Generator,
    device: torch.device | None = None,
) -> ExpertNetwork:
    """The network of the last of ``lineage``, on ``device``, as the ``build`` of all before it left it.

    lineage: the method, before it those whose trained networks it starts from, oldest first. The
    own ``build`` of the last is left to :func:`build_extra`, once weights are loaded.
    """
    network = build_network(backbone, classes, lineage[-1].architecture(), generator)
    network.to(device or "cpu", memory_format=torch.channels_last)  # type: ignore[call-overload]
    for method in lineage[:-1]:
        build_extra(method, network, 0)
    return network


def build_extra(method: Method[Any], network: ExpertNetwork, seed: int) -> nn.Module | None:
    """Lets ``method`` build on ``network``; what it returns, also as ``method.extra``.

    Everything ends up on the device of the network. Raises :class:`ContractError` for what is no module.
    """
    if not overrides(method, "build"):
        return None
    device = next(network.parameters()).device
    with everybodys_generator(seed):
        extra = method.build(network)
    if extra is not None and not isinstance(extra, nn.Module):
        raise ContractError(
            f"method {method.name!r}: build returned {type(extra).__name__}; expected a "
            "torch.nn.Module or None"
        )
    network.to(device)
    method.extra = None if extra is None else extra.to(device)
    return method.extra
