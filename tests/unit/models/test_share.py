"""What experts share: whole networks, branches behind one trunk, one head for all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from ltbench.method import Architecture
from ltbench.models.build import build_network
from ltbench.models.fold import folded
from ltbench.models.resnet import ExpertResNet

REQUESTS = [
    Architecture(3, share=share, shared_head=shared, reduced=reduced)
    for share in ("stage1", "nothing", "features")
    for shared in (False, True)
    for reduced in (False, True)
]


def build(request: Architecture) -> ExpertResNet:
    return build_network("resnet8", 5, request, torch.Generator().manual_seed(0))


def images() -> Tensor:
    return torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("request_", REQUESTS, ids=str)
def test_shapes_folding_and_storing(request_: Architecture, tmp_path: Path) -> None:
    network = build(request_)
    for _ in range(3):
        network.train()(images())  # running statistics
    logits, features = network.eval().with_features(images())
    assert logits.shape == (4, 3, 5)
    assert features.shape == (4, 3, network.feature_width)
    assert torch.equal(logits, network(images()))
    torch.testing.assert_close(folded(network)(images()), logits, atol=1e-4, rtol=1e-4)
    save_file({k: v.contiguous() for k, v in network.state_dict().items()}, tmp_path / "w")
    other = build(request_)
    other.load_state_dict(load_file(tmp_path / "w"))
    assert torch.equal(other.eval()(images()), logits)
    assert len(list(network.heads())) == (1 if request_.shared_head else 3)


@pytest.mark.parametrize(
    ("share", "common"),
    [("nothing", set()), ("stage1", {"conv", "bn", "stage1"}),
     ("features", {"conv", "bn", "stage1", "stage2", "stage3"})],
)  # fmt: skip
def test_an_expert_learns_through_its_own_and_the_common_weights(
    share: Any, common: set[str]
) -> None:
    network = build(Architecture(2, share=share))
    network(images())[:, 1].square().sum().backward()
    learnt = {
        n for n, p in network.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0
    }
    tops = {name.split(".")[0] for name in learnt}
    assert tops - {"experts"} == common
    assert {name.split(".")[1] for name in learnt if name.startswith("experts.")} == {"1"}


def test_a_replaced_head_serves_its_expert_or_all() -> None:
    for shared in (False, True):
        network = build(Architecture(2, shared_head=shared)).eval()
        before = network(images())
        network.set_head(1, torch.nn.Linear(network.feature_width, 5))
        after = network(images())
        assert torch.equal(before[:, 0], after[:, 0]) == (not shared)
        assert not torch.equal(before[:, 1], after[:, 1])
