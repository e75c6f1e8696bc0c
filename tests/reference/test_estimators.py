"""MLLS, BCTS-MLLS, the scalings, the constrained BBSE and both ways to combine experts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch import Tensor

from ltbench import get_method, get_strategy
from ltbench.labelshift.calibration import fit_bcts, fit_temperature, fit_vector
from ltbench.labelshift.confusion import Moments, on_simplex
from ltbench.strategy import Adapted, OptimizerSettings, Source, UnlabelledTest

Array = np.ndarray[Any, np.dtype[np.float64]]
COUNTS = [200, 60, 20, 6]
PI = np.array(COUNTS) / sum(COUNTS)
SGD = OptimizerSettings(0.1, 0.9, True, 5e-4)


def world(n: int, experts: int = 1, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Logits ``(n, experts, 4)`` that know something of their labels ``(n,)``."""
    rng = torch.Generator().manual_seed(seed)
    labels = torch.randint(4, (n,), generator=rng)
    logits = torch.randn(n, experts, 4, generator=rng) * 1.5
    logits[torch.arange(n), :, labels] += 2.0
    return logits, labels


def adapt(
    name: str, logits: Tensor, held: tuple[Tensor, Tensor] | None = None, **hyper: Any
) -> Adapted:
    method = get_method("sade" if logits.shape[1] == 3 else "ce", COUNTS)
    source = Source(
        method,
        method.bias(),
        "closed-form",
        SGD,
        holdout_logits=held[0] if held else None,
        holdout_labels=held[1] if held else None,
    )
    rng = torch.Generator().manual_seed(0)
    return get_strategy(name, **hyper).adapt(UnlabelledTest(logits), source, rng)


def prior_of(adapted: Adapted) -> Array:
    assert adapted.prior is not None
    return np.asarray(adapted.prior.numpy())


# -- MLLS ------------------------------------------------------------------------------------------


def test_mlls_is_em_without_a_prior() -> None:
    logits, _ = world(300)
    plain, em = adapt("mlls", logits), adapt("em", logits, map=1)
    assert torch.equal(plain.logits, em.logits)
    assert np.array_equal(prior_of(plain), prior_of(em))
    assert not np.allclose(prior_of(plain), prior_of(adapt("em", logits)), atol=1e-4)


def test_mlls_maximises_the_likelihood() -> None:
    logits, _ = world(300)
    u = torch.softmax(logits[:, 0].double(), 1).numpy() / PI

    def loss(a: Array) -> float:
        log_q = a - np.log(np.exp(a).sum())
        return float(-np.log(u @ np.exp(log_q)).sum())

    best = minimize(loss, np.zeros(4), method="BFGS", options={"gtol": 1e-9}).x
    expected = np.exp(best) / np.exp(best).sum()
    found = prior_of(adapt("mlls", logits, iterations=100000))
    np.testing.assert_allclose(found, expected, atol=1e-4)


# -- calibration -------------------------------------------------------------------------------------


def nll(log_p: Array, labels: Array, weights: Array) -> float:
    log_p = log_p - log_p.max(1, keepdims=True)
    log_p = log_p - np.log(np.exp(log_p).sum(1, keepdims=True))
    return float(-(weights * log_p[np.arange(len(labels)), labels]).mean())


