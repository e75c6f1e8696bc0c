"""Each method's loss against a slow transcription of its formula in float64, loop by loop."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ltbench import get_method
from ltbench.method import Method
from ltbench.shift.profiles import exponential_counts

Array = np.ndarray[Any, np.dtype[np.float64]]

CIFAR = exponential_counts(500, 100, 100).tolist()
"""CIFAR-100-LT at imbalance 100: 500 to 5 images."""
UNEVEN = [7, 100, 1, 7, 30]
"""Not sorted, with a tie and a class of one image."""


# -- slow transcriptions -------------------------------------------------------------------------


def log_softmax(row: Sequence[float]) -> list[float]:
    top = max(row)
    total = math.log(sum(math.exp(value - top) for value in row)) + top
    return [value - total for value in row]


def cross_entropy(
    rows: Array, targets: Sequence[int], weights: Sequence[float] | None = None
) -> float:
    """Weighted mean of -log softmax(z)_y, divided by the sum of the targets' weights."""
    above = below = 0.0
    for row, y in zip(rows, targets, strict=True):
        w = 1.0 if weights is None else weights[y]
        above += -w * log_softmax(list(row))[y]
        below += w
    return above / below


def log_pi(counts: Sequence[int]) -> Array:
    return np.array([math.log(n / sum(counts)) for n in counts])


def log_inverse_prior(counts: Sequence[int]) -> Array:
    """Rank by (count descending, class index); rank r gets the prior of rank C-1-r."""
    order = sorted(range(len(counts)), key=lambda j: (-counts[j], j))
    inverse = np.zeros(len(counts))
    for r, j in enumerate(order):
        inverse[j] = math.log(counts[order[len(counts) - 1 - r]] / sum(counts))
    return inverse


def slow_ce(z: Array, y: list[int], counts: list[int], progress: float) -> float:
    return cross_entropy(z[:, 0], y)


def slow_balanced_softmax(z: Array, y: list[int], counts: list[int], progress: float) -> float:
    return cross_entropy(z[:, 0] + log_pi(counts), y)


def slow_sade(
    z: Array, y: list[int], counts: list[int], progress: float, tau: float = 2.0
) -> float:
    third = log_pi(counts) - tau * log_inverse_prior(counts)
    return (
        cross_entropy(z[:, 0], y)
        + cross_entropy(z[:, 1] + log_pi(counts), y)
        + cross_entropy(z[:, 2] + third, y)
    )


def slow_margins(counts: Sequence[int], largest: float = 0.5) -> list[float]:
    raw = [n**-0.25 for n in counts]
    return [largest * value / max(raw) for value in raw]


def slow_drw(counts: Sequence[int], beta: float = 0.9999) -> list[float]:
    raw = [(1 - beta) / (1 - beta**n) for n in counts]
    return [value * len(counts) / sum(raw) for value in raw]


def slow_temperatures(counts: Sequence[int], factor: float = 0.05) -> list[float]:
    raw = [len(counts) * n / sum(counts) * factor + 1 - factor for n in counts]
    return [value / max(raw) for value in raw]


def slow_ride(
    z: Array, y: list[int], counts: list[int], progress: float, factor: float = -0.45
) -> float:
    deferred = progress >= 0.8
    weights = slow_drw(counts) if deferred else None
    temperatures = slow_temperatures(counts) if deferred else [1.0] * len(counts)
    mean_temperature = sum(temperatures) / len(temperatures)
    margins = slow_margins(counts)
    total = 0.0
    for e in range(z.shape[1]):
        lowered = z[:, e].copy()
        for i, label in enumerate(y):
            lowered[i, label] -= 30.0 * margins[label]
        total += cross_entropy(lowered, y, weights)
        divergence = 0.0
        for i in range(len(y)):
            mean = [
                sum(z[i, k, j] for k in range(z.shape[1])) / z.shape[1] for j in range(len(counts))
            ]
            p = log_softmax([m / t for m, t in zip(mean, temperatures, strict=True)])
            q = log_softmax([v / t for v, t in zip(z[i, e], temperatures, strict=True)])
            divergence += sum(math.exp(a) * (a - b) for a, b in zip(p, q, strict=True))
        total += factor * mean_temperature**2 * divergence / len(y)
    return total


