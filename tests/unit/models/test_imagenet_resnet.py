"""Backbones for large images: sizes of the published networks, splits, initialisation, folding."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import resnet as published

from ltbench.backbone import ChosenBackbone
from ltbench.errors import InputError
from ltbench.method import Architecture
from ltbench.models import imagenet_resnet
from ltbench.models.adaptation import use_batch_statistics
from ltbench.models.build import build_network, network_cost
from ltbench.models.fold import folded
from ltbench.models.network import SplitNetwork
from ltbench.registry import load_backbones

PLAIN = Architecture(1, "linear")
THREE = Architecture(3, "cosine", 30.0)
REDUCED = Architecture(3, "cosine", 30.0, reduced=True)


def of(name: str, shared: int | None = None) -> ChosenBackbone:
    return ChosenBackbone.of(load_backbones().get(name).cls, shared)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(
    ("name", "classes", "request_", "shared", "gmac", "million"),
    [
        ("resnext50_32x4d", 1000, REDUCED, 2, 6.05, 42.9),
        ("resnet152", 365, THREE, 2, 29.16, 171.5),
        ("resnet152", 365, THREE, 3, 13.13, 90.3),
        ("resnet50", 8142, REDUCED, 2, 5.80, 76.6),
        ("resnet10", 1000, Architecture(1, "cosine", 30.0), 2, 0.89, 5.4),
        ("resnet10", 1000, REDUCED, 2, 1.17, 9.4),
        ("resnext50_32x4d", 1000, Architecture(1, "cosine", 30.0), 2, 4.23, None),
        ("resnet152", 365, Architecture(1, "cosine", 30.0), 2, 11.51, None),
        ("resnet50", 8142, Architecture(1, "cosine", 30.0), 2, 4.10, None),
    ],
)
def test_sizes_are_those_of_the_published_configurations(
    name: str, classes: int, request_: Architecture, shared: int, gmac: float, million: float | None
) -> None:
    macs, parameters, _ = network_cost(of(name, shared), classes, request_, 224)
    assert macs / 1e9 == pytest.approx(gmac, abs=0.0051)
    if million is not None:
        assert parameters / 1e6 == pytest.approx(million, abs=0.051)


@pytest.mark.parametrize("name", ["resnet50", "resnext50_32x4d", "resnet152"])
def test_one_expert_of_full_width_has_the_weights_of_torchvision(name: str) -> None:
    with torch.device("meta"):
        theirs = getattr(published, name)(num_classes=7).state_dict()
        ours = of(name).build(7, PLAIN).state_dict()
    found = {
        key.removeprefix("experts.0.").removeprefix("branch.").removeprefix("trunk."): value.shape
        for key, value in ours.items()
    }
    found = {key.replace("head.", "fc."): shape for key, shape in found.items()}
    assert found == {key: value.shape for key, value in theirs.items()}


def test_one_expert_computes_what_torchvision_computes() -> None:
    network = build_network("resnet50", 5, PLAIN, seeded()).eval()
    theirs = published.resnet50(num_classes=5).eval()
    own = {
        key.removeprefix("experts.0.").removeprefix("branch.").removeprefix("trunk."): value
        for key, value in network.state_dict().items()
    }
    theirs.load_state_dict({key.replace("head.", "fc."): value for key, value in own.items()})
    images = torch.randn(2, 3, 32, 32, generator=seeded(1))
    with torch.no_grad():
        torch.testing.assert_close(network(images)[:, 0], theirs(images), rtol=1e-4, atol=1e-5)


def test_only_the_stages_behind_the_shared_one_are_narrower() -> None:
    for shared, widths in (
        (1, (64, 96, 192, 384)),
        (2, (64, 128, 192, 384)),
        (3, (64, 128, 256, 384)),
    ):
        with torch.device("meta"):
            network = of("resnet10", shared).build(3, REDUCED)
        state = network.state_dict()
        for stage, width in enumerate(widths, 1):
            where = "trunk" if stage <= shared else "experts.2.branch"
            assert len(state[f"{where}.layer{stage}.0.conv1.weight"]) == width


@pytest.mark.parametrize("share", ["stage1", "nothing", "features"])
@pytest.mark.parametrize("shared_head", [False, True])
@pytest.mark.parametrize("head", ["linear", "cosine"])
def test_every_way_to_share_has_its_shapes_and_learns(
    share: str, shared_head: bool, head: str
) -> None:
    request = Architecture(
        2,
        head,
        30.0,
        reduced=True,
        share=share,
        shared_head=shared_head,  # type: ignore[arg-type]
    )
    network = build_network("resnet10", 5, request, seeded())
    logits, features = network.with_features(torch.randn(4, 3, 32, 32, generator=seeded(1)))
    assert logits.shape == (4, 2, 5)
    assert features.shape == (4, 2, network.feature_width) == (4, 2, 384)
    assert len(list(network.heads())) == (1 if shared_head else 2)
    weights = torch.randn(logits.shape, generator=seeded(2))
    (logits * weights).sum().backward()  # type: ignore[no-untyped-call]
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


def test_weights_follow_from_the_generator_alone_with_the_fan_of_the_family() -> None:
    torch.manual_seed(5)
    first = build_network("resnet10", 5, REDUCED, seeded()).state_dict()
    torch.manual_seed(6)
    again = build_network("resnet10", 5, REDUCED, seeded()).state_dict()
    other = build_network("resnet10", 5, REDUCED, seeded(1)).state_dict()
    assert all(torch.equal(value, again[key]) for key, value in first.items())
    name = "trunk.conv1.weight"
    assert not torch.equal(first[name], other[name])
    assert first[name].std().item() == pytest.approx((2 / (64 * 49)) ** 0.5, rel=0.05)  # fan-out
    small = build_network("resnet8", 5, PLAIN, seeded()).state_dict()["conv.weight"]
    assert small.std().item() == pytest.approx((2 / (3 * 9)) ** 0.5, rel=0.1)  # fan-in


@pytest.mark.parametrize("share", ["stage1", "nothing", "features"])
@pytest.mark.parametrize("name", ["resnet10", "resnet50"])
def test_folding_leaves_the_function_as_it_is(
    name: str, share: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fewer = imagenet_resnet._KINDS[name]._replace(layers=(2, 1, 1, 1))  # the same blocks
    monkeypatch.setitem(imagenet_resnet._KINDS, name, fewer)
    request = Architecture(2, "cosine", 30.0, reduced=True, share=share)  # type: ignore[arg-type]
    network = with_statistics(build_network(name, 5, request, seeded())).double().eval()
    quick = folded(network)
    images = torch.randn(2, 3, 32, 32, generator=seeded(1)).double()
    assert isinstance(network, SplitNetwork)
    assert isinstance(quick, SplitNetwork)
    with torch.no_grad():
        exact = network.experts[1](network.trunk_of(images))
        found = quick.experts[1](quick.trunk_of(images))
    torch.testing.assert_close(found, exact, atol=1e-10, rtol=1e-10)
    assert exact.std() > 1e-3
    left = [m for m in quick.modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(left) == (2 if share == "features" else 0)  # an expert's own, behind no convolution


def test_batch_statistics_are_not_folded() -> None:
    network = build_network("resnet10", 5, PLAIN, seeded())
    norms = use_batch_statistics(network)
    left = [m for m in folded(network).modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(left) == len(norms) > 10


def test_half_precision_ends_before_the_heads() -> None:
    network = build_network("resnet10", 5, REDUCED, seeded())
    images = torch.randn(4, 3, 32, 32, generator=seeded(1))
    plain = network(images)
    with torch.autocast("cpu", torch.bfloat16):
        logits, features = network.with_features(images)
    assert logits.dtype == features.dtype == torch.float32
    assert not torch.equal(logits, plain)
    assert (logits - plain).abs().max() < 3


def test_a_stage_that_cannot_be_the_last_shared_one_is_refused() -> None:
    with pytest.raises(
        InputError, match=r"shared = 4 must be one of: 1, 2, 3 for backbone 'resnet50'"
    ):
        of("resnet50", 4)
    with pytest.raises(InputError, match=r"shared = 2 is not known for backbone 'resnet32'"):
        of("resnet32", 2)


def with_statistics(network: nn.Module) -> nn.Module:
    rng = seeded(3)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            values: list[Tensor | None] = [module.running_mean, module.running_var]
            assert values[0] is not None
            assert values[1] is not None
            values[0].normal_(0, 0.3, generator=rng)
            values[1].uniform_(0.5, 2, generator=rng)
            nn.init.uniform_(module.weight, 0.5, 1.5, generator=rng)
            nn.init.normal_(module.bias, 0, 0.2, generator=rng)
    return network
