"""Metrics against naive loops and against scikit-learn."""

from __future__ import annotations

import base64
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, log_loss, recall_score
from torch import Tensor

from ltbench.evaluate import metrics


def example(n: int = 200, classes: int = 7, seed: int = 0) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, (n,), generator=rng)
    scores = 2 * torch.randn(n, classes, generator=rng)
    scores[torch.arange(n), labels] += 1.0
    return scores, labels


def probabilities(scores: Tensor) -> list[list[float]]:
    rows = []
    for row in scores.double().tolist():
        powers = [math.exp(v - max(row)) for v in row]
        rows.append([p / sum(powers) for p in powers])
    return rows


def test_top1_and_recalls_against_scikit_learn() -> None:
    scores, labels = example()
    hits = metrics.correct(scores, labels)
    predicted = scores.argmax(1)
    assert hits.double().mean().item() == pytest.approx(accuracy_score(labels, predicted))
    recalls = metrics.per_class_recall(hits, labels, 7)
    expected = 100 * recall_score(labels, predicted, average=None)
    np.testing.assert_allclose(np.array(recalls, dtype=float), expected)
    macro = metrics.mean_recall(recalls)
    assert macro == pytest.approx(100 * recall_score(labels, predicted, average="macro"))


def test_of_equal_scores_the_first_class_wins() -> None:
    scores = torch.zeros(3, 4)
    assert metrics.correct(scores, torch.tensor([0, 1, 3])).tolist() == [True, False, False]


def test_a_class_without_images_has_no_recall_and_leaves_the_mean_alone() -> None:
    labels = torch.tensor([0, 0, 2, 2])
    hits = torch.tensor([True, False, True, True])
    recalls = metrics.per_class_recall(hits, labels, 4)
    assert recalls == [50.0, None, 100.0, None]
    assert metrics.mean_recall(recalls) == 75.0
    assert metrics.mean_recall(recalls, [1, 2]) == 100.0
    assert metrics.mean_recall(recalls, [1, 3]) is None
    assert metrics.mean_recall(recalls, []) is None


def test_negative_log_likelihood_against_scikit_learn() -> None:
    scores, labels = example()
    expected = log_loss(labels, np.array(probabilities(scores)), labels=range(7))
    assert metrics.negative_log_likelihood(scores, labels) == pytest.approx(expected)


def test_a_ruled_out_class_costs_infinitely_much() -> None:
    scores = torch.tensor([[0.0, -math.inf], [0.0, 0.0]])
    assert metrics.negative_log_likelihood(scores, torch.tensor([1, 0])) == math.inf
    assert metrics.negative_log_likelihood(scores, torch.tensor([0, 0])) == pytest.approx(
        math.log(2) / 2
    )


def naive_ece(scores: Tensor, labels: Tensor, bins: int = 15) -> float:
    """Bins ((m-1)/M, m/M], as in Guo et al."""
    rows = probabilities(scores)
    total = 0.0
    for m in range(1, bins + 1):
        members = [i for i, row in enumerate(rows) if (m - 1) / bins < max(row) <= m / bins]
        if members:
            hit = sum(rows[i].index(max(rows[i])) == labels[i] for i in members) / len(members)
            sure = sum(max(rows[i]) for i in members) / len(members)
            total += len(members) / len(rows) * abs(hit - sure)
    return total


@pytest.mark.parametrize("seed", range(5))
def test_calibration_error_against_a_loop(seed: int) -> None:
    scores, labels = example(n=120, seed=seed)
    expected = naive_ece(scores, labels)
    assert metrics.expected_calibration_error(scores, labels) == pytest.approx(expected)


def test_calibration_error_at_the_edges() -> None:
    certain = torch.tensor([[100.0, 0.0], [100.0, 0.0]]).double()  # confidence 1: the last bin
    assert metrics.expected_calibration_error(certain, torch.tensor([0, 1])) == pytest.approx(0.5)
    even = torch.zeros(4, 2)  # confidence 1/2, half right: calibrated
    assert metrics.expected_calibration_error(even, torch.tensor([0, 1, 0, 1])) == 0
    assert metrics.expected_calibration_error(even, torch.tensor([0, 0, 0, 0])) == 0.5


def test_a_bin_holds_its_upper_end() -> None:
    """Confidences 0.5 and 0.55 of two bins: (0.4, 0.5] and (0.5, 0.6], not one."""
    sure = math.log(0.55 / 0.45)
    scores = torch.tensor([[0.0, 0.0], [sure, 0.0]]).double()
    labels = torch.tensor([1, 0])
    apart = metrics.expected_calibration_error(scores, labels, bins=10)
    assert apart == pytest.approx((0.5 + 0.45) / 2)
    together = metrics.expected_calibration_error(scores, labels, bins=1)
    assert together == pytest.approx(abs(0.5 - 0.525))


def test_view_agreement_against_a_loop() -> None:
    rng = torch.Generator().manual_seed(0)
    pair = torch.randn(2, 5, 3, 4, generator=rng)
    result = metrics.view_agreement(pair)
    assert result.shape == (5, 3)
    for i in range(5):
        for e in range(3):
            p, q = (np.array(probabilities(pair[v, i, e][None])[0]) for v in (0, 1))
            cosine = p @ q / math.sqrt((p @ p) * (q @ q))
            assert result[i, e].item() == pytest.approx(cosine, abs=1e-6)


def test_identical_views_agree_fully() -> None:
    view = torch.randn(4, 2, 3, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(metrics.view_agreement(torch.stack([view, view])), torch.ones(4, 2))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=70))
def test_packed_bits_come_back(bits: list[bool]) -> None:
    text = metrics.pack_bits(torch.tensor(bits))
    assert metrics.unpack_bits(text, len(bits)).tolist() == bits
    raw = base64.b64decode(text)
    for i, bit in enumerate(bits):  # most significant first
        assert bool(raw[i // 8] >> (7 - i % 8) & 1) == bit
    assert len(raw) == (len(bits) + 7) // 8


def test_top_5_counts_whoever_stands_before_the_label() -> None:
    scores, labels = example()
    scores = scores.round()  # many ties
    for k in (1, 3, 5):
        slow = []
        for row, label in zip(scores.tolist(), labels.tolist(), strict=True):
            order = sorted(range(7), key=lambda c: (-row[c], c))
            slow.append(label in order[:k])
        assert metrics.among_first(scores, labels, k).tolist() == slow
    assert torch.equal(metrics.among_first(scores, labels, 1), metrics.correct(scores, labels))
    assert metrics.among_first(scores, labels, 7).all()


def test_brier_score_against_a_loop() -> None:
    scores, labels = example()
    slow = [
        sum((p - (c == label)) ** 2 for c, p in enumerate(row))
        for row, label in zip(probabilities(scores), labels.tolist(), strict=True)
    ]
    assert metrics.brier_score(scores, labels) == pytest.approx(sum(slow) / len(slow))
    weights = metrics.class_weights(labels, 7)
    weighted = sum(w * loss for w, loss in zip(weights.tolist(), slow, strict=True))
    assert metrics.brier_score(scores, labels, weights) == pytest.approx(weighted)
    certain = torch.tensor([[1000.0, 0.0], [1000.0, 0.0]])
    assert metrics.brier_score(certain, torch.tensor([0, 1])) == 1.0
