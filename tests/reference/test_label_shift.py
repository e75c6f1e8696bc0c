"""EM, BCTS, BBSE and RLLS where the posterior is known, and against independent solvers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch import Tensor

from ltbench import get_method, get_strategy
from ltbench.errors import ContractError
from ltbench.labelshift.calibration import fit_bcts
from ltbench.labelshift.confusion import Moments, deviation, regularised, solve
from ltbench.labelshift.em import em
from ltbench.labelshift.holdout import confusion, importance, weights_for
from ltbench.method import Method
from ltbench.strategy import Adapted, OptimizerSettings, Source, UnlabelledTest

Array = np.ndarray[Any, np.dtype[np.float64]]
COUNTS = [200, 60, 20, 6]
PI = np.array(COUNTS) / sum(COUNTS)
CENTRES = torch.tensor([[0.0, 0.0], [2.5, 0.0], [0.0, 2.5], [2.5, 2.5]], dtype=torch.float64)
SGD = OptimizerSettings(0.1, 0.9, True, 5e-4)
SHIFTED = [0.1, 0.15, 0.25, 0.5]
METHODS: list[tuple[str, dict[str, Any]]] = [
    ("ce", {}),
    ("balanced-softmax", {}),
    ("logit-adjustment", {"where": "loss", "tau": 1.7}),
    ("sade", {}),
]


# -- a world with known posteriors ---------------------------------------------------------------


def log_likelihood(x: Tensor) -> Tensor:
    """log p(x|y) + const of unit Gaussians: ``(N, 2)`` to ``(N, C)``."""
    return -0.5 * (x[:, None] - CENTRES).square().sum(2)


def points(prior: list[float], n: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    labels = torch.multinomial(torch.tensor(prior), n, True, generator=rng)
    return CENTRES[labels] + torch.randn(n, 2, generator=rng, dtype=torch.float64), labels


def train_scores(x: Tensor) -> Tensor:
    """log P_train(y|x), ``(N, C)``."""
    return (log_likelihood(x) + torch.from_numpy(PI).log()).log_softmax(1)


def experts(method: Method[Any], scores: Tensor) -> Tensor:
    """Logits ``(N, E, C)`` with softmax(z_e + b_e) = softmax(scores)."""
    bias = method.bias()
    assert bias is not None
    constants = torch.arange(len(bias), dtype=torch.float64)[:, None] * 3 - 1
    return (scores[:, None] - bias.double() + constants).float()


def adapt(
    strategy: str,
    method: Method[Any],
    test: Tensor,
    held: tuple[Tensor, Tensor] | None = None,
    **hyper: Any,
) -> Adapted:
    source = Source(
        method,
        method.bias(),
        "closed-form",
        SGD,
        holdout_logits=None if held is None else held[0],
        holdout_labels=None if held is None else held[1],
    )
    rng = torch.Generator().manual_seed(0)
    return get_strategy(strategy, **hyper).adapt(UnlabelledTest(test), source, rng)


def found_prior(adapted: Adapted) -> Array:
    assert adapted.prior is not None
    return np.asarray(adapted.prior.double().numpy())


def bayes_agreement(adapted: Adapted, x: Tensor, prior: list[float]) -> float:
    exact = (log_likelihood(x) + torch.tensor(prior, dtype=torch.float64).log()).argmax(1)
    return (adapted.logits.argmax(1) == exact).double().mean().item()


# -- EM ------------------------------------------------------------------------------------------


def quapy_posteriors() -> Tensor:
    i, j = np.arange(40)[:, None], np.arange(4)[None]
    z = 2.5 * np.sin(1.7 * i + 2.3 * j + 0.4 * i * j) + np.array([1.2, 0.4, -0.3, -1.3])
    p = np.exp(z)
    return torch.from_numpy(p / p.sum(axis=1, keepdims=True))


QUAPY_PRIOR = torch.tensor([8, 4, 2, 1], dtype=torch.float64) / 15


def test_em_ends_where_quapy_ends() -> None:
    """Golden values: QuaPy 0.2.3, EMQ.EM(prior, posteriors, epsilon=1e-13), MAX_ITER 100000."""
    found = em(quapy_posteriors() / QUAPY_PRIOR, QUAPY_PRIOR, tolerance=1e-13, iterations=100000)
    assert found.converged
    expected = [0.30054215, 0.27302973, 0.21605858, 0.21036953]
    np.testing.assert_allclose(found.prior, expected, atol=1e-7)


def test_em_takes_the_steps_of_quapy() -> None:
    """Golden values: the same after MAX_ITER = 5 iterations."""
    found = em(quapy_posteriors() / QUAPY_PRIOR, QUAPY_PRIOR, tolerance=0, iterations=5)
    assert (found.iterations, found.converged) == (5, False)
    expected = [0.3252419, 0.29255206, 0.19919911, 0.18300694]
    np.testing.assert_allclose(found.prior, expected, atol=1e-7)


@pytest.mark.parametrize("pseudo", [0.5, 2.0, 10.0])
def test_em_with_a_dirichlet_prior_maximises_the_posterior(pseudo: float) -> None:
    """Against a general optimiser over softmax(a)."""
    u = (quapy_posteriors() / QUAPY_PRIOR).numpy()

    def loss(a: Array) -> float:
        log_q = a - np.log(np.exp(a).sum())
        return float(-np.log(u @ np.exp(log_q)).sum() - pseudo * log_q.sum())

    best = minimize(loss, np.zeros(4), method="BFGS", options={"gtol": 1e-9}).x
    expected = np.exp(best) / np.exp(best).sum()
    found = em(torch.from_numpy(u), QUAPY_PRIOR, pseudo, tolerance=1e-12, iterations=100000)
    np.testing.assert_allclose(found.prior, expected, atol=1e-5)


@pytest.mark.parametrize(("name", "hyper"), METHODS)
@pytest.mark.parametrize("prior", [SHIFTED, [0.25] * 4, [0.0, 0.5, 0.0, 0.5], PI.tolist()])
def test_em_finds_the_prior_for_every_method(
    name: str, hyper: dict[str, Any], prior: list[float]
) -> None:
    """Within 0.03 in each class with 4000 images: three standard errors of these mixtures."""
    method = get_method(name, COUNTS, **hyper)
    x, _ = points(prior, 4000)
    adapted = adapt("em", method, experts(method, train_scores(x)))
    np.testing.assert_allclose(found_prior(adapted), prior, atol=0.03)
    assert bayes_agreement(adapted, x, prior) > 0.97


def test_the_default_of_map_is_one_image_a_class_in_advance() -> None:
    method = get_method("ce", COUNTS)
    x, _ = points([0.0, 0.5, 0.0, 0.5], 50)
    logits = experts(method, train_scores(x))
    plain, default = (adapt("em", method, logits, **h) for h in ({"map": 1}, {}))
    assert found_prior(plain)[2] < 1e-3
    assert found_prior(default)[2] >= 1 / 54
    more = adapt("em", method, logits, map=1000)
    np.testing.assert_allclose(found_prior(more), 0.25, atol=0.02)


# -- hold-outs that are not distributed like the training set ----------------------------------------


def holdout(per_class: int = 400, seed: int = 5) -> tuple[Tensor, Tensor]:
    """As many images of each class: far from the training prior."""
    labels = torch.arange(4).repeat_interleave(per_class)
    rng = torch.Generator().manual_seed(seed)
    noise = torch.randn(len(labels), 2, generator=rng, dtype=torch.float64)
    return CENTRES[labels] + noise, labels


def test_hold_out_weights() -> None:
    labels = torch.tensor([0, 0, 0, 1, 3, 3])
    weights = importance(labels, torch.tensor(COUNTS))
    assert weights.mean().item() == pytest.approx(1)
    totals = torch.zeros(4).double().index_add(0, labels, weights) / 6
    np.testing.assert_allclose(totals, np.array([200, 60, 0, 6]) / 266)  # class 2 has none


def test_confusion_is_the_joint_table_of_the_training_distribution() -> None:
    labels = torch.tensor([0, 0, 1, 2, 3])
    said = torch.eye(4).double()[torch.tensor([0, 1, 1, 2, 0])]
    table = confusion(said, labels, importance(labels, torch.tensor(COUNTS)))
    a, b, c, d = PI
    np.testing.assert_allclose(
        table, [[a / 2, 0, 0, d], [a / 2, b, 0, 0], [0, 0, c, 0], [0, 0, 0, 0]]
    )


def distorted(scores: Tensor) -> Tensor:
    """A miscalibrated network: T = 0.5 and class biases, of which ``BETA`` is the correction."""
    return 2 * (scores - torch.from_numpy(BETA))


BETA = np.array([0.6, -0.9, 0.8, -0.5])


def test_bcts_recovers_a_planted_temperature_and_bias() -> None:
    """Within 0.15 from 4000 hold-out images, 1000 a class; unweighted it is off by more than 1."""
    x, labels = holdout(1000)
    scores = distorted(train_scores(x))
    found = fit_bcts(scores, labels, importance(labels, torch.tensor(COUNTS)), 0.0)
    assert found.inverse_temperature == pytest.approx(0.5, abs=0.05)
    np.testing.assert_allclose(found.shift, BETA - BETA.mean(), atol=0.15)
    unweighted = fit_bcts(scores, labels, torch.ones(len(labels)), 0.0)
    assert (unweighted.shift.numpy() - BETA + BETA.mean()).__abs__().max() > 1


def test_bcts_is_at_the_minimum() -> None:
    x, labels = holdout(20)
    scores = distorted(train_scores(x))
    weights = importance(labels, torch.tensor(COUNTS))

    def loss(x: Array) -> float:
        log_p = (x[0] * scores + torch.from_numpy(x[1:])).log_softmax(1)
        mean = -(weights * log_p[torch.arange(len(labels)), labels]).mean()
        return float(mean) + 0.01 * float(x[1:] @ x[1:])

    found = fit_bcts(scores, labels, weights, 0.01)
    start = np.array([1.0, 0, 0, 0, 0])
    options = {"fatol": 1e-13, "xatol": 1e-9, "maxiter": 20000}
    slow = minimize(loss, start, method="Nelder-Mead", options=options).x
    assert found.inverse_temperature == pytest.approx(slow[0], abs=1e-3)
    np.testing.assert_allclose(found.shift, slow[1:] - slow[1:].mean(), atol=1e-3)


def test_bcts_em_finds_the_prior_where_em_does_not() -> None:
    method = get_method("sade", COUNTS)
    inside, labels = holdout(1000)
    x, _ = points(SHIFTED, 4000)
    logits, held = (experts(method, distorted(train_scores(each))) for each in (x, inside))
    plain = adapt("em", method, logits)
    calibrated = adapt("bcts-em", method, logits, (held, labels))
    assert np.abs(found_prior(plain) - SHIFTED).max() > 0.07
    np.testing.assert_allclose(found_prior(calibrated), SHIFTED, atol=0.035)
    assert bayes_agreement(calibrated, x, SHIFTED) > bayes_agreement(plain, x, SHIFTED) + 0.05
    assert calibrated.diagnostics["temperature"] == pytest.approx(2, abs=0.2)
    assert calibrated.diagnostics["calibrated"] is True


def test_bcts_em_sees_no_shift_on_the_hold_out_itself() -> None:
    """With the weights of the training prior EM's first step stays where it is."""
    method = get_method("ce", COUNTS)
    inside, labels = holdout(50)
    weights = importance(labels, torch.tensor(COUNTS))
    chosen = torch.multinomial(weights, 20000, True, generator=torch.Generator().manual_seed(0))
    held = experts(method, distorted(train_scores(inside)))
    found = found_prior(adapt("bcts-em", method, held[chosen], (held, labels), map=1))
    np.testing.assert_allclose(found, PI, atol=0.02)


