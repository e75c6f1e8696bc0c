"""Tent and BN-adapt against transcriptions that keep no state of ours."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ltbench import get_method, get_strategy
from ltbench.errors import ContractError
from ltbench.evaluate.network import ImageNetwork
from ltbench.models.adaptation import split_evenly, use_batch_statistics
from ltbench.models.build import build_network
from ltbench.seeds import generator
from ltbench.strategy import Adapted, OptimizerSettings, Source, UnlabelledTest

COUNTS = [40, 20, 10, 5]
N = 45
MEAN, STD = torch.tensor([0.4, 0.5, 0.6]), torch.tensor([0.2, 0.3, 0.25])


def trained(experts_of: str = "sade") -> tuple[ImageNetwork, Tensor, Any]:
    """A network whose BatchNorm statistics are not those of the test images."""
    method = get_method(experts_of, COUNTS)
    network = build_network("resnet8", 4, method.architecture(), generator("tent", 1))
    rng = torch.Generator().manual_seed(0)
    network.train()
    for _ in range(3):
        network(torch.randn(16, 3, 8, 8, generator=rng))
    images = torch.randint(0, 256, (N, 3, 8, 8), generator=rng).byte()
    return ImageNetwork(network.eval(), MEAN, STD, torch.device("cpu")), images, method


def adapt(name: str, network: ImageNetwork, images: Tensor, method: Any, **hyper: Any) -> Adapted:
    with torch.no_grad():
        logits = network(images)
    test = UnlabelledTest(logits, images=lambda: images)
    source = Source(
        method,
        None,
        "none",
        OptimizerSettings(0.1, 0.9, True, 0.0),
        network=network.private_copy(),
    )
    return get_strategy(name, **hyper).adapt(test, source, torch.Generator().manual_seed(3))


def batches_of(order: Tensor, size: int) -> list[Tensor]:
    """ceil(N / size) batches; the first ones hold one image more."""
    count = -(-len(order) // size)
    small, larger = divmod(len(order), count)
    found, start = [], 0
    for i in range(count):
        end = start + small + (i < larger)
        found.append(order[start:end])
        start = end
    return found


def batch_norm(x: Tensor, norm: nn.BatchNorm2d, gamma: Tensor, beta: Tensor) -> Tensor:
    mean = x.mean(dim=(0, 2, 3), keepdim=True)
    var = ((x - mean) ** 2).mean(dim=(0, 2, 3), keepdim=True)
    scaled = (x - mean) / (var + norm.eps).sqrt()
    return scaled * gamma[None, :, None, None] + beta[None, :, None, None]


def slow_forward(network: nn.Module, images: Tensor, affine: dict[str, Tensor]) -> Tensor:
    """The network with BatchNorm written out, its scales and shifts taken from ``affine``."""
    names = {module: name for name, module in network.named_modules()}
    hooks = []
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):

            def write_out(norm: Any, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
                name = names[norm]
                return batch_norm(inputs[0], norm, affine[f"{name}.weight"], affine[f"{name}.bias"])

            hooks.append(module.register_forward_hook(write_out))
    x = (images.float() / 255 - MEAN[None, :, None, None]) / STD[None, :, None, None]
    logits: Tensor = network(x)
    for hook in hooks:
        hook.remove()
    return logits


def affine_of(network: nn.Module) -> dict[str, Tensor]:
    return {
        f"{name}.{part}": getattr(module, part).detach().clone()
        for name, module in network.named_modules()
        if isinstance(module, nn.BatchNorm2d)
        for part in ("weight", "bias")
    }


def test_bn_adapt_normalises_each_batch_by_itself() -> None:
    network, images, method = trained()
    found = adapt("bn-adapt", network, images, method, batch_size=20)
    order = torch.randperm(N, generator=torch.Generator().manual_seed(3))
    affine = affine_of(network.network)
    expected = torch.empty(N, 4)
    for chosen in batches_of(order, 20):
        with torch.no_grad():
            logits = slow_forward(network.network, images[chosen], affine)
        expected[chosen] = logits.mean(dim=1)
    torch.testing.assert_close(found.logits, expected, atol=1e-4, rtol=1e-4)
    with torch.no_grad():
        assert not torch.allclose(found.logits, network(images).mean(1), atol=0.1)


def test_tent_takes_one_adam_step_a_batch_and_predicts_before_it() -> None:
    """Adam by its formula, the entropy by its definition, BatchNorm written out."""
    network, images, method = trained()
    lr, b1, b2 = 0.01, 0.9, 0.999
    found = adapt("tent", network, images, method, batch_size=20, lr=lr)
    order = torch.randperm(N, generator=torch.Generator().manual_seed(3))
    affine = {k: v.requires_grad_() for k, v in affine_of(network.network).items()}
    first = {k: torch.zeros_like(v) for k, v in affine.items()}
    second = {k: torch.zeros_like(v) for k, v in affine.items()}
    expected = torch.empty(N, 4)
    for step, chosen in enumerate(batches_of(order, 20), start=1):
        scores = slow_forward(network.network, images[chosen], affine).mean(dim=1)
        expected[chosen] = scores.detach()
        p = F.softmax(scores, dim=1)
        slopes = torch.autograd.grad(-(p * p.log()).sum() / len(chosen), list(affine.values()))
        for (key, value), slope in zip(affine.items(), slopes, strict=True):
            first[key] = b1 * first[key] + (1 - b1) * slope
            second[key] = b2 * second[key] + (1 - b2) * slope**2
            m, v = first[key] / (1 - b1**step), second[key] / (1 - b2**step)
            with torch.no_grad():
                value -= lr * m / (v.sqrt() + 1e-8)
    assert found.logits.requires_grad is False
    # Adam's first step is lr * sign(slope): where a slope is almost zero its sign is rounding.
    torch.testing.assert_close(found.logits, expected, atol=5e-2, rtol=1e-2)
    unadapted = adapt("bn-adapt", network, images, method, batch_size=20)
    assert (unadapted.logits - expected).abs().max() > 10 * (found.logits - expected).abs().max()


def test_tent_lowers_the_entropy_of_what_the_method_predicts() -> None:
    """Post-hoc logit adjustment predicts z - log pi: the entropy is that of this."""
    for name in ("ce", "logit-adjustment"):
        network, images, method = trained(name)
        one = adapt("bn-adapt", network, images, method, batch_size=9)
        many = adapt("tent", network, images, method, batch_size=9, lr=0.02)

        def mean_entropy(scores: Tensor) -> float:
            return torch.distributions.Categorical(logits=scores).entropy().mean().item()

        assert mean_entropy(many.logits) < mean_entropy(one.logits)


def test_only_scales_and_shifts_of_batch_norm_learn() -> None:
    network, images, method = trained()
    session = get_strategy("tent", lr=0.05).session(
        Source(method, None, "none", OptimizerSettings(0.1, 0.9, True, 0.0), network=network),
        torch.Generator(),
    )
    assert session is not None
    adapted: Any = session
    session.step(UnlabelledTest(torch.zeros(N, 3, 4), images=lambda: images))
    changed = {
        key
        for key, value in adapted.network.state_dict().items()
        if not torch.equal(value, network.state_dict()[key])
    }
    norms = set(affine_of(network))
    assert changed == norms


@pytest.mark.parametrize("name", ["tent", "bn-adapt"])
def test_the_disagreement_of_two_orders_is_told(name: str) -> None:
    network, images, method = trained()
    one_batch = adapt(name, network, images, method, batch_size=N)
    assert one_batch.diagnostics["order_disagreement"] == 0  # a single batch has no order
    found = adapt(name, network, images, method, batch_size=4)
    assert found.diagnostics["batches"] == 12
    share = found.diagnostics["order_disagreement"]
    assert isinstance(share, float)
    assert 0 < share <= 1


def test_batches_differ_by_one_image_at_most() -> None:
    for n, size in ((1, 200), (200, 200), (201, 200), (2486, 200), (7, 3)):
        parts = split_evenly(torch.arange(n), size)
        assert torch.equal(torch.cat(parts), torch.arange(n))
        sizes = [len(part) for part in parts]
        assert max(sizes) <= size
        assert max(sizes) - min(sizes) <= 1
        assert len(parts) == -(-n // size)


def test_a_network_without_batch_norm_is_refused_in_one_line() -> None:
    with pytest.raises(ContractError, match="no BatchNorm layer"):
        use_batch_statistics(nn.Linear(2, 2))


def test_the_network_takes_the_images_as_they_are() -> None:
    network, images, _ = trained()
    x = (images.float() / 255 - MEAN[None, :, None, None]) / STD[None, :, None, None]
    with torch.no_grad():
        torch.testing.assert_close(network(images), network.network(x))
