"""Heads on frozen features: their shapes, first weights, input, adapter and bias."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from ltbench.backbone import Backbone, ChosenBackbone, FeatureModel
from ltbench.errors import InputError
from ltbench.method import Architecture
from ltbench.models.build import build_network, network_cost
from ltbench.models.fold import folded
from ltbench.models.frozen import Adapter, FeatureCosineHead, FeatureLinearHead, FrozenNetwork
from ltbench.registry import load_backbones

DIM, CLASSES = 6, 4
MODEL = FeatureModel(DIM)
SADE = Architecture(3, "cosine", 30.0, reduced=True)


def frozen() -> type[Backbone]:
    return load_backbones().get("frozen").cls


def build(model: FeatureModel = MODEL, request: Architecture | None = None) -> FrozenNetwork:
    chosen = ChosenBackbone(frozen(), 0, model)
    rng = torch.Generator().manual_seed(0)
    network = build_network(chosen, CLASSES, request or Architecture(), rng)
    assert isinstance(network, FrozenNetwork)
    return network.eval()


def rows(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("request_", [Architecture(), SADE, replace(SADE, shared_head=True)])
@pytest.mark.parametrize("own", [False, True])
def test_logits_and_features_have_their_shapes(request_: Architecture, own: bool) -> None:
    experts = request_.experts
    inputs = rows(5, experts, DIM) if own else rows(5, DIM)
    logits, features = build(request=request_).with_features(inputs)
    assert logits.shape == (5, experts, CLASSES)
    assert features.shape == (5, experts, DIM)
    expected = inputs if own else inputs[:, None].expand(5, experts, DIM)
    assert torch.equal(features, expected)


def test_each_expert_is_given_its_own_features() -> None:
    network, inputs = build(request=SADE), rows(5, 3, DIM)
    changed = inputs.clone()
    changed[:, 1] += 1
    differs = (network(inputs) != network(changed)).any(dim=2).all(dim=0)
    assert differs.tolist() == [False, True, False]


def test_weights_follow_from_the_seed_and_experts_differ() -> None:
    one, two = build(request=SADE), build(request=SADE)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    heads = [head.weight for head in one.heads()]
    assert not torch.equal(heads[0], heads[1])


def test_the_protocol_may_choose_the_head_of_all_methods() -> None:
    (linear,) = build(replace(MODEL, head="linear"), Architecture(1, "cosine")).heads()
    assert isinstance(linear, FeatureLinearHead)
    (cosine,) = build(replace(MODEL, head="cosine", scale=7.0)).heads()
    assert isinstance(cosine, FeatureCosineHead)
    assert cosine.scale == 7.0
    (own,) = build(MODEL, Architecture(1, "cosine", 16.0)).heads()
    assert own.scale == 16.0


@pytest.mark.parametrize("head", ["linear", "cosine"])
def test_with_a_bias_or_without(head: str) -> None:
    (with_bias,) = build(replace(MODEL, head=head)).heads()
    (without,) = build(replace(MODEL, head=head, head_bias=False)).heads()
    assert with_bias.bias.shape == (CLASSES,)
    assert without.bias is None
    inputs = rows(5, DIM)
    with torch.no_grad():
        with_bias.bias.copy_(torch.arange(CLASSES))
    weightless = with_bias(inputs) - torch.arange(CLASSES)
    with torch.no_grad():
        with_bias.bias.zero_()
    torch.testing.assert_close(weightless, with_bias(inputs))


def test_an_adapter_of_its_own_for_each_expert() -> None:
    network = build(replace(MODEL, adapter=0.2, head="linear"), Architecture(2))
    inputs = rows(5, DIM)
    adapters = [module for module in network.modules() if isinstance(module, Adapter)]
    assert len(adapters) == 2
    assert not torch.equal(adapters[0].weight, adapters[1].weight)
    _, features = network.with_features(inputs)
    for e, adapter in enumerate(adapters):
        expected = 0.2 * inputs @ adapter.weight.T + 0.8 * inputs
        torch.testing.assert_close(features[:, e], expected)


@pytest.mark.parametrize("kind", ["none", "centre", "standard", "l2"])
def test_the_input_is_measured_on_the_training_features(kind: str) -> None:
    network, train = build(replace(MODEL, input=kind)), 3 * rows(50, DIM) + 2
    train[:, 0] = 1.0  # never changes
    network.measure(train)
    found = network.trunk_of(train)
    expected = {
        "none": train,
        "centre": train - train.mean(0),
        "standard": (train - train.mean(0)) / train.std(0, correction=0).clamp_min(1e-6),
        "l2": train / train.norm(dim=1, keepdim=True),
    }[kind]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    assert torch.isfinite(found).all()
    assert not any(buffer.requires_grad for buffer in network.buffers())


@pytest.mark.parametrize("head", ["linear", "cosine"])
def test_a_start_from_class_means_is_the_nearest_direction(head: str) -> None:
    """Zero epochs: the class whose mean has the largest cosine with the feature."""
    network = build(replace(MODEL, head=head, input="l2"), Architecture(2))
    train, labels = rows(40, DIM), torch.arange(40) % CLASSES
    network.measure(train)
    network.start_from(network.class_means(train, labels, CLASSES))
    test = rows(30, DIM, seed=2)
    means = []
    for c in range(CLASSES):  # a transcription, image by image
        own = [F.normalize(x, dim=0) for x, y in zip(train, labels, strict=True) if y == c]
        means.append(F.normalize(sum(own, torch.zeros(DIM)) / len(own), dim=0))
    expected = [max(range(CLASSES), key=lambda c: float(x @ means[c])) for x in test]
    for e in range(2):
        assert network(test)[:, e].argmax(dim=1).tolist() == expected


def test_it_costs_one_product_of_numbers_and_classes_for_each_expert() -> None:
    chosen = ChosenBackbone(frozen(), 0, MODEL)
    macs, parameters, _ = network_cost(chosen, CLASSES, SADE, 0)
    assert macs == 3 * DIM * CLASSES
    assert parameters == 3 * (DIM + 1) * CLASSES
    adapted = replace(chosen, features=replace(MODEL, adapter=0.2))
    assert network_cost(adapted, CLASSES, SADE, 0)[0] == 3 * (DIM * CLASSES + DIM * DIM)


def test_folding_and_reduced_change_nothing() -> None:
    network, inputs = build(request=SADE), rows(5, DIM)
    assert torch.equal(folded(network)(inputs), network(inputs))
    full = build(request=replace(SADE, reduced=False))
    assert torch.equal(full(inputs), network(inputs))


def test_without_features_it_cannot_be_built_and_others_cannot_be_built_on_them() -> None:
    with pytest.raises(InputError, match="takes features, not images"):
        frozen()().build(CLASSES, Architecture(), 0)
    resnet = load_backbones().get("resnet8").cls
    with pytest.raises(InputError, match="takes images, not features"):
        ChosenBackbone(resnet, 0, MODEL).build(CLASSES, Architecture())