@pytest.mark.parametrize("classifier", ["training", "uniform"])
@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("strategy", ["bbse", "rlls"])
def test_confusion_strategies_find_the_prior(strategy: str, soft: bool, classifier: str) -> None:
    """Within 0.07 in each class from a miscalibrated network: only p(x|y) must stay."""
    method = get_method("balanced-softmax", COUNTS)
    inside, labels = holdout(2000)
    x, _ = points(SHIFTED, 8000)
    mild = 1.3
    logits, held = (experts(method, mild * train_scores(each)) for each in (x, inside))
    adapted = adapt(strategy, method, logits, (held, labels), soft=soft, classifier=classifier)
    np.testing.assert_allclose(found_prior(adapted), SHIFTED, atol=0.07)
    assert adapted.diagnostics["rank"] == 4
    assert adapted.diagnostics["failed"] is False


def test_unweighted_confusion_would_be_wrong() -> None:
    """Guards the tests above: the weights decide."""
    inside, labels = holdout(2000)
    x, _ = points(SHIFTED, 8000)
    said, target = (torch.eye(4).double()[train_scores(p).argmax(1)] for p in (inside, x))
    errors = []
    for weights in (importance(labels, torch.tensor(COUNTS)), torch.ones(len(labels)).double()):
        table = confusion(said, labels, weights)
        w = np.linalg.solve(table.numpy(), target.mean(0).numpy())
        q = np.maximum(w, 0) * PI
        errors.append(np.abs(q / q.sum() - SHIFTED).max())
    assert errors[0] < 0.07 < 0.15 < errors[1]


