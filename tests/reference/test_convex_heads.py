"""Linear heads on features, trained to the optimum in float64: a convex problem with one solution."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor
from torch.nn import functional as F

from ltbench import get_method
from ltbench.data.digits import load_digits
from ltbench.data.feature_source import grey_values

CLASSES, KEPT = 5, (60, 40, 25, 15, 10)
DECAY = 1e-2
"""Of the weights, not of the biases: L2 / 2 per image, which makes the optimum one."""

Objective = Callable[[Tensor], Tensor]


@pytest.fixture(scope="module")
def digits() -> tuple[Tensor, Tensor]:
    """Pixels of five digits ``(N, 64)`` float64, long-tailed, and their labels."""
    train = load_digits().train
    rows = [np.flatnonzero(train.labels == c)[:n] for c, n in enumerate(KEPT)]
    chosen = np.concatenate(rows)
    features = torch.from_numpy(grey_values(train.read(chosen))).double()
    return features, torch.from_numpy(train.labels[chosen].copy())


def optimum(features: Tensor, objective: Objective) -> tuple[Tensor, Tensor]:
    """Weight ``(C, D)`` and bias ``(C,)``, the latter with mean 0, by L-BFGS."""
    weight = torch.zeros(CLASSES, features.shape[1], dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(CLASSES, dtype=torch.float64, requires_grad=True)
    solver = torch.optim.LBFGS(
        [weight, bias], max_iter=3000, tolerance_grad=1e-10, tolerance_change=0.0,
        history_size=50, line_search_fn="strong_wolfe",
    )  # fmt: skip

    def closure() -> Tensor:
        solver.zero_grad()
        loss = objective(features @ weight.T + bias) + DECAY / 2 * weight.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    solver.step(closure)
    found = bias.detach()
    return weight.detach(), found - found.mean()


def trained_by(method: Any, features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    return optimum(features, lambda z: method.loss(z[:, None], labels, progress=0.0))


def test_cross_entropy_is_logistic_regression(digits: tuple[Tensor, Tensor]) -> None:
    features, labels = digits
    weight, bias = trained_by(get_method("ce", KEPT), features, labels)
    theirs = LogisticRegression(C=1 / (DECAY * len(labels)), tol=1e-10, max_iter=10_000)
    theirs.fit(features.numpy(), labels.numpy())
    np.testing.assert_allclose(weight.numpy(), theirs.coef_, atol=1e-4)
    intercept = theirs.intercept_ - theirs.intercept_.mean()
    np.testing.assert_allclose(bias.numpy(), intercept, atol=1e-4)


def test_a_converged_bias_carries_the_training_prior(digits: tuple[Tensor, Tensor]) -> None:
    """The mean posterior over the training images is the prior where the bias is not decayed."""
    features, labels = digits
    weight, bias = trained_by(get_method("ce", KEPT), features, labels)
    posterior = F.softmax(features @ weight.T + bias, dim=1).mean(dim=0)
    prior = torch.tensor(KEPT, dtype=torch.float64) / sum(KEPT)
    torch.testing.assert_close(posterior, prior, atol=1e-6, rtol=0)


def test_balanced_softmax_is_cross_entropy_adjusted_afterwards(
    digits: tuple[Tensor, Tensor],
) -> None:
    features, labels = digits
    plain, balanced = get_method("ce", KEPT), get_method("balanced-softmax", KEPT)
    weight, bias = trained_by(plain, features, labels)
    other, moved = trained_by(balanced, features, labels)
    torch.testing.assert_close(other, weight, atol=1e-5, rtol=0)
    adjusted = get_method("logit-adjustment", KEPT)
    scores = adjusted.predict((features @ weight.T + bias)[:, None].float())
    theirs = balanced.predict((features @ other.T + moved)[:, None].float())
    gaps = (scores - theirs) - (scores - theirs).mean(dim=1, keepdim=True)
    assert gaps.abs().max() < 1e-4
    assert torch.equal(scores.argmax(dim=1), theirs.argmax(dim=1))
    # Not because nothing differs: the biases do, by the logarithm of the prior.
    log_prior = (torch.tensor(KEPT, dtype=torch.float64) / sum(KEPT)).log()
    expected = bias - log_prior + log_prior.mean()
    torch.testing.assert_close(moved, expected, atol=1e-4, rtol=0)
