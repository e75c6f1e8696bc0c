"""The oracle against Bayes' rule where the true posterior is known."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ltbench import get_method, get_strategy
from ltbench.method import Method
from ltbench.strategy import Adapted, OptimizerSettings, Source, UnlabelledTest

COUNTS = [200, 60, 20, 6, 2]
CENTRES = torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0], [2.0, 2.0], [1.0, 1.0]])
SGD = OptimizerSettings(0.1, 0.9, True, 5e-4)


def log_likelihood(points: Tensor) -> Tensor:
    """log p(x|y) + const of unit Gaussians: ``(N, 2)`` to ``(N, C)``, float64."""
    return -0.5 * (points[:, None].double() - CENTRES.double()).square().sum(2)


def points(prior: list[float], n: int = 400, seed: int = 0) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    labels = torch.multinomial(torch.tensor(prior), n, True, generator=rng)
    return CENTRES[labels] + torch.randn(n, 2, generator=rng), labels


def ideal_logits(method: Method[Any], x: Tensor) -> Tensor:
    """What perfectly trained experts give: softmax(z_e + b_e) = P_train(y|x), up to a constant."""
    bias = method.bias()
    assert bias is not None
    pi = torch.tensor(COUNTS, dtype=torch.float64) / sum(COUNTS)
    posterior = (log_likelihood(x) + pi.log()).log_softmax(1)
    constants = torch.arange(len(bias), dtype=torch.float64)[:, None] * 3 - 1
    return (posterior[:, None] - bias.double() + constants).float()


def oracle(method: Method[Any], logits: Tensor, prior: list[float]) -> Adapted:
    source = Source(method, method.bias(), "closed-form", SGD)
    test = UnlabelledTest(logits, true_prior=torch.tensor(prior, dtype=torch.float64))
    return get_strategy("oracle").adapt(test, source, torch.Generator())


METHODS: list[tuple[str, dict[str, Any]]] = [
    ("ce", {}),
    ("balanced-softmax", {}),
    ("logit-adjustment", {}),
    ("logit-adjustment", {"where": "loss", "tau": 1.7}),
    ("sade", {}),
    ("sade", {"tau": 0.5}),
]
PRIORS = {
    "uniform": [0.2] * 5,
    "training": [n / sum(COUNTS) for n in COUNTS],
    "backward": [n / sum(COUNTS) for n in COUNTS[::-1]],
    "partial": [0.0, 0.5, 0.0, 0.25, 0.25],
}


@pytest.mark.parametrize("prior", PRIORS.values(), ids=PRIORS)
@pytest.mark.parametrize(("name", "hyper"), METHODS)
def test_oracle_is_bayes_rule(name: str, hyper: dict[str, Any], prior: list[float]) -> None:
    method = get_method(name, COUNTS, **hyper)
    x, labels = points(prior)
    scores = oracle(method, ideal_logits(method, x), prior).logits
    exact = (log_likelihood(x) + torch.tensor(prior, dtype=torch.float64).log()).softmax(1)
    torch.testing.assert_close(scores.softmax(1).double(), exact, atol=1e-5, rtol=1e-4)
    assert torch.equal(scores.argmax(1), exact.argmax(1))
    hits = (scores.argmax(1) == labels).double().mean().item()
    assert hits == pytest.approx(exact.amax(1).mean().item(), abs=0.08)  # Bayes accuracy


def test_oracle_beats_no_adaptation_where_the_prior_has_moved() -> None:
    method = get_method("ce", COUNTS)
    x, labels = points(PRIORS["backward"])
    logits = ideal_logits(method, x)
    adapted = oracle(method, logits, PRIORS["backward"]).logits.argmax(1) == labels
    plain = method.predict(logits).argmax(1) == labels
    assert adapted.double().mean() > plain.double().mean() + 0.2


def test_without_the_bias_sade_would_not_be_exact() -> None:
    """Guards the test above: the bias decides predictions."""
    method = get_method("sade", COUNTS)
    x, _ = points(PRIORS["uniform"])
    logits = ideal_logits(method, x)
    without = Source(method, torch.zeros(3, 5), "closed-form", SGD)
    test = UnlabelledTest(logits, true_prior=torch.full((5,), 0.2, dtype=torch.float64))
    wrong = get_strategy("oracle").adapt(test, without, torch.Generator()).logits
    right = oracle(method, logits, PRIORS["uniform"]).logits
    assert (wrong.argmax(1) != right.argmax(1)).any()


def test_absent_classes_are_never_predicted_and_nothing_is_nan() -> None:
    method = get_method("sade", COUNTS)
    logits = ideal_logits(method, points(PRIORS["training"])[0])  # many of the absent class 0
    adapted = oracle(method, logits, PRIORS["partial"])
    assert set(adapted.logits.argmax(1).tolist()) <= {1, 3, 4}
    assert not torch.isnan(adapted.logits).any()
    assert torch.equal(
        torch.isneginf(adapted.logits).any(0), torch.tensor([True, False, True, False, False])
    )
    assert torch.isfinite(adapted.logits.amax(1)).all()


def test_a_single_class_is_always_predicted() -> None:
    method = get_method("ce", COUNTS)
    logits = ideal_logits(method, points(PRIORS["training"])[0])
    scores = oracle(method, logits, [0.0, 0.0, 0.0, 0.0, 1.0]).logits
    assert set(scores.argmax(1).tolist()) == {4}


def test_sade_in_closed_form() -> None:
    """z-mean + 2/3 log pi - tau/3 log pi-bar - log pi + log q (METHODS.md, section 2.2)."""
    method = get_method("sade", COUNTS)
    rng = torch.Generator().manual_seed(0)
    logits = torch.randn(4, 3, 5, generator=rng)
    pi = np.array(COUNTS) / sum(COUNTS)
    q = np.array(PRIORS["backward"])
    shift = 2 / 3 * np.log(pi) - 2 / 3 * np.log(pi[::-1]) - np.log(pi) + np.log(q)
    expected = logits.mean(1).double().numpy() + shift
    scores = oracle(method, logits, PRIORS["backward"]).logits
    np.testing.assert_allclose(scores.double().numpy(), expected, rtol=1e-5, atol=1e-5)


def test_frozen_predictor_and_prior_are_handed_on() -> None:
    method = get_method("ce", COUNTS)
    logits = ideal_logits(method, points(PRIORS["training"], n=6)[0])
    adapted = oracle(method, logits, PRIORS["uniform"])
    assert adapted.frozen is not None
    assert adapted.prior is not None
    assert torch.equal(adapted.frozen(logits[3:]), adapted.logits[3:])
    assert adapted.prior.tolist() == pytest.approx([0.2] * 5)
    assert math.isclose(adapted.prior.sum().item(), 1)


def test_ride_has_no_closed_form_and_its_reference_is_the_bias_of_a_weighted_loss() -> None:
    """argmin over z of sum_y P(y) w_y (-log softmax(z)_y) is softmax(z) = w P, hence z - log w = log P."""
    method = get_method("ride", COUNTS)
    assert method.bias() is None
    reference = method.reference_bias()
    assert reference is not None
    n = torch.tensor(COUNTS).double()
    weights = (1 - 0.9999) / (1 - 0.9999**n)
    for bias in reference.double():
        difference = bias + weights.log()
        torch.testing.assert_close(
            difference, difference.mean().expand_as(difference), atol=1e-5, rtol=0
        )
    never = get_method("ride", COUNTS, reweight_from=1.0).reference_bias()
    assert never is not None
    assert not never.any()  # training never re-weights
