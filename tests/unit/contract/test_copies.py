"""Copies of a network."""

from __future__ import annotations

import torch
from torch import nn

from ltbench.contract.copies import Copies


class Shared(nn.Module):
    """Two names for one weight, one weight that is frozen, buffers, and a layout of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.again = self.first
        self.tied = nn.Conv2d(3, 4, 3)
        self.tied.weight = self.first.weight
        self.norm = nn.BatchNorm2d(4).requires_grad_(False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.norm(self.first(images) + self.tied(images))
        return out


def test_a_copy_is_equal_and_shares_nothing() -> None:
    network = Shared().eval()
    copies = Copies(network)
    one, other = copies.make(), copies.make()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    images = torch.randn(2, 3, 5, 5)
    assert not one.training
    assert torch.equal(one(images), network(images))
    assert one.again is one.first
    assert one.tied.weight is one.first.weight
    assert one.first.weight.is_contiguous(memory_format=torch.channels_last)
    assert [p.requires_grad for p in one.parameters()] == [
        p.requires_grad for p in network.parameters()
    ]
    for value in one.state_dict().values():
        value.zero_()
    for held in (network, other, copies.make()):
        assert all(torch.equal(held.state_dict()[name], value) for name, value in before.items())


def test_what_is_copied_is_as_it_was() -> None:
    network = nn.Linear(2, 2)
    copies, weight = Copies(network), network.weight.detach().clone()
    nn.init.zeros_(network.weight)
    assert torch.equal(copies.make().weight, weight)