# -- helpers -------------------------------------------------------------------------------------


def example(
    counts: Sequence[int], experts: int, batch: int = 9, seed: int = 0
) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    logits = 4 * torch.randn(batch, experts, len(counts), generator=rng)
    return logits, torch.randint(len(counts), (batch,), generator=rng)


def value(method: Method[Any], logits: Tensor, targets: Tensor, progress: float = 0.0) -> float:
    return method.loss(logits, targets, progress=progress).item()


def in_double(method: Method[Any]) -> Method[Any]:
    """The same method with float64 constants, so that finite differences are sharp."""
    for name, constant in vars(method).items():
        if isinstance(constant, Tensor) and constant.is_floating_point():
            setattr(method, name, constant.double())
    return method


# -- losses --------------------------------------------------------------------------------------

SLOW: list[tuple[str, dict[str, Any], int, Callable[..., float]]] = [
    ("ce", {}, 1, slow_ce),
    ("logit-adjustment", {}, 1, slow_ce),
    ("balanced-softmax", {}, 1, slow_balanced_softmax),
    (
        "logit-adjustment",
        {"where": "loss", "tau": 1.5},
        1,
        lambda z, y, n, _: cross_entropy(z[:, 0] + 1.5 * log_pi(n), y),
    ),
    ("sade", {}, 3, slow_sade),
    ("sade", {"tau": 1.0}, 3, lambda z, y, n, p: slow_sade(z, y, n, p, tau=1.0)),
    ("ride", {}, 3, slow_ride),
    (
        "ride",
        {"experts": 2, "diversity_factor": 0.3},
        2,
        lambda z, y, n, p: slow_ride(z, y, n, p, factor=0.3),
    ),
    (
        "ride",
        {"experts": 4, "diversity_factor": 0.0},
        4,
        lambda z, y, n, p: slow_ride(z, y, n, p, factor=0.0),
    ),
]


@pytest.mark.parametrize("counts", [CIFAR, UNEVEN, [3, 1]], ids=["cifar", "uneven", "two"])
@pytest.mark.parametrize(("name", "hyper", "experts", "slow"), SLOW)
@pytest.mark.parametrize("progress", [0.0, 0.79, 0.8, 0.99])
def test_loss_equals_the_slow_one(
    name: str,
    hyper: dict[str, Any],
    experts: int,
    slow: Callable[..., float],
    counts: list[int],
    progress: float,
) -> None:
    method = get_method(name, counts, **hyper)
    logits, targets = example(counts, experts)
    expected = slow(logits.double().numpy(), targets.tolist(), counts, progress)
    assert value(method, logits, targets, progress) == pytest.approx(expected, rel=2e-5)


@pytest.mark.parametrize(("name", "hyper", "experts", "slow"), SLOW)
@pytest.mark.parametrize("progress", [0.0, 0.9])
def test_gradient_equals_finite_differences(
    name: str, hyper: dict[str, Any], experts: int, slow: Callable[..., float], progress: float
) -> None:
    """RIDE's too, though its mean of the experts is detached: the slope along it is zero."""
    method = in_double(get_method(name, UNEVEN, **hyper))
    logits, targets = example(UNEVEN, experts, batch=3)
    points = (logits.double() / 4).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda z: method.loss(z, targets, progress=progress), points, atol=1e-6
    )


def test_logit_adjusted_loss_at_tau_one_is_balanced_softmax() -> None:
    adjusted = get_method("logit-adjustment", CIFAR, where="loss", tau=1)
    balanced = get_method("balanced-softmax", CIFAR)
    results = []
    for method in (adjusted, balanced):
        logits, targets = example(CIFAR, 1)
        logits.requires_grad_()
        loss = method.loss(logits, targets, progress=0.0)
        results.append((loss.detach(), *torch.autograd.grad(loss, logits), method.predict(logits)))
    for one, other in zip(*results, strict=True):
        assert torch.equal(one, other)


