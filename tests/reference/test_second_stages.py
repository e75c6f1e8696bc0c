"""Classifiers on features that are there: LWS, nearest means, MiSLAS, and GCL's two stages."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ltbench import get_method
from ltbench.method import Seen, TrainingFeatures
from ltbench.methods.train.gcl import CLASSIFIER
from ltbench.models.frozen import FeatureCosineHead
from ltbench.models.heads import ScaledHead
from tests.reference.test_further_losses import (
    ETA,
    UNEVEN,
    Array,
    assert_same,
    example,
    in_double,
    log_sum_exp,
    negative_log,
    optimum,
    slow_ce,
)
from tests.reference.test_mixed_images import COUNTS, IDS

# -- scales on the logits of a head --------------------------------------------------------------


def test_scaled_head_scales_weights_and_bias() -> None:
    rng = torch.Generator().manual_seed(0)
    inner = nn.Linear(4, 3)
    head = ScaledHead(inner, 3, rate=2.0)
    features = torch.randn(5, 4, generator=rng)
    torch.testing.assert_close(head(features), inner(features))  # scales start at 1
    with torch.no_grad():
        head.scales.copy_(torch.tensor([0.5, 1.0, -1.5]))
        found, weight, bias = head(features).numpy(), inner.weight.numpy(), inner.bias.numpy()
    for i in range(5):
        for c, s in enumerate((1.0, 2.0, -3.0)):
            dot = sum(a * b for a, b in zip(weight[c], features[i].tolist(), strict=True))
            assert found[i, c] == pytest.approx(s * (dot + bias[c]), abs=1e-5)


def test_scales_move_by_the_square_of_their_rate() -> None:
    """One step of SGD at 0.1 and rate sqrt 5 is one of the scales themselves at 0.5."""
    features, y = torch.eye(3), torch.tensor([0, 2, 1])
    moved = []
    for rate, lr in ((1.0, 0.5), (math.sqrt(5), 0.1)):
        inner = nn.Linear(3, 3).requires_grad_(False)
        inner.weight.copy_(torch.arange(9.0).view(3, 3) / 5)
        inner.bias.copy_(torch.tensor([0.1, -0.2, 0.3]))
        head = ScaledHead(inner, 3, rate)
        solver = torch.optim.SGD([head.scales], lr=lr, momentum=0.9)
        for _ in range(3):
            solver.zero_grad()
            nn.functional.cross_entropy(head(features), y).backward()  # type: ignore[no-untyped-call]
            solver.step()
        moved.append(rate * head.scales.detach())
    torch.testing.assert_close(moved[0], moved[1])


@pytest.mark.parametrize("counts", COUNTS, ids=IDS)
def test_lws_loss_is_cross_entropy(counts: list[int]) -> None:
    method = in_double(get_method("lws", counts))
    z, targets = example(counts, 1)
    y = targets.tolist()
    assert_same(
        lambda logits: method.loss(logits, targets, progress=0.5),
        lambda logits: slow_ce(logits, y, counts, 0.5),
        z,
    )


def test_lws_reference_is_crts_bias() -> None:
    for q in (0.0, 0.5):
        lws, crt = get_method("lws", UNEVEN, sampler=q), get_method("crt", UNEVEN, sampler=q)
        said, known = lws.reference_bias(), crt.bias()
        assert lws.bias() is None
        assert said is not None
        assert known is not None
        assert torch.equal(said, known)


# -- nearest class means -------------------------------------------------------------------------


class Heads:
    """As much of a network as build and finish of a method with one head ask for."""

    def __init__(self, width: int) -> None:
        self.feature_width, self.head = width, nn.Module()

    def heads(self) -> Any:
        return iter([self.head])

    def set_head(self, expert: int, head: nn.Module) -> None:
        assert expert == 0
        self.head = head


def unit(row: Array) -> Array:
    found: Array = row / math.sqrt(float(sum(v * v for v in row)))
    return found


def test_tau_norm_of_cosine_heads_divides_each_class_by_its_own_norm() -> None:
    """Their weights are columns, and there may be a bias of each class, or none."""
    for bias in (True, False):
        network: Any = Heads(6)
        network.head = FeatureCosineHead(6, 5, 25.0, bias=bias)
        with torch.no_grad():
            network.head.weight.copy_(torch.arange(1, 31.0).reshape(6, 5).sin())
            if bias:
                network.head.bias.fill_(3.0)
        weight = network.head.weight.detach().numpy().copy()
        method: Any = get_method("tau-norm", UNEVEN, tau=0.5)
        with torch.no_grad():
            method.finish(network, TrainingFeatures(torch.zeros(1, 1, 6), torch.zeros(1).long()))
        for c in range(5):
            length = math.sqrt(sum(float(v) ** 2 for v in weight[:, c]))
            expected = weight[:, c] / length**0.5
            np.testing.assert_allclose(
                network.head.weight[:, c].detach().numpy(), expected, rtol=1e-5
            )
        assert not bias or network.head.bias.abs().max() == 0


@pytest.mark.parametrize("features", ["centred", "normalised", "plain"])
@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
def test_ncm_is_the_nearest_mean_of_training_features(features: str, distance: str) -> None:
    rng = np.random.default_rng(0)
    y = [j for j, n in enumerate(UNEVEN) for _ in range(n)]
    f, new = rng.normal(size=(len(y), 6)) + 1, rng.normal(size=(7, 6)) + 1
    centre = f.mean(axis=0) if features == "centred" else np.zeros(6)

    def prepared(row: Array) -> Array:
        return row - centre if features == "plain" else unit(row - centre)

    means = [
        np.mean([prepared(f[i]) for i in range(len(y)) if y[i] == j], axis=0) for j in range(5)
    ]
    network: Any = Heads(6)
    method: Any = get_method("ncm", UNEVEN, features=features, distance=distance)
    method.build(network)
    given = torch.from_numpy(f).float()[:, None]
    method.finish(network, TrainingFeatures(given, torch.tensor(y)))
    found = network.head(torch.from_numpy(new).float()).numpy()
    for i in range(7):
        x = prepared(new[i])
        for j, m in enumerate(means):
            if distance == "cosine":
                expected = float(unit(x) @ unit(m))
            else:
                expected = -float(sum((a - b) ** 2 for a, b in zip(x, m, strict=True)))
            assert found[i, j] == pytest.approx(expected, abs=2e-5)
    assert set(network.head.state_dict()) == {"centre", "means"}


# -- MiSLAS --------------------------------------------------------------------------------------


def slow_smoothing(counts: list[int], head: float = 0.4, tail: float = 0.1) -> list[float]:
    low, high = min(counts), max(counts)
    return [
        tail + (head - tail) * math.sin(math.pi * (n - low) / (2 * (high - low))) for n in counts
    ]


def slow_mislas(z: Array, y: list[int], counts: list[int]) -> float:
    smoothing, total = slow_smoothing(counts), 0.0
    for row, target in zip(z[:, 0], y, strict=True):
        e = smoothing[target]
        mean = sum(negative_log(list(row), c) for c in range(len(row))) / len(row)
        total += (1 - e) * negative_log(list(row), target) + e * mean
    return total / len(y)


@pytest.mark.parametrize("counts", COUNTS, ids=IDS)
def test_mislas_loss_and_gradient_are_those_of_the_equation(counts: list[int]) -> None:
    method: Any = in_double(get_method("mislas", counts))
    method._smoothing = torch.tensor(slow_smoothing(counts), dtype=torch.float64)
    z, targets = example(counts, 1)
    y = targets.tolist()
    assert_same(
        lambda logits: method.loss(logits, targets, progress=0.5),
        lambda logits: slow_mislas(logits, y, counts),
        z,
    )
    given = get_method("mislas", counts)
    loss = given.loss(z.float(), targets, progress=0.5).item()
    assert loss == pytest.approx(slow_mislas(z.numpy(), y, counts), rel=1e-5)


def test_mislas_smooths_the_frequent_more() -> None:
    method: Any = get_method("mislas", UNEVEN)
    np.testing.assert_allclose(method._smoothing.numpy(), slow_smoothing(UNEVEN), rtol=1e-6)
    assert method._smoothing[1].item() == pytest.approx(0.4)
    assert method._smoothing[2].item() == pytest.approx(0.1)
    level: Any = get_method("mislas", [4, 4, 4])
    torch.testing.assert_close(level._smoothing, torch.full((3,), 0.1))


def test_mislas_without_smoothing_is_crt() -> None:
    z, targets = example(UNEVEN, 1)
    method = in_double(get_method("mislas", UNEVEN, smooth_head=0, smooth_tail=0))
    crt = in_double(get_method("crt", UNEVEN))
    torch.testing.assert_close(
        method.loss(z, targets, progress=0.5), crt.loss(z, targets, progress=0.5)
    )
    said, bias = method.posterior(z / 3), crt.bias()
    assert said is not None
    assert bias is not None
    torch.testing.assert_close(
        said.log_softmax(-1), (z / 3 + bias).log_softmax(-1), atol=1e-6, rtol=1e-6
    )


def test_mislas_posterior_is_that_of_its_optimum_with_the_sampler_undone() -> None:
    """The labels of class-balanced batches follow eta; the training prior is log pi away."""
    method = in_double(get_method("mislas", UNEVEN))
    z = optimum(method, ETA)
    n = torch.tensor(UNEVEN, dtype=torch.float64)
    said = method.posterior(z)
    assert said is not None
    expected = (ETA * n) / (ETA * n).sum()
    np.testing.assert_allclose(said.softmax(-1)[0, 0].numpy(), expected.numpy(), rtol=1e-3)
    plain = z.softmax(-1)[0, 0]
    assert (plain - ETA).abs().max() > 0.05  # so that a bias of log pi alone would be wrong


def test_mislas_posterior_is_finite_where_logits_are_surer_than_smoothing_allows() -> None:
    said = get_method("mislas", UNEVEN).posterior(torch.tensor([[[200.0, 0, 0, 0, 0]]]))
    assert said is not None
    assert torch.isfinite(said).all()
    assert said.argmax().item() == 0


# -- GCL -----------------------------------------------------------------------------------------


def lost(counts: list[int]) -> list[float]:
    top = math.log(max(counts)) - math.log(min(counts))
    return [0.5 * (math.log(max(counts)) - math.log(n)) / top for n in counts]


def slow_gcl(
    z: Array, t: Array, noise: Array, counts: list[int], last: bool, held: Array | None = None
) -> float:
    """Logits of scale 20; held: (1 - p) of images and targets, whose slope is not taken."""
    scale, margin, total = (20.0, 0.1, 0.0) if last else (30.0, 0.0, 0.0)
    cut = lost(counts)
    for i in range(len(z)):
        for y in range(len(counts)):
            row = [z[i, 0, c] / 20 - cut[c] * abs(noise[i, c]) for c in range(len(counts))]
            row[y] -= margin
            h = negative_log([scale * v for v in row], y)
            factor = 1.0 if not last else (1 - math.exp(-h) if held is None else held[i, y])
            total += t[i, y] * factor * h
    return total / len(z)


def held_factors(z: Array, noise: Array, counts: list[int]) -> Array:
    cut, found = lost(counts), np.zeros((len(z), len(counts)))
    for i in range(len(z)):
        for y in range(len(counts)):
            row = [20 * (z[i, 0, c] / 20 - cut[c] * abs(noise[i, c])) for c in range(len(counts))]
            row[y] -= 2
            found[i, y] = 1 - math.exp(row[y] - log_sum_exp(row))
    return found


@pytest.mark.parametrize("counts", COUNTS, ids=IDS)
@pytest.mark.parametrize("last", [False, True], ids=["features", "classifier"])
@pytest.mark.parametrize("soft", [False, True], ids=["plain", "mixed"])
def test_gcl_loss_and_gradient_are_those_of_the_equation(
    counts: list[int], last: bool, soft: bool
) -> None:
    method: Any = get_method("gcl", counts)
    method._lost = torch.tensor(lost(counts), dtype=torch.float64)
    z, targets = example(counts, 1, batch=3)
    noise = method.draw(3, progress=0.0, rng=torch.Generator().manual_seed(1))[0].double()
    hot = nn.functional.one_hot(targets, len(counts)).double()
    t = 0.3 * hot + 0.7 * hot.flip(0) if soft else hot
    phase = CLASSIFIER if last else "features"

    def loss(logits: Tensor) -> Tensor:
        features = torch.zeros(1, 3, 1, 4)
        given = t if soft else targets
        seen = Seen(logits[None], features, given, torch.arange(3), phase, 0.5, (noise,))
        found: Tensor = method.objective(seen)
        return found

    at, eps = z.numpy(), noise.numpy()
    held = held_factors(at, eps, counts) if last else None
    whole = slow_gcl(at, t.numpy(), eps, counts, last)
    assert whole == pytest.approx(slow_gcl(at, t.numpy(), eps, counts, last, held))
    assert_same(loss, lambda logits: slow_gcl(logits, t.numpy(), eps, counts, last, held), z)


def test_gcl_lowers_nothing_of_the_most_frequent_class() -> None:
    for counts in (UNEVEN, [4, 4, 4]):
        method: Any = get_method("gcl", counts)
        cut = lost(counts) if counts is UNEVEN else [0.0, 0.0, 0.0]
        np.testing.assert_allclose(method._lost.numpy(), cut, rtol=1e-6, atol=1e-9)


def test_gcl_without_noise_margin_and_focus_is_cross_entropy() -> None:
    method: Any = get_method(
        "gcl", UNEVEN, noise=0, margin=0, focal=0, scale=20, alpha=0, classifier_scale=20
    )
    z, targets = (example(UNEVEN, 1)[0].float(), example(UNEVEN, 1)[1])
    (noise,) = method.draw(6, progress=0.0, rng=torch.Generator().manual_seed(1))
    for phase in ("features", CLASSIFIER):
        seen = Seen(z[None], z[None], targets, torch.arange(6), phase, 0.5, (noise,))
        expected = nn.functional.cross_entropy(z[:, 0], targets)
        torch.testing.assert_close(method.objective(seen), expected)


def test_gcl_noise_is_cut_and_has_a_third_of_the_spread() -> None:
    noise = get_method("gcl", UNEVEN).draw(
        4000, progress=0.0, rng=torch.Generator().manual_seed(1)
    )[0]
    assert noise.abs().max() == 1
    assert noise.std().item() == pytest.approx(1 / 3, abs=0.01)


def test_gcl_reference_is_the_mean_of_what_noise_leaves() -> None:
    """log E exp(-k |e|) over many draws, k = 20 times what the class can lose, and log pi."""
    method: Any = get_method("gcl", UNEVEN)
    drawn = torch.randn(400_000, generator=torch.Generator().manual_seed(2)).double().abs() / 3
    reference = method.reference_bias().double()[0]
    left = []
    for c, cut in enumerate(lost(UNEVEN)):
        left.append(reference[c] - math.log(UNEVEN[c] / sum(UNEVEN)))
        expected = (-20 * cut * drawn).exp().mean().log() - math.log(2)
        assert left[-1].item() == pytest.approx(expected.item(), abs=0.02)