def material(n: int = 60, seed: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    logits, labels = world(n, seed=seed)
    weights = torch.rand(n, generator=torch.Generator().manual_seed(seed)).double()
    return logits[:, 0], labels, weights / weights.mean()


def test_temperature_is_at_the_minimum() -> None:
    scores, labels, weights = material()
    s, y, w = scores.double().numpy(), labels.numpy(), weights.numpy()
    slow = minimize(lambda a: nll(a[0] * s, y, w), [1.0], method="Nelder-Mead", tol=1e-10).x[0]
    found = fit_temperature(scores, labels, weights)
    assert found.inverse_temperature == pytest.approx(slow, abs=1e-5)
    assert torch.count_nonzero(found.shift) == 0


@pytest.mark.parametrize("penalty", [0.001, 0.1])
def test_vector_scaling_is_at_the_minimum(penalty: float) -> None:
    scores, labels, weights = material()
    s = torch.log_softmax(scores.double(), 1).numpy()
    y, w = labels.numpy(), weights.numpy()

    def loss(x: Array) -> float:
        a, beta = x[:4], x[4:]
        ridge = ((a - 1) ** 2).sum() + (beta**2).sum()
        return nll(a * s + beta, y, w) + penalty * float(ridge)

    start = np.array([1.0] * 4 + [0.0] * 4)
    slow = minimize(loss, start, method="BFGS", options={"gtol": 1e-9}).x
    found = fit_vector(scores, labels, weights, penalty)
    np.testing.assert_allclose(found.slope, slow[:4], atol=1e-4)
    np.testing.assert_allclose(found.shift, slow[4:] - slow[4:].mean(), atol=1e-4)
    constant = torch.arange(60.0)[:, None]
    torch.testing.assert_close(found(scores + constant), found(scores), atol=1e-4, rtol=0)


def test_a_class_without_hold_out_image_keeps_bias_0() -> None:
    """The others are fitted among themselves, with mean 0."""
    scores, labels, weights = material()
    labels = labels.where(labels != 2, torch.tensor(1))
    present = [0, 1, 3]
    s, w = scores.double().numpy()[:, present], weights.numpy()
    y = np.array([present.index(label) for label in labels.tolist()])

    def loss(x: Array) -> float:
        return nll(x[0] * s + np.array([0.0, x[1], x[2]]), y, w)

    slow = minimize(loss, [1.0, 0, 0], method="BFGS", options={"gtol": 1e-10}).x
    beta = np.array([0.0, slow[1], slow[2]])
    found = fit_bcts(scores, labels, weights, 0.0, only_present=True)
    assert found.shift[2] == 0
    np.testing.assert_allclose(found.shift[present], beta - beta.mean(), atol=1e-4)
    assert found.inverse_temperature == pytest.approx(slow[0], abs=1e-4)
    assert fit_bcts(scores, labels, weights, 0.0).shift[2] < -3  # what leaving it out prevents


def test_bcts_mlls_names_the_classes_it_could_not_calibrate() -> None:
    logits, _ = world(200)
    held, labels = world(80, seed=1)
    kept = labels != 2
    adapted = adapt("bcts-mlls", logits, (held[kept], labels[kept]))
    assert adapted.diagnostics["without_holdout"] == [2]
    assert torch.isfinite(adapted.logits).all()
    assert adapt("bcts-mlls", logits, (held, labels)).diagnostics["without_holdout"] == []


def test_bcts_mlls_is_bcts_em_without_penalty_and_prior() -> None:
    logits, _ = world(200)
    held = world(80, seed=1)
    ours, same = (
        adapt("bcts-mlls", logits, held),
        adapt("bcts-em", logits, held, penalty=0, map=1),
    )
    np.testing.assert_allclose(prior_of(ours), prior_of(same), atol=1e-6)
    assert not np.allclose(prior_of(ours), prior_of(adapt("bcts-em", logits, held)), atol=1e-3)


@pytest.mark.parametrize("calibration", ["temperature", "vector"])
def test_other_calibrations_are_used(calibration: str) -> None:
    logits, _ = world(200)
    held = world(80, seed=1)
    usual = adapt("bcts-em", logits, held)
    other = adapt("bcts-em", logits, held, calibration=calibration)
    assert np.abs(prior_of(usual) - prior_of(other)).max() > 1e-4
    temperature = other.diagnostics["temperature"]
    assert (len(temperature) == 4) if isinstance(temperature, list) else calibration != "vector"


# -- BBSE on the simplex -----------------------------------------------------------------------------


def random_moments(seed: int, size: int = 6) -> Moments:
    rng = np.random.default_rng(seed)
    right = np.diag(rng.dirichlet(np.ones(size)))
    wrong = rng.dirichlet(np.ones(size * size)).reshape(size, size)
    return Moments(0.5 * right + 0.5 * wrong, rng.dirichlet(np.full(size, 0.5)), 200)


@pytest.mark.parametrize("seed", range(8))
def test_constrained_is_the_least_squares_solution_on_the_simplex(seed: int) -> None:
    found = random_moments(seed)
    prior = np.full(6, 1 / 6)
    q = on_simplex(found, prior) * prior
    a = found.table / found.table.sum(axis=0)

    def loss(p: Array) -> float:
        return float(((a @ p - found.target) ** 2).sum())

    limits = {"type": "eq", "fun": lambda p: p.sum() - 1}
    slow = minimize(
        loss, prior, method="SLSQP", bounds=[(0, 1)] * 6, constraints=[limits], tol=1e-15
    ).x
    assert q.sum() == pytest.approx(1)
    assert q.min() >= 0
    assert loss(q) <= loss(np.maximum(slow, 0) / np.maximum(slow, 0).sum()) + 1e-10


def test_constrained_keeps_the_share_of_a_class_it_knows_nothing_of() -> None:
    table = np.array([[0.5, 0.1, 0], [0.1, 0.3, 0], [0, 0, 0]])
    prior = np.array([0.6, 0.3, 0.1])
    q = on_simplex(Moments(table, np.array([0.3, 0.7, 0.0]), 10), prior) * prior
    assert q[2] == pytest.approx(0.1)
    assert q.sum() == pytest.approx(1)


def test_constrained_bbse_is_asked_for_by_name() -> None:
    logits, _ = world(200)
    held = world(40, seed=1)
    direct, constrained = (
        adapt("bbse", logits, held, solver=solver) for solver in ("direct", "constrained")
    )
    assert torch.equal(direct.logits, adapt("bbse", logits, held).logits)
    assert prior_of(constrained).sum() == pytest.approx(1)
    assert constrained.diagnostics["clipped"] == 0


# -- experts -----------------------------------------------------------------------------------------

HELD = {"bcts-em", "bcts-mlls", "bbse", "rlls", "tilt-holdout"}


@pytest.mark.parametrize("name", ["em", "mlls", "tilt", *sorted(HELD)])
def test_probabilities_are_averaged_where_asked(name: str) -> None:
    """The same as one expert whose logits are the log of the mean posterior."""
    logits, _ = world(200, experts=3)
    held, labels = world(60, experts=3, seed=1)
    bias = get_method("sade", COUNTS).bias()
    assert bias is not None

    def mixed(z: Tensor) -> Tensor:
        return (z + bias).softmax(2).mean(1, keepdim=True).log()

    given = (held, labels) if name in HELD else None
    single = (mixed(held), labels) if name in HELD else None
    several = adapt(name, logits, given, combine="probabilities")
    one = adapt(name, mixed(logits), single)
    np.testing.assert_allclose(prior_of(several), prior_of(one), atol=2e-4)
    assert (several.logits.argmax(1) == one.logits.argmax(1)).double().mean() > 0.99
    assert several.frozen is not None
    torch.testing.assert_close(several.frozen(logits), several.logits)
    assert not torch.equal(several.logits, adapt(name, logits, given).logits)


@pytest.mark.parametrize("name", ["em", "mlls", "tilt"])
def test_one_expert_is_combined_alike_either_way(name: str) -> None:
    logits, _ = world(200)
    both = [adapt(name, logits, combine=how) for how in ("logits", "probabilities")]
    np.testing.assert_allclose(prior_of(both[0]), prior_of(both[1]), atol=1e-5)