def test_logit_adjusted_loss_at_tau_zero_is_cross_entropy() -> None:
    logits, targets = example(UNEVEN, 1)
    adjusted = get_method("logit-adjustment", UNEVEN, where="loss", tau=0)
    assert value(adjusted, logits, targets) == value(get_method("ce", UNEVEN), logits, targets)


@pytest.mark.parametrize("tau", [0.0, 1.0, 1.5])
def test_post_hoc_adjustment_subtracts_tau_log_prior(tau: float) -> None:
    logits, _ = example(UNEVEN, 1)
    scores = get_method("logit-adjustment", UNEVEN, tau=tau).predict(logits)
    expected = logits[:, 0].double().numpy() - tau * log_pi(UNEVEN)
    np.testing.assert_allclose(scores.double().numpy(), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ["ce", "balanced-softmax", "sade", "ride"])
def test_prediction_is_the_mean_of_the_experts(name: str) -> None:
    logits, _ = example(UNEVEN, 3)
    torch.testing.assert_close(get_method(name, UNEVEN).predict(logits), logits.sum(dim=1) / 3)


# -- published facts -----------------------------------------------------------------------------


def ride_constants(counts: list[int], **hyper: Any) -> tuple[list[float], list[float], list[float]]:
    """Margins in cosines, deferred weights, deferred temperatures."""
    method: Any = get_method("ride", counts, **hyper)
    margins, weights = method._margins / 30, method._weights
    return margins.tolist(), weights.tolist(), method._temperatures.tolist()


def test_ride_constants_on_cifar100_at_imbalance_100() -> None:
    margins, weights, temperatures = ride_constants(CIFAR)
    assert margins[0] == pytest.approx(0.158, abs=5e-4)
    assert margins[-1] == pytest.approx(0.5)
    assert weights[0] == pytest.approx(0.045, abs=5e-4)
    assert weights[-1] == pytest.approx(4.378, abs=5e-4)
    assert sum(weights) == pytest.approx(100, rel=1e-5)
    assert temperatures[0] == pytest.approx(1.0)
    assert temperatures[-1] == pytest.approx(0.807, abs=5e-4)
    assert sum(temperatures) / 100 == pytest.approx(0.847, abs=5e-4)


def test_sade_third_adjustment_on_cifar100_at_imbalance_100() -> None:
    bias = get_method("sade", CIFAR).bias()
    assert bias is not None
    third = bias[2]
    assert third[0].item() == pytest.approx(12.29, abs=5e-3)
    assert third[-1].item() == pytest.approx(-1.53, abs=5e-3)
    assert (third[0] - third[-1]).item() == pytest.approx(3 * math.log(100), abs=1e-4)
    assert third[0] == third.max()
    assert third[-1] == third.min()


def test_rides_reweighting_starts_at_progress_08_and_not_before() -> None:
    method, (logits, targets) = get_method("ride", UNEVEN), example(UNEVEN, 3)
    before = [value(method, logits, targets, p) for p in (0.0, 0.5, 159 / 200)]
    after = [value(method, logits, targets, p) for p in (160 / 200, 0.9, 199 / 200)]
    assert len(set(before)) == len(set(after)) == 1
    assert before[0] != after[0]


def test_ride_without_diversity_still_trains_every_expert_on_its_own() -> None:
    """Not the mean of the experts, as the published code then silently does (RIDE issue 7)."""
    method = get_method("ride", UNEVEN, diversity_factor=0)
    logits, targets = example(UNEVEN, 3)
    apart = sum(value(method, logits[:, [e, e, e]], targets) / 3 for e in range(3))
    assert value(method, logits, targets) == pytest.approx(apart, rel=1e-5)


def test_rides_diversity_pushes_apart_and_does_not_move_the_mean() -> None:
    """The gradient of the term alone reaches an expert through its own logits only."""
    logits, targets = example(UNEVEN, 3)
    gradients = []
    for factor in (-0.45, 0.0):
        z = logits.clone().requires_grad_()
        method = get_method("ride", UNEVEN, diversity_factor=factor)
        gradients.append(torch.autograd.grad(method.loss(z, targets, progress=0.0), z)[0])
    term = gradients[0] - gradients[1]
    mean, own = logits.mean(dim=1).softmax(1), logits.softmax(2)
    expected = -0.45 * (own - mean[:, None]) / len(targets)
    torch.testing.assert_close(term, expected, atol=1e-6, rtol=1e-4)


