"""LSC against slow transcriptions: masks, simulated sets, and the regressor's training by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ltbench import get_method, get_strategy
from ltbench.labelshift.simulated import (
    centred,
    drawn_means,
    keep_top,
    learn,
    regressor,
    simulated_counts,
    smallest_k,
)
from ltbench.strategy import OptimizerSettings, Source, UnlabelledTest

Array = np.ndarray[Any, np.dtype[np.float64]]
SGD = OptimizerSettings(lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)
COUNTS = [40, 3, 100, 16, 8]
"""Not in the order of their numbers."""


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# -- masks ---------------------------------------------------------------------------------------


def test_the_k_largest_stay_and_the_others_are_zero() -> None:
    values = torch.randn(20, 7, generator=rng())
    for k in (1, 3, 7):
        expected = [
            [v if sorted(row, reverse=True).index(v) < k else 0.0 for v in row]
            for row in values.tolist()
        ]
        assert torch.equal(keep_top(values, k), torch.tensor(expected))


@pytest.mark.parametrize("tolerance", [0.0, 0.3, 0.8, 0.99, 1.0])
def test_k_is_the_least_whose_weighted_accuracy_exceeds_the_tolerance(tolerance: float) -> None:
    logits = torch.randn(60, 6, generator=rng(1))
    labels = torch.randint(6, (60,), generator=rng(2))
    weights = torch.rand(60, generator=rng(3)).double()
    expected = 6
    for k in range(6, 0, -1):
        right = 0.0
        for row, y, w in zip(logits.tolist(), labels.tolist(), weights.tolist(), strict=True):
            best = sorted(range(6), key=lambda j, row=row: -row[j])[:k]
            right += w if y in best else 0.0
        if right > tolerance * sum(weights.tolist()):
            expected = k
    assert smallest_k(logits, labels, weights, tolerance) == expected


# -- simulated sets ------------------------------------------------------------------------------


def test_profiles_run_forward_and_backward() -> None:
    counts = simulated_counts(100, 5, np.array([1.0, 16.0]))
    expected = [[int(100 * (1 / r) ** (j / 4)) for j in range(5)] for r in (1.0, 16.0)]
    expected += [row[::-1] for row in expected]
    assert counts.tolist() == expected


def test_a_set_is_drawn_with_replacement_from_the_images_of_each_class() -> None:
    features = torch.randn(9, 4, generator=rng(), dtype=torch.float64)
    ranks = torch.tensor([0, 2, 0, 2, 0, 0, 2, 3, 3])  # none of rank 1
    counts = np.array([[5, 2, 0, 7], [0, 1, 4, 2]])
    found = drawn_means(features, ranks, counts, np.random.default_rng(4))
    source, chosen = np.random.default_rng(4), np.zeros((2, 9))
    for rank in (0, 2, 3):
        own = [i for i in range(9) if ranks[i] == rank]
        for row, sizes in enumerate(source.multinomial(counts[:, rank], [1 / len(own)] * len(own))):
            for i, size in zip(own, sizes, strict=True):
                chosen[row, i] = size
    for row in range(2):
        drawn = [features[i].numpy() for i in range(9) for _ in range(int(chosen[row, i]))]
        assert len(drawn) == counts[row, [0, 2, 3]].sum()
        np.testing.assert_allclose(found[row].numpy(), sum(drawn) / len(drawn), rtol=1e-12)


# -- the regressor -------------------------------------------------------------------------------


def slow_training(
    parameters: list[Array], means: Array, goals: Array, epochs: int, batch: int, lr: float
) -> float:
    """Adam (0.9, 0.999, 1e-8) by hand, slopes by the chain rule; returns the last loss."""
    first, second = ([np.zeros_like(p) for p in parameters] for _ in range(2))
    step, loss = 0, 0.0
    for _ in range(epochs):
        for start in range(0, len(means), batch):
            x, p = means[start : start + batch], goals[start : start + batch]
            step, loss = step + 1, 0.0
            slopes = [np.zeros_like(each) for each in parameters]
            w1, b1, w2, b2 = parameters
            for xi, pi in zip(x, p, strict=True):
                inner = w1 @ xi + b1
                hidden = np.array([max(v, 0.0) for v in inner])
                out = w2 @ hidden + b2
                q = np.exp(out - out.max())
                q /= q.sum()
                loss += sum(a * math.log(a / b) for a, b in zip(pi, q, strict=True) if a) / len(x)
                back = (q * pi.sum() - pi) / len(x)
                inside = (w2.T @ back) * (inner > 0)
                for slope, part in zip(
                    slopes,
                    (np.outer(inside, xi), inside, np.outer(back, hidden), back),
                    strict=True,
                ):
                    slope += part
            for p_, g, m, v in zip(parameters, slopes, first, second, strict=True):
                m += 0.1 * (g - m)
                v += 0.001 * (g * g - v)
                p_ -= lr * (m / (1 - 0.9**step)) / (np.sqrt(v / (1 - 0.999**step)) + 1e-8)
    return loss


def test_the_regressor_is_trained_as_by_hand() -> None:
    means = torch.randn(7, 6, generator=rng(1), dtype=torch.float64)
    goals = torch.rand(7, 3, generator=rng(2), dtype=torch.float64)
    goals[0, 1] = 0.0
    goals = goals / goals.sum(dim=1, keepdim=True)
    network = regressor(6, 3, rng(3)).double()
    by_hand = [p.detach().numpy().copy() for p in network.parameters()]
    assert [p.shape for p in by_hand] == [(9, 6), (9,), (3, 9), (3,)]
    assert all(np.abs(p).max() <= 6**-0.5 for p in by_hand[:2])
    assert all(np.abs(p).max() <= 9**-0.5 for p in by_hand[2:])
    loss = learn(network, means, goals, epochs=5, batch_size=4, lr=0.05)
    expected = slow_training(by_hand, means.numpy(), goals.numpy(), 5, 4, 0.05)
    assert loss == pytest.approx(expected, rel=1e-9)
    for found, slow in zip(network.parameters(), by_hand, strict=True):
        np.testing.assert_allclose(found.detach().numpy(), slow, rtol=1e-7, atol=1e-9)


# -- the strategy --------------------------------------------------------------------------------


def world(labels: Tensor, seed: int) -> Tensor:
    """Logits ``(N, 1, C)`` of a classifier that is mostly right, with the training prior."""
    log_pi = torch.tensor(COUNTS).float().log()
    noise = torch.randn(len(labels), 1, 5, generator=rng(seed))
    return 1.5 * noise + 4 * torch.eye(5)[labels][:, None] + log_pi


def adapted(test: Tensor, copies: int = 1, **hyper: Any) -> Any:
    """copies: hold-out images for each of 20, 6, 40, 10 and 8."""
    held = torch.arange(5).repeat_interleave(copies * torch.tensor([20, 6, 40, 10, 8]))
    method = get_method("ce", COUNTS)
    source = Source(
        method, method.bias(), "closed-form", SGD,
        holdout_logits=world(held, 1), holdout_labels=held,
    )  # fmt: skip
    return get_strategy("lsc", **hyper).adapt(UnlabelledTest(test), source, rng(9))


@pytest.mark.parametrize("ratio", [30.0, 1.0, 1 / 30])
def test_it_finds_a_shift_of_the_shape_it_was_taught(ratio: float) -> None:
    order = sorted(range(5), key=lambda j: -COUNTS[j])
    q = torch.tensor([ratio ** (-order.index(j) / 4) for j in range(5)])
    q = q / q.sum()
    labels = torch.multinomial(q, 600, replacement=True, generator=rng(5))
    test = world(labels, 6)
    found = adapted(test, copies=30)
    assert found.prior.sum().item() == pytest.approx(1)
    assert (found.prior - q).abs().sum() / 2 < 0.1
    scores = test[:, 0] - torch.tensor(COUNTS).float().log() + found.prior.log().float()
    apart = found.logits - scores
    torch.testing.assert_close(apart, apart[:, :1].expand(-1, 5), atol=1e-4, rtol=0)


def test_temper_divides_the_logarithm_of_the_estimate() -> None:
    test = world(torch.arange(5).repeat(20), 6)
    one, three = adapted(test), adapted(test, temper=3)
    assert torch.equal(one.prior, three.prior)
    apart = one.logits - three.logits
    torch.testing.assert_close(apart[0].double(), one.prior.log() * 2 / 3, atol=1e-4, rtol=0)


def test_a_constant_on_an_image_says_nothing() -> None:
    test = world(torch.arange(5).repeat(20), 6)
    moved = adapted(test + torch.randn(100, 1, 1, generator=rng(7)))
    torch.testing.assert_close(moved.prior, adapted(test).prior, atol=1e-5, rtol=0)
    torch.testing.assert_close(centred(test).mean(dim=-1), torch.zeros(100, 1), atol=1e-5, rtol=0)
