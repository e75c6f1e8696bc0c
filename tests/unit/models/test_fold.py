"""Folding BatchNorm away changes how the network computes, not what."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import ltbench
from ltbench.data.digits import load_digits
from ltbench.method import Architecture
from ltbench.models.adaptation import use_batch_statistics
from ltbench.models.build import build_network
from ltbench.models.fold import folded
from ltbench.models.resnet import BasicBlock, Expert, ExpertResNet
from ltbench.train.augment import normalise
from ltbench.train.infer import Inference

PUBLISHED = Path(__file__).parents[3] / "results" / "published" / "digits-lt"
REQUESTS = (Architecture(3, "cosine", 30.0, reduced=True), Architecture(1, "linear"))


def trained(request: Architecture, backbone: str = "resnet32") -> ExpertResNet:
    """As after training: statistics, scales and shifts that do something."""
    network = build_network(backbone, 10, request, torch.Generator().manual_seed(0))
    rng = torch.Generator().manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(0, 0.5, generator=rng)
            module.running_var.uniform_(0.2, 3, generator=rng)
            nn.init.uniform_(module.weight, -0.5, 1.5, generator=rng)
            nn.init.normal_(module.bias, 0, 0.2, generator=rng)
    return network.eval()


def images() -> Tensor:
    return torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("request_", REQUESTS)
def test_the_function_is_the_same(request_: Architecture) -> None:
    """In float64 to its rounding: the formula; in float32 to float32's."""
    network = trained(request_)
    with torch.no_grad():
        quick = folded(network)(images())
        torch.testing.assert_close(quick, network(images()), atol=2e-5, rtol=0)
        exact = features(network.double(), images().double())
        found = features(folded(network), images().double())
        torch.testing.assert_close(found, exact, atol=1e-12, rtol=1e-12)
        assert exact.std() > 0.1


def features(network: nn.Module, x: Tensor) -> Tensor:
    """What the last head gets, before pooling: heads work in float32 whatever comes."""
    assert isinstance(network, ExpertResNet)
    expert = network.experts[-1]
    assert isinstance(expert, Expert)
    shared = network.stage1(F.relu(network.bn(network.conv(x))))
    result: Tensor = expert.stage3(expert.stage2(shared))
    return result


def test_no_batchnorm_is_left_and_the_network_itself_stays() -> None:
    network = trained(REQUESTS[0], "resnet8")
    before = {name: value.clone() for name, value in network.state_dict().items()}
    result = folded(network)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in result.modules())
    after = network.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_the_input_is_not_overwritten() -> None:
    network, block = trained(REQUESTS[1], "resnet8"), BasicBlock(4, 4, 1).eval()
    given, features = images(), torch.randn(2, 4, 8, 8)
    before = given.clone(), features.clone()
    with torch.no_grad():
        folded(network)(given)
        block(features)
    assert torch.equal(given, before[0])
    assert torch.equal(features, before[1])


def test_other_networks_are_returned_as_they_are() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    assert folded(network) is network


def test_other_normalisation_stays() -> None:
    network = trained(REQUESTS[1], "resnet8")
    network.bn = nn.GroupNorm(4, 16)  # type: ignore[assignment]
    with torch.no_grad():
        result = folded(network)
        assert isinstance(result.bn, nn.GroupNorm)
        torch.testing.assert_close(result(images()), network(images()), atol=2e-5, rtol=0)


def test_batch_statistics_stay() -> None:
    """Of a network that was adapted to normalise with each batch, nothing may be folded."""
    network = trained(REQUESTS[1], "resnet8")
    norms = use_batch_statistics(network)
    kept = [module for module in folded(network).modules() if isinstance(module, nn.BatchNorm2d)]
    assert len(kept) == len(norms)


def test_inference_sees_weights_that_changed_since_it_was_made() -> None:
    network = trained(REQUESTS[1], "resnet8")
    run = Inference(network, torch.zeros(3), torch.ones(3), torch.device("cpu"))
    data = np.random.default_rng(0).integers(0, 256, (3, 3, 8, 8), dtype=np.uint8)
    before = run(data.__getitem__, 3)
    with torch.no_grad():
        network.bn.weight.mul_(2)
    assert (run(data.__getitem__, 3) - before).abs().max() > 1e-3


@pytest.mark.parametrize("training", ["ce", "ride", "sade"])
def test_scores_of_trained_networks_are_equal(training: str) -> None:
    """Predictions of every expert on every test image, with the committed weights."""
    (weights,) = (PUBLISHED / training).glob("0-*/weights.safetensors")
    model = ltbench.load_model(weights.parent)
    test = load_digits().test
    raw = test.read(np.arange(len(test)))
    mean, std = (torch.tensor(model.record["data"][key]) for key in ("mean", "std"))
    with torch.inference_mode():
        plain = model.network(normalise(torch.from_numpy(raw), mean, std))
    quick = model(raw)
    assert (quick - plain).abs().max() < 1e-4
    assert torch.equal(quick.argmax(dim=2), plain.argmax(dim=2))
