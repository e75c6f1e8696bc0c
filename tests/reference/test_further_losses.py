"""Losses and gradients in float64 against slow transcriptions: loops over the equations, no torch.

Methods of one head or three: plain experts, LADE, DirMixE, class-balanced cross-entropy, focal loss.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ltbench import get_method
from ltbench.method import Method, Seen
from ltbench.shift.profiles import exponential_counts

Array = np.ndarray[Any, np.dtype[np.float64]]
Slow = Callable[[Array, list[int], list[int], float], float]

RATIOS = {ratio: exponential_counts(600, ratio, 12).tolist() for ratio in (10, 50, 100)}
"""Twelve classes of 600 images and less."""
UNEVEN = [7, 100, 1, 7, 30]
"""Not sorted, with a tie and a class of one image."""
COUNTS = [*RATIOS.values(), UNEVEN]
IDS = [*(f"imbalance {ratio}" for ratio in RATIOS), "uneven"]


# -- slow transcriptions -------------------------------------------------------------------------


def log_sum_exp(values: Sequence[float]) -> float:
    top = max(values)
    return math.log(sum(math.exp(value - top) for value in values)) + top


def negative_log(row: Sequence[float], y: int) -> float:
    return log_sum_exp(row) - row[y]


def slow_ce(z: Array, y: list[int], n: list[int], progress: float) -> float:
    return sum(negative_log(list(z[i, 0]), y[i]) for i in range(len(y))) / len(y)


def slow_plain(z: Array, y: list[int], n: list[int], progress: float) -> float:
    return sum(slow_ce(z[:, e : e + 1], y, n, progress) for e in range(z.shape[1]))


def slow_lade(
    z: Array, y: list[int], n: list[int], progress: float, alpha: float = 0.1, remine: float = 0.01
) -> float:
    classes, batch = len(n), len(y)
    pi = [count / sum(n) for count in n]
    total = 0.0
    for i in range(batch):
        total += negative_log([z[i, 0, c] + math.log(pi[c]) for c in range(classes)], y[i]) / batch
    for c in range(classes):
        inside = [z[i, 0, c] for i in range(batch) if y[i] == c]
        first = sum(inside) / len(inside) if inside else 0.0
        moved = [z[i, 0, c] - math.log(pi[c]) + math.log(1 / classes) for i in range(batch)]
        second = log_sum_exp(moved) - math.log(batch)
        total -= alpha * pi[c] * (first - second - remine * second**2)
    return total


def slow_weights(n: list[int], beta: float) -> list[float]:
    """1 over 1 + beta + ... + beta^(n-1), scaled to a sum of C."""
    raw = [1 / sum(beta**k for k in range(count)) for count in n]
    return [value * len(n) / sum(raw) for value in raw]


def slow_class_balanced(
    z: Array, y: list[int], n: list[int], progress: float, beta: float = 0.9999
) -> float:
    w = slow_weights(n, beta)
    return sum(w[y[i]] * negative_log(list(z[i, 0]), y[i]) for i in range(len(y))) / len(y)


def slow_focal(z: Array, y: list[int], n: list[int], progress: float, gamma: float = 1.0) -> float:
    total = 0.0
    for i in range(len(y)):
        h = negative_log(list(z[i, 0]), y[i])
        total += (1 - math.exp(-h)) ** gamma * h
    return total / len(y)


def slow_dirmixe(
    z: Array, y: list[int], n: list[int], progress: float, which: list[int], w: Array
) -> float:
    losses = []
    for k, drawn in zip(which, w, strict=True):
        one = 0.0
        for i in range(len(y)):
            row = []
            for c in range(len(n)):
                pi = n[c] / sum(n)
                row.append(z[i, k, c] - math.log(drawn[c] ** 1.3 / pi**1.3 + 1e-9))
            one += negative_log(row, y[i]) / len(y)
        losses.append(one)
    mean = sum(losses) / len(losses)
    above = [(value - mean) ** 2 for value in losses if value > mean]
    return mean + (5 * sum(above) / max(len(above) - 1, 1) if progress >= 0.8 else 0.0)


# -- helpers -------------------------------------------------------------------------------------


def example(
    counts: Sequence[int], experts: int, batch: int = 6, seed: int = 0
) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(batch, experts, len(counts), generator=rng, dtype=torch.float64)
    return logits, torch.randint(len(counts), (batch,), generator=rng)


def in_double(method: Method[Any]) -> Method[Any]:
    """The same method with float64 constants."""
    for name, constant in vars(method).items():
        if isinstance(constant, Tensor) and constant.is_floating_point():
            setattr(method, name, constant.double())
    return method


def assert_same(
    loss: Callable[[Tensor], Tensor], slow: Callable[[Array], float], z: Tensor
) -> None:
    """Value, and slope along 24 axes by central differences of the slow one."""
    leaf = z.clone().requires_grad_()
    value = loss(leaf)
    assert value.dtype == torch.float64
    (slope,) = torch.autograd.grad(value, leaf)
    start, step = z.numpy(), 1e-5
    assert value.item() == pytest.approx(slow(start), rel=1e-6)
    places = np.random.default_rng(0).choice(start.size, min(24, start.size), replace=False)
    for place in places:
        there, back = start.copy(), start.copy()
        there.flat[place] += step
        back.flat[place] -= step
        expected = (slow(there) - slow(back)) / (2 * step)
        assert slope.flatten()[place].item() == pytest.approx(expected, rel=1e-5, abs=1e-7)


# -- losses and gradients ------------------------------------------------------------------------

SLOW: list[tuple[str, dict[str, Any], int, Slow]] = [
    ("plain-experts", {}, 3, slow_plain),
    ("plain-experts", {"experts": 2}, 2, slow_plain),
    ("lade", {}, 1, slow_lade),
    (
        "lade",
        {"alpha": 0.7, "remine": 0.5},
        1,
        lambda z, y, n, p: slow_lade(z, y, n, p, alpha=0.7, remine=0.5),
    ),
    ("class-balanced", {}, 1, slow_class_balanced),
    ("class-balanced", {"beta": 0.9}, 1, lambda z, y, n, p: slow_class_balanced(z, y, n, p, 0.9)),
    ("class-balanced", {"beta": 1}, 1, lambda z, y, n, p: slow_class_balanced(z, y, n, p, 1.0)),
    ("focal", {}, 1, slow_focal),
    ("focal", {"gamma": 2}, 1, lambda z, y, n, p: slow_focal(z, y, n, p, 2.0)),
    ("focal", {"gamma": 0.5}, 1, lambda z, y, n, p: slow_focal(z, y, n, p, 0.5)),
]


@pytest.mark.parametrize("counts", COUNTS, ids=IDS)
@pytest.mark.parametrize(("name", "hyper", "experts", "slow"), SLOW)
def test_loss_and_gradient_are_those_of_the_equation(
    name: str, hyper: dict[str, Any], experts: int, slow: Slow, counts: list[int]
) -> None:
    method = in_double(get_method(name, counts, **hyper))
    z, targets = example(counts, experts)
    y = targets.tolist()
    for progress in (0.0, 0.9):
        assert_same(
            lambda logits, at=progress: method.loss(logits, targets, progress=at),  # type: ignore[misc]
            lambda logits, at=progress: slow(logits, y, counts, at),  # type: ignore[misc]
            z,
        )


@pytest.mark.parametrize("counts", COUNTS, ids=IDS)
@pytest.mark.parametrize("progress", [0.79, 0.8])
def test_dirmixe_on_given_draws_is_that_of_the_equation(counts: list[int], progress: float) -> None:
    method: Any = in_double(get_method("dirmixe", counts, draws=7))
    z, targets = example(counts, 3, batch=4)
    which, w = method.draw(4, progress=progress, rng=torch.Generator().manual_seed(5))
    w = w.double()
    y, drawn = targets.tolist(), w.numpy()
    assert_same(
        lambda logits: method.risk(logits, targets, which, w, progress),
        lambda logits: slow_dirmixe(logits, y, counts, progress, which.tolist(), drawn),
        z,
    )


def test_dirmixes_objective_is_its_risk_on_what_was_drawn() -> None:
    method: Any = get_method("dirmixe", UNEVEN)
    logits, targets = (example(UNEVEN, 3)[0].float(), example(UNEVEN, 3)[1])
    first, second = (
        method.draw(6, progress=0.9, rng=torch.Generator().manual_seed(seed)) for seed in (5, 6)
    )
    which, w = first
    assert which.shape == (60,)
    assert w.shape == (60, 5)
    features = torch.zeros(1, 6, 3, 4)
    values = [
        method.objective(
            Seen(logits[None], features, targets, torch.arange(6), "train", 0.9, drawn)
        )
        for drawn in (first, second)
    ]
    assert torch.equal(values[0], method.risk(logits, targets, which, w, 0.9))
    assert not torch.equal(*values)


def test_dirmixe_draws_from_three_dirichlet_distributions() -> None:
    """Mean m and variance m (1 - m) / (a + 1) of each component; each as often as the others."""
    method: Any = get_method("dirmixe", UNEVEN, draws=6000, concentration=50.0)
    which, w = method.draw(1, progress=0.0, rng=torch.Generator().manual_seed(1))
    pi = [count / sum(UNEVEN) for count in UNEVEN]
    order = sorted(range(5), key=lambda j: (-UNEVEN[j], j))
    backwards = [pi[order[4 - order.index(j)]] for j in range(5)]
    np.testing.assert_allclose(w.sum(dim=1).numpy(), 1, atol=1e-6)
    for k, mean in enumerate((pi, [1 / 5] * 5, backwards)):
        own = w[which == k].double().numpy()
        assert len(own) == pytest.approx(2000, abs=200)
        for c, m in enumerate(mean):
            variance = m * (1 - m) / 51
            assert own[:, c].mean() == pytest.approx(m, abs=5 * math.sqrt(variance / len(own)))
            assert own[:, c].var() == pytest.approx(variance, rel=0.35)


# -- special cases -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "hyper", "same"),
    [
        ("lade", {"alpha": 0}, "balanced-softmax"),
        ("focal", {"gamma": 0}, "ce"),
        ("class-balanced", {"beta": 0}, "ce"),
    ],
)
def test_at_zero_it_is_the_loss_it_extends(name: str, hyper: dict[str, Any], same: str) -> None:
    z, targets = example(UNEVEN, 1)
    results = []
    for method in (get_method(name, UNEVEN, **hyper), get_method(same, UNEVEN)):
        leaf = z.float().requires_grad_()
        loss = method.loss(leaf, targets, progress=0.5)
        results.append((loss.detach(), *torch.autograd.grad(loss, leaf)))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-7)


def test_plain_experts_are_sade_without_its_biases() -> None:
    plain, sade = get_method("plain-experts", UNEVEN), get_method("sade", UNEVEN)
    assert plain.architecture() == sade.architecture()
    z, targets = example(UNEVEN, 3)
    bias = sade.bias()
    assert bias is not None
    one = plain.loss(z, targets, progress=0.0)
    torch.testing.assert_close(one, sade.loss(z - bias.double(), targets, progress=0.0))


def test_dirmixe_at_power_zero_is_the_mean_cross_entropy_of_the_experts_drawn() -> None:
    method: Any = get_method("dirmixe", UNEVEN, power=0, draws=4)
    z, targets = example(UNEVEN, 3)
    which, w = method.draw(6, progress=0.0, rng=torch.Generator().manual_seed(2))
    drawn = [slow_ce(z[:, [k]].numpy(), targets.tolist(), UNEVEN, 0.0) for k in which.tolist()]
    loss = method.risk(z, targets, which, w.double(), 0.0)
    assert loss.item() == pytest.approx(sum(drawn) / 4, rel=1e-6)


def test_focal_slope_is_finite_where_an_image_is_certain() -> None:
    for gamma in (0.0, 0.3, 1.0, 2.0):
        leaf = torch.tensor([[[200.0, 0.0]]], requires_grad=True)
        loss = get_method("focal", [3, 1], gamma=gamma).loss(leaf, torch.tensor([0]), progress=0.0)
        (slope,) = torch.autograd.grad(loss, leaf)
        assert loss.item() == 0
        assert torch.equal(slope, torch.zeros(1, 1, 2))


# -- which prior the logits carry ----------------------------------------------------------------


def optimum(method: Method[Any], eta: Tensor, steps: int = 300) -> Tensor:
    """Free logits ``(1, E, C)`` that minimise the loss where P(y|x) = eta ``(C,)``."""
    z = torch.zeros(1, 1, len(eta), dtype=torch.float64, requires_grad=True)
    solver = torch.optim.LBFGS([z], max_iter=steps, tolerance_grad=1e-12, tolerance_change=0)

    def closure() -> Tensor:
        solver.zero_grad()
        loss = torch.zeros((), dtype=torch.float64)
        for y, weight in enumerate(eta):
            loss = loss + weight * method.loss(z, torch.tensor([y]), progress=0.0)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    solver.step(closure)
    return z.detach()


ETA = torch.tensor([0.5, 0.25, 0.05, 0.15, 0.05], dtype=torch.float64)


@pytest.mark.parametrize("beta", [0.9, 0.9999, 1.0])
def test_class_balanced_bias_makes_its_optimum_the_posterior(beta: float) -> None:
    method = in_double(get_method("class-balanced", UNEVEN, beta=beta))
    bias = method.bias()
    assert bias is not None
    posterior = (optimum(method, ETA) + bias.double()).softmax(-1)[0, 0]
    np.testing.assert_allclose(posterior.numpy(), ETA.numpy(), rtol=1e-5)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
def test_focal_posterior_is_that_of_its_optimum(gamma: float) -> None:
    method = get_method("focal", UNEVEN, gamma=gamma)
    z = optimum(method, ETA)
    said = method.posterior(z)
    assert said is not None
    np.testing.assert_allclose(said.softmax(-1)[0, 0].numpy(), ETA.numpy(), rtol=1e-4)
    away = (z.softmax(-1)[0, 0] - ETA).abs().max()
    assert away > 0.01 if gamma else away < 1e-5  # so that no bias of 0 is exact


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
def test_focal_posterior_is_its_equation_also_where_an_image_is_certain(gamma: float) -> None:
    method = get_method("focal", UNEVEN, gamma=gamma)
    rows = [[1.0, -2.0, 0.0, 3.0, 0.5], [0.0, 0.0, 0.0, 0.0, 0.0], [14.0, 0.0, 1.0, -3.0, 0.0]]
    for row in rows:
        expected = []
        total = log_sum_exp(row)
        for j, value in enumerate(row):
            log_p = value - total
            rest = sum(math.exp(other - total) for k, other in enumerate(row) if k != j)
            slope = rest**gamma - gamma * math.exp(log_p) * rest ** (gamma - 1) * log_p
            expected.append(log_p - math.log(slope))
        said = method.posterior(torch.tensor(row)[None, None])
        assert said is not None
        apart = said[0, 0].double() - torch.tensor(expected, dtype=torch.float64)
        assert apart.abs().max() < 2e-5
    far = method.posterior(torch.tensor([[[900.0, 0.0, -50.0, 3.0, 1.0]]]))
    assert far is not None
    assert torch.isfinite(far).all()
    assert far.argmax() == 0


def test_dirmixe_reference_bias_is_that_of_averaged_powers() -> None:
    """p log pi + log mean of w^-p over many draws, up to a constant of the expert."""
    counts = RATIOS[10]
    method: Any = get_method("dirmixe", counts, draws=20000, concentration=500.0)
    which, w = method.draw(1, progress=0.0, rng=torch.Generator().manual_seed(3))
    bias = method.reference_bias().double()
    log_pi = torch.tensor([math.log(n / sum(counts)) for n in counts], dtype=torch.float64)
    for k in range(3):
        powers = (w[which == k].double() ** -1.3).mean(dim=0).log()
        apart = bias[k] - (1.3 * log_pi + powers)
        assert (apart - apart.mean()).abs().max() < 0.02


def test_lade_states_the_bias_of_balanced_softmax_as_a_reference() -> None:
    lade, balanced = get_method("lade", UNEVEN), get_method("balanced-softmax", UNEVEN)
    stated, known = lade.reference_bias(), balanced.bias()
    assert lade.bias() is None
    assert stated is not None
    assert known is not None
    assert torch.equal(stated, known)