def random_moments(seed: int, size: int = 6) -> Moments:
    rng = np.random.default_rng(seed)
    right = np.diag(rng.dirichlet(np.ones(size)))
    wrong = rng.dirichlet(np.ones(size * size)).reshape(size, size)
    return Moments(0.7 * right + 0.3 * wrong, rng.dirichlet(np.ones(size)), 200)


@pytest.mark.parametrize("seed", range(5))
def test_bbse_is_the_direct_solution(seed: int) -> None:
    found = random_moments(seed)
    weights, rank = solve(found)
    assert rank == 6
    np.testing.assert_allclose(weights, np.linalg.solve(found.table, found.target))


def test_a_singular_table_gives_no_shift_where_nothing_is_known() -> None:
    """Class 2 is never said and has no hold-out image; the rest is solved."""
    table = np.array([[0.5, 0.1, 0], [0.1, 0.3, 0], [0, 0, 0]])
    weights, rank = solve(Moments(table, np.array([0.3, 0.7, 0.0]), 10))
    assert rank == 2
    np.testing.assert_allclose(weights[:2], np.linalg.solve(table[:2, :2], [0.3, 0.7]))
    assert weights[2] == pytest.approx(1)


@pytest.mark.parametrize("rho", [0.0, 0.001, 0.01, 0.05, 0.2, 5.0])
@pytest.mark.parametrize("seed", range(4))
def test_rlls_is_at_the_minimum(seed: int, rho: float) -> None:
    """Against a general constrained solver with smoothed norms."""
    found = random_moments(seed)
    gap = found.target - found.table.sum(axis=1)

    def loss(theta: Array, smooth: float = 0.0) -> float:
        residual = found.table @ theta - gap
        return float(np.sqrt(residual @ residual + smooth) + rho * np.sqrt(theta @ theta + smooth))

    bounds = [(-1, None)] * 6
    slow = np.zeros(6)
    for smooth in (1e-4, 1e-7, 1e-10):
        options = {"maxiter": 2000, "ftol": 1e-14}
        slow = minimize(loss, slow, (smooth,), "SLSQP", bounds=bounds, options=options).x
    weights = regularised(found, rho)
    assert weights.min() >= 0
    assert loss(weights - 1) <= loss(np.maximum(slow, -1)) + 1e-6


