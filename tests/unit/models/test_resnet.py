"""The network: sizes of the papers, shortcuts, experts, initialisation."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from ltbench.errors import InputError
from ltbench.method import Architecture
from ltbench.models.build import build_network, count_macs, count_parameters
from ltbench.models.heads import CosineHead, LinearHead
from ltbench.models.resnet import BLOCKS_PER_STAGE, BasicBlock, ExpertResNet


def build(
    request: Architecture, backbone: str = "resnet8", classes: int = 5, seed: int = 0
) -> ExpertResNet:
    return build_network(backbone, classes, request, torch.Generator().manual_seed(seed))


def images(n: int = 2, size: int = 8) -> Tensor:
    return torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("request_", "parameters"),
    [
        (Architecture(3, "cosine", 30.0, reduced=True), 783_856),
        (Architecture(1, "cosine"), 469_904),
        (Architecture(1, "linear"), 470_004),
    ],
)
def test_published_parameter_counts(request_: Architecture, parameters: int) -> None:
    assert count_parameters(build(request_, "resnet32", 100)) == parameters


@pytest.mark.parametrize("backbone", BLOCKS_PER_STAGE)
@pytest.mark.parametrize("experts", [1, 3])
@pytest.mark.parametrize("head", ["linear", "cosine"])
@pytest.mark.parametrize("size", [8, 32])
def test_logits_have_the_shape_of_the_contract(
    backbone: str, experts: int, head: str, size: int
) -> None:
    network = build(Architecture(experts, head, reduced=experts > 1), backbone).eval()  # type: ignore[arg-type]
    assert network(images(2, size)).shape == (2, experts, 5)


def test_depth_is_that_of_the_name() -> None:
    """6n + 2 layers with weights: stem, two per block, head."""
    for name, blocks in BLOCKS_PER_STAGE.items():
        network = build(Architecture(), name)
        layers = sum(isinstance(m, torch.nn.Conv2d | LinearHead) for m in network.modules())
        assert layers == 6 * blocks + 2 == int(name.removeprefix("resnet"))


@pytest.mark.parametrize(("inputs", "outputs", "stride"), [(16, 16, 1), (16, 32, 2), (16, 24, 2)])
def test_shortcut_is_option_a(inputs: int, outputs: int, stride: int) -> None:
    """Every second pixel; the missing channels are zeros, half of them on either side."""
    x = torch.randn(2, inputs, 6, 6, generator=torch.Generator().manual_seed(0))
    result = BasicBlock(inputs, outputs, stride).shortcut(x)
    before = (outputs - inputs) // 2
    assert result.shape == (2, outputs, 6 // stride, 6 // stride)
    for c in range(outputs):
        for i in range(6 // stride):
            for j in range(6 // stride):
                inside = before <= c < before + inputs
                expected = x[:, c - before, i * stride, j * stride] if inside else torch.zeros(2)
                assert torch.equal(result[:, c, i, j], expected)


def test_experts_share_stem_and_first_stage_and_nothing_else() -> None:
    network = build(Architecture(3, "cosine", reduced=True))
    x = images()
    network.eval()
    before = network(x).detach()
    for e in range(3):
        loss = network(x)[:, e].square().sum()
        network.zero_grad(set_to_none=True)
        loss.backward()
        for other, expert in enumerate(network.experts):
            touched = [bool(p.grad is not None and p.grad.any()) for p in expert.parameters()]
            assert any(touched) == all(touched) == (other == e)
        assert network.conv.weight.grad is not None
        assert network.conv.weight.grad.any()
    with torch.no_grad():
        for parameter in network.experts[1].parameters():
            parameter.mul_(2.0).add_(0.1)
    after = network(x).detach()
    assert torch.equal(after[:, [0, 2]], before[:, [0, 2]])
    assert not torch.equal(after[:, 1], before[:, 1])
    with torch.no_grad():
        network.conv.weight.mul_(-1)
    moved = network(x).detach()
    assert all(not torch.equal(moved[:, e], after[:, e]) for e in range(3))


def test_experts_start_from_different_weights() -> None:
    network = build(Architecture(2, "cosine"))
    one, two = (dict(expert.named_parameters()) for expert in network.experts)
    for name, value in one.items():
        if "bn" not in name:
            assert not torch.equal(value, two[name]), name


def test_reduced_experts_have_three_quarters_of_the_width() -> None:
    full, reduced = (build(Architecture(2, reduced=r)) for r in (False, True))
    shapes = []
    for network in (full, reduced):
        expert = network.experts[0]
        shapes.append(
            [network.conv.weight.shape[0]]
            + [getattr(expert, stage)[0].conv1.weight.shape[0] for stage in ("stage2", "stage3")]
        )
    assert shapes == [[16, 32, 64], [16, 24, 48]]


def test_initial_weights_come_from_the_generator_alone() -> None:
    state = torch.get_rng_state()
    first = build(Architecture(2, "cosine"), seed=4)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(99)
    second, other = (
        build(Architecture(2, "cosine"), seed=4),
        build(Architecture(2, "cosine"), seed=5),
    )
    for (name, one), two, three in zip(
        first.named_parameters(), second.parameters(), other.parameters(), strict=True
    ):
        assert torch.equal(one, two), name
        if "bn" not in name:
            assert not torch.equal(one, three), name


def test_nothing_of_the_network_is_left_to_the_global_generator() -> None:
    networks = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        networks.append(build(Architecture(1, "linear")).state_dict())
    assert all(torch.equal(networks[0][key], networks[1][key]) for key in networks[0])


def test_cosine_head_is_scaled_cosine() -> None:
    head = CosineHead(4, 3, 30.0)
    head.reset(torch.Generator().manual_seed(0))
    features = torch.randn(5, 4, generator=torch.Generator().manual_seed(1))
    logits = head(features)
    for i in range(5):
        for c in range(3):
            cosine = F.cosine_similarity(features[i], head.weight[:, c], dim=0)
            assert logits[i, c].item() == pytest.approx(30 * cosine.item(), abs=1e-4)
    torch.testing.assert_close(head(7 * features), logits)
    torch.testing.assert_close(head.weight.norm(dim=0), torch.ones(3))


def test_the_head_works_in_float32_under_autocast() -> None:
    network = build(Architecture(2, "cosine"))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = network(images())
    assert logits.dtype == torch.float32


def test_macs_of_the_smallest_network_by_hand() -> None:
    def conv(inputs: int, outputs: int, side: int) -> int:
        return 9 * inputs * outputs * side * side

    expected = (
        conv(3, 16, 8)
        + 2 * conv(16, 16, 8)
        + conv(16, 32, 4) + conv(32, 32, 4)
        + conv(32, 64, 2) + conv(64, 64, 2)
        + 64 * 5
    )  # fmt: skip
    assert count_macs("resnet8", 5, Architecture(), 8) == expected


@pytest.mark.parametrize("experts", [0, -1])
def test_no_network_without_experts(experts: int) -> None:
    with pytest.raises(InputError, match="must be a whole number of at least 1"):
        Architecture(experts)


def test_an_unknown_head_is_refused() -> None:
    with pytest.raises(InputError, match="must be 'linear' or 'cosine'"):
        Architecture(1, "mlp")  # type: ignore[arg-type]