def test_effective_number_weights_reach_the_limit_of_beta_one() -> None:
    near, limit = (ride_constants(UNEVEN, beta=beta)[1] for beta in (1 - 1e-9, 1.0))
    np.testing.assert_allclose(near, limit, rtol=1e-4)


# -- the bias ------------------------------------------------------------------------------------

BIASED: list[tuple[str, dict[str, Any], int]] = [
    ("ce", {}, 1),
    ("balanced-softmax", {}, 1),
    ("logit-adjustment", {}, 1),
    ("logit-adjustment", {"where": "loss", "tau": 0.7}, 1),
    ("sade", {}, 3),
    ("sade", {"tau": 0.5}, 3),
]
count_lists = st.lists(st.integers(1, 1000), min_size=2, max_size=12)
tied_lists = st.lists(st.integers(1, 3), min_size=2, max_size=80)


@pytest.mark.parametrize(("name", "hyper", "experts"), BIASED)
@settings(max_examples=25, deadline=None)
@given(counts=count_lists, seed=st.integers(0, 1000))
def test_loss_is_the_sum_of_cross_entropies_on_logits_plus_bias(
    name: str, hyper: dict[str, Any], experts: int, counts: list[int], seed: int
) -> None:
    method = get_method(name, counts, **hyper)
    bias = method.bias()
    assert bias is not None
    assert bias.shape == (experts, len(counts))
    logits, targets = example(counts, experts, batch=4, seed=seed)
    shifted = (logits + bias).double().numpy()
    expected = sum(cross_entropy(shifted[:, e], targets.tolist()) for e in range(experts))
    assert value(method, logits, targets, 0.3) == pytest.approx(expected, rel=1e-4, abs=1e-5)


@settings(max_examples=25, deadline=None)
@given(counts=count_lists | tied_lists, tau=st.floats(0, 4))
def test_sades_bias_by_rank_with_ties(counts: list[int], tau: float) -> None:
    bias = get_method("sade", counts, tau=tau).bias()
    assert bias is not None
    pi, inverse = log_pi(counts), log_inverse_prior(counts)
    expected = np.stack([np.zeros(len(counts)), pi, pi - tau * inverse])
    np.testing.assert_allclose(bias.double().numpy(), expected, rtol=1e-5, atol=1e-5)
    mean = 2 / 3 * pi - tau / 3 * inverse  # METHODS.md section 2.2
    np.testing.assert_allclose(bias.double().mean(0).numpy(), mean, rtol=1e-5, atol=1e-5)


def test_sades_mean_bias_is_four_thirds_of_the_log_prior_on_cifar100() -> None:
    bias = get_method("sade", CIFAR).bias()
    assert bias is not None
    mean = bias.double().mean(0).numpy()
    steps = mean - 4 / 3 * log_pi(CIFAR)
    # n_j n_(C-1-j) is constant up to the truncation of the counts, at most one image in five
    assert np.ptp(steps) < 2 / 3 * math.log(6 / 5)
    assert np.ptp(mean - log_pi(CIFAR)) > 1.3


def test_equal_counts_give_sade_experts_that_differ_by_constants_only() -> None:
    bias = get_method("sade", [8, 8, 8]).bias()
    assert bias is not None
    for row in bias:
        assert torch.equal(row, row[0].expand(3))


@pytest.mark.parametrize("name", ["ce", "balanced-softmax", "sade", "ride"])
def test_a_constant_on_an_experts_logits_changes_nothing(name: str) -> None:
    experts = 3 if name in ("sade", "ride") else 1
    method = get_method(name, UNEVEN)
    logits, targets = example(UNEVEN, experts)
    constants = torch.tensor([3.0, -2.0, 0.5])[:experts, None]
    for progress in (0.0, 0.5):  # RIDE's later temperatures differ by class, so it ends there
        before = value(method, logits, targets, progress)
        assert value(method, logits + constants, targets, progress) == pytest.approx(
            before, rel=1e-4
        )
