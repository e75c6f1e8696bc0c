"""The prior that logits carry: 1 where theory says so, and otherwise as a slow transcription has it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import scipy
import torch
from numpy.typing import NDArray
from torch import Tensor

from ltbench import get_method
from ltbench.evaluate.carried_prior import (
    Sample,
    carried_prior,
    group_masses,
    held_out_sample,
    mass_errors,
    training_sample,
)

COUNTS = [40, 20, 10, 6, 3]
GROUPS = {"many": [0, 1], "medium": [2], "few": [3, 4]}
C = len(COUNTS)


def trained(bias: NDArray[np.float64], *, class_bias: bool) -> tuple[Tensor, Tensor]:
    """Logits ``(N, 1, C)`` float64 and labels of a linear head W f + b that minimises, by L-BFGS, the
    mean cross-entropy on z + bias, with decay on W alone; without ``class_bias`` b stays 0."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(C), COUNTS)
    features = rng.normal(size=(C, 4))[labels] + rng.normal(size=(len(labels), 4))
    one_hot = np.eye(C)[labels]

    def objective(theta: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        w, b = theta[: 4 * C].reshape(4, C), theta[4 * C :] * class_bias
        log_p = scipy.special.log_softmax(features @ w + b + bias, axis=1)
        slope = (np.exp(log_p) - one_hot) / len(labels)
        loss = -(one_hot * log_p).sum() / len(labels) + 0.005 * (w**2).sum()
        of_w = features.T @ slope + 0.01 * w
        return loss, np.concatenate([of_w.ravel(), slope.sum(axis=0) * class_bias])

    options = {"maxiter": 10_000, "maxfun": 100_000, "ftol": 0.0, "gtol": 1e-10}
    start = np.zeros(5 * C)
    found = scipy.optimize.minimize(objective, start, jac=True, method="L-BFGS-B", options=options)
    w, b = found.x[: 4 * C].reshape(4, C), found.x[4 * C :] * class_bias
    return torch.from_numpy(features @ w + b)[:, None], torch.from_numpy(labels)


def ratios(method: Any, logits: Tensor, labels: Tensor) -> Tensor:
    """``(G,)``, not rounded as in the record."""
    sample = training_sample(logits, labels, method.counts)
    mean = group_masses(method, sample, GROUPS)[:, -1].mean(dim=0)
    prior = method.counts.double() / method.counts.sum()
    return mean / torch.stack([prior[members].sum() for members in GROUPS.values()])


@pytest.mark.parametrize("name", ["ce", "balanced-softmax"])
def test_a_converged_head_whose_bias_is_not_decayed_has_a_ratio_of_1(name: str) -> None:
    method = get_method(name, COUNTS)
    bias = method.bias()
    assert bias is not None
    logits, labels = trained(bias[0].double().numpy(), class_bias=True)
    assert (ratios(method, logits, labels) - 1).abs().max() < 1e-6
    block = carried_prior(method, training_sample(logits, labels, method.counts), GROUPS)
    assert block["mean"] == {"many": 1.0, "medium": 1.0, "few": 1.0}


def test_a_head_without_class_bias_is_caught() -> None:
    """So is a bias that is not that of the loss: the test above could fail."""
    method = get_method("ce", COUNTS)
    logits, labels = trained(np.zeros(C), class_bias=False)
    assert ratios(method, logits, labels)[2] > 1.5
    logits, labels = trained(np.zeros(C), class_bias=True)
    assert ratios(get_method("balanced-softmax", COUNTS), logits, labels)[2] < 0.8


def softmax(values: list[float]) -> list[float]:
    top = max(values)
    exps = [math.exp(v - top) for v in values]
    return [e / sum(exps) for e in exps]


def slow(
    logits: NDArray[np.float32], bias: NDArray[np.float32], labels: list[int]
) -> tuple[list[dict[str, float]], dict[str, float]]:
    """Ratios of each expert and of their mean, and the standard error of the last, image by image."""
    held = [labels.count(c) for c in range(C)]
    seen = [c for c in range(C) if held[c] > 0]
    total = sum(COUNTS[c] for c in seen)
    weight = [COUNTS[y] / total / held[y] for y in labels]
    experts = logits.shape[1]
    told = []
    for image in logits.astype(np.float64):
        scores = [[float(image[e][c]) + float(bias[e][c]) for c in seen] for e in range(experts)]
        scores.append([sum(s[k] for s in scores) / experts for k in range(len(seen))])
        told.append([softmax(s) for s in scores])
    result = []
    for e in range(experts + 1):
        own = {}
        for group, members in GROUPS.items():
            prior = sum(COUNTS[c] for c in seen if c in members) / total
            mass = sum(
                w * sum(p[e][k] for k, c in enumerate(seen) if c in members)
                for w, p in zip(weight, told, strict=True)
            )
            own[group] = mass / prior
        result.append(own)
    errors = {}
    for group, members in GROUPS.items():
        variance = 0.0
        for stratum in GROUPS.values():
            inside = [i for i, y in enumerate(labels) if y in stratum]
            mass_of = {
                i: sum(told[i][-1][k] for k, c in enumerate(seen) if c in members) for i in inside
            }
            middle = sum(weight[i] * mass_of[i] for i in inside) / sum(weight[i] for i in inside)
            spread = sum((weight[i] * (mass_of[i] - middle)) ** 2 for i in inside)
            variance += spread * len(inside) / (len(inside) - 1)
        prior = sum(COUNTS[c] for c in seen if c in members) / total
        errors[group] = math.sqrt(variance) / prior
    return result, errors


@pytest.mark.parametrize("held", [[3, 3, 3, 3, 3], [2, 5, 4, 3, 0]], ids=["balanced", "absent"])
def test_a_hold_out_unlike_training_against_a_slow_transcription(held: list[int]) -> None:
    method = get_method("sade", COUNTS)
    labels = torch.arange(C).repeat_interleave(torch.tensor(held))
    logits = 2 * torch.randn(len(labels), 3, C, generator=torch.Generator().manual_seed(1))
    bias = method.bias()
    assert bias is not None
    expected, errors = slow(logits.numpy(), bias.numpy(), labels.tolist())
    block: Any = carried_prior(method, held_out_sample(logits, labels, method.counts), GROUPS)
    assert (block["source"], block["images"]) == ("holdout", sum(held))
    for own, slowly in zip([*block["experts"], block["mean"]], expected, strict=True):
        assert own == pytest.approx(slowly, rel=2e-5)  # six digits, and float32 sums of z + b
    assert block["error"] == pytest.approx(errors, rel=2e-5)


def test_exact_posteriors_have_a_ratio_of_1_on_a_balanced_hold_out() -> None:
    """Gaussian classes whose posterior is known; the error that is told covers what is off."""
    rng = torch.Generator().manual_seed(3)
    centres = torch.randn(C, 3, generator=rng).double()
    labels = torch.arange(C).repeat_interleave(4000)
    points = centres[labels] + torch.randn(len(labels), 3, generator=rng).double()
    log_pi = (torch.tensor(COUNTS).double() / sum(COUNTS)).log()
    logits = (-(torch.cdist(points, centres) ** 2) / 2 + log_pi)[:, None]
    method = get_method("ce", COUNTS)
    block: Any = carried_prior(method, held_out_sample(logits, labels, method.counts), GROUPS)
    for group in GROUPS:
        assert 0 < block["error"][group] < 0.03
        assert abs(block["mean"][group] - 1) < 4 * block["error"][group]


def test_the_error_is_the_spread_over_samples() -> None:
    """Masses drawn anew, stratum by stratum: the mean square error told is the variance found."""
    rng = torch.Generator().manual_seed(5)
    labels = torch.arange(C).repeat_interleave(torch.tensor([9, 8, 5, 4, 4]))
    weights = torch.rand(len(labels), generator=rng).double() + 0.5
    present = torch.ones(C).bool()
    sample = Sample("holdout", torch.zeros(len(labels), 1, C), labels, weights, present)
    scale = torch.tensor([0.1, 0.1, 0.3, 0.5, 0.5])[labels][:, None].double()
    means, squares = [], []
    for _ in range(4000):
        masses = scale * torch.randn(len(labels), 3, generator=rng).double()
        means.append((weights[:, None] * masses).sum(dim=0) / weights.sum())
        squares.append(mass_errors(masses, sample, GROUPS) ** 2)
    found, told = torch.stack(means).var(dim=0), torch.stack(squares).mean(dim=0)
    torch.testing.assert_close(told, found, rtol=0.1, atol=0)
