"""Experts in one pass of grouped convolutions are the same function as one after another."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from ltbench.method import Architecture
from ltbench.models.build import build_network
from ltbench.models.grouped import Grouped, can_group
from ltbench.models.resnet import ExpertResNet

REQUESTS = [
    Architecture(3, head="cosine", reduced=True),
    Architecture(2, shared_head=True),
    Architecture(3, share="nothing"),
]
Outputs = tuple[Tensor, Tensor]


def build(request: Architecture, backbone: str = "resnet14") -> ExpertResNet:
    """In float64, heads included, so that what differs is another function and no rounding."""
    network = build_network(backbone, 5, request, torch.Generator().manual_seed(0)).double()
    network.to(memory_format=torch.channels_last)
    rng = torch.Generator().manual_seed(2)
    for module in network.modules():
        if isinstance(
            module, nn.BatchNorm2d
        ):  # experts that differ, in what they start equal in, too
            for values in (module.weight, module.bias, module.running_mean, module.running_var):
                values.data.uniform_(0.5, 1.5, generator=rng)
    network.through_heads = lambda found: (  # type: ignore[method-assign]
        torch.stack(
            [network.head_of(e)(f) for e, f in zip(network.experts, found, strict=True)], 1
        ),
        torch.stack(list(found), 1),
    )
    return network


def images() -> Tensor:
    return torch.randn(6, 3, 8, 8, generator=torch.Generator().manual_seed(1)).double()


def after_a_pass(
    request: Architecture, grouped: bool, prepare: Callable[[nn.Module], object]
) -> tuple[Outputs, dict[str, Tensor | None], dict[str, Tensor]]:
    network = build(request)
    prepare(network)
    outputs = (Grouped(network) if grouped else network.with_features)(images())
    weights = torch.linspace(-1, 1, outputs[0].numel()).double().view_as(outputs[0])
    ((outputs[0] * weights).sum() + outputs[1].square().sum()).backward()
    gradients = {name: p.grad for name, p in network.named_parameters()}
    return outputs, gradients, network.state_dict()


def frozen_norms(network: nn.Module) -> None:
    network.train()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval().requires_grad_(False)


def untracked(network: nn.Module) -> None:
    """As a group of a divided batch whose statistics the running ones do not follow."""
    network.train()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.track_running_stats = False


@pytest.mark.parametrize("request_", REQUESTS, ids=str)
@pytest.mark.parametrize(
    "prepare", [nn.Module.train, nn.Module.eval, frozen_norms, untracked], ids=lambda f: f.__name__
)
def test_outputs_gradients_and_statistics_are_those_of_the_plain_pass(
    request_: Architecture, prepare: Callable[[nn.Module], object]
) -> None:
    plain, own, state = after_a_pass(request_, False, prepare)
    outputs, gradients, kept = after_a_pass(request_, True, prepare)
    for one, other in zip(plain, outputs, strict=True):
        assert one.shape == other.shape
        assert torch.allclose(one, other, rtol=1e-10, atol=1e-12)
    assert list(own) == list(gradients)
    for name, expected in own.items():
        found = gradients[name]
        if expected is None or found is None:
            assert found is expected, name
            continue
        scale = expected.abs().max().item()
        assert torch.allclose(found, expected, rtol=1e-9, atol=1e-11 * max(scale, 1)), name
    assert list(state) == list(kept)
    for name, expected in state.items():
        assert torch.allclose(kept[name], expected, rtol=1e-12, atol=1e-13), name


def test_running_statistics_move_in_every_expert() -> None:
    network = build(REQUESTS[0]).train()
    before = copy.deepcopy(network.state_dict())
    Grouped(network)(images())
    for name, value in network.state_dict().items():
        moved = "running" in name or "num_batches" in name
        assert torch.equal(value, before[name]) != moved, name


def test_what_cannot_be_grouped_is_told() -> None:
    assert all(can_group(build(request)) for request in REQUESTS)
    assert not can_group(build(Architecture(1)))
    assert not can_group(build(Architecture(3, share="features")))
    changed = build(Architecture(3))
    changed.experts[1].stage2[0].bn1 = nn.Identity()  # type: ignore[index,union-attr]
    assert not can_group(changed)
    other = build(Architecture(3))
    other.experts[2].stage3[0].bn2.momentum = 0.5  # type: ignore[index,union-attr,assignment]
    assert not can_group(other)
    assert not can_group(nn.Linear(2, 2))