def test_rlls_without_regularisation_is_bbse_where_that_is_not_negative() -> None:
    table = np.array([[0.5, 0.1], [0.1, 0.3]])
    found = Moments(table, np.array([0.55, 0.45]), 10)
    np.testing.assert_allclose(regularised(found, 0.0), solve(found)[0], atol=1e-5)
    np.testing.assert_allclose(regularised(found, 100.0), [1, 1])


def test_the_strength_of_rlls_is_the_published_bound() -> None:
    """C = 10, H = 1000, alpha = 0.01, delta = 0.05: 2 ln 400 = 11.98293."""
    expected = 0.03 * (11.98293 / 3000 + (11.98293 / 1000) ** 0.5)
    assert deviation(10, 1000, 0.01, 0.05) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("strategy", ["bcts-em", "bbse", "rlls"])
def test_classes_without_hold_out_images_give_no_nan(strategy: str) -> None:
    method = get_method("sade", COUNTS)
    inside, labels = holdout(5)
    kept = labels < 3
    held = experts(method, train_scores(inside[kept])), labels[kept]
    adapted = adapt(strategy, method, experts(method, train_scores(points(SHIFTED, 30)[0])), held)
    assert not torch.isnan(adapted.logits).any()
    assert torch.isfinite(adapted.logits.amax(1)).all()
    assert found_prior(adapted).sum() == pytest.approx(1)


@pytest.mark.parametrize("strategy", ["bcts-em", "bbse", "rlls"])
def test_without_a_hold_out_nothing_is_invented(strategy: str) -> None:
    method = get_method("ce", COUNTS)
    with pytest.raises(ContractError, match="no hold-out"):
        adapt(strategy, method, torch.zeros(3, 1, 4))


def test_weights_for_another_prior() -> None:
    labels = torch.tensor([0, 1, 1, 2, 3])
    weights = weights_for(labels, torch.tensor([0.1, 0.2, 0.3, 0.4]))
    np.testing.assert_allclose(weights, 5 * np.array([0.1, 0.1, 0.1, 0.3, 0.4]), rtol=1e-6)
