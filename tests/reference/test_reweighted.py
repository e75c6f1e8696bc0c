"""Exact prior-reweighted accuracy against brute-force subsampling, and prior errors by hand."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ltbench.errors import ContractError
from ltbench.evaluate.reweighted import ExactAccuracy, exact_accuracy, prior_error
from ltbench.shift.profiles import exponential_counts
from ltbench.shift.sampling import draw_indices

CLASSES, PER_CLASS = 20, 30
LABELS = np.repeat(np.arange(CLASSES), PER_CLASS)
RECALLS = np.linspace(0.9, 0.2, CLASSES)
AVAILABLE = torch.full((CLASSES,), PER_CLASS)


def hits_of(seed: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """``(N,)``: a fixed classifier, right on images of class c with probability RECALLS[c]."""
    return np.random.default_rng(seed).random(len(LABELS)) < RECALLS[LABELS]


def exact(hits: np.ndarray[Any, np.dtype[np.bool_]], counts: Any) -> dict[str, Any]:
    per_class = torch.from_numpy(np.bincount(LABELS[hits], minlength=CLASSES))
    return exact_accuracy(per_class, AVAILABLE, torch.from_numpy(counts))


@pytest.mark.parametrize("backward", [False, True])
def test_subsampling_agrees_with_the_exact_accuracy(backward: bool) -> None:
    """The mean over 600 drawn test sets is the exact accuracy within its own standard error."""
    counts = exponential_counts(PER_CLASS, 10.0, CLASSES)[:: -1 if backward else 1].copy()
    hits = hits_of(seed=1)
    drawn = [100 * hits[draw_indices(LABELS, counts, draw)].mean() for draw in range(600)]
    error = np.std(drawn, ddof=1) / math.sqrt(len(drawn))
    assert error < 0.15
    assert abs(np.mean(drawn) - exact(hits, counts)["top1"]) < 3 * error
    assert abs(np.mean(drawn) - 100 * hits.mean()) > 20 * error  # not the accuracy on all images


def test_standard_error_is_the_spread_over_fresh_test_sets() -> None:
    """Classifiers alike in recall, each on test images of its own: 4,000 of them."""
    counts = exponential_counts(PER_CLASS, 10.0, CLASSES)
    found = [exact(hits_of(seed), counts) for seed in range(4000)]
    spread = np.std([one["top1"] for one in found], ddof=1)
    stated = math.sqrt(np.mean([one["se"] ** 2 for one in found]))
    # a(1-a)/n with the measured recall is too small by the factor (n-1)/n.
    assert stated * math.sqrt(PER_CLASS / (PER_CLASS - 1)) == pytest.approx(spread, rel=0.04)


def test_exact_accuracy_by_hand() -> None:
    found = exact_accuracy(
        torch.tensor([4, 1, 7]), torch.tensor([8, 4, 9]), torch.tensor([6, 2, 0])
    )
    assert found["top1"] == pytest.approx(100 * (0.75 * 0.5 + 0.25 * 0.25))
    variance = 0.75**2 * 0.25 / 8 + 0.25**2 * (0.25 * 0.75) / 4
    assert found["se"] == pytest.approx(100 * math.sqrt(variance))


def test_a_class_without_images_counts_for_nothing() -> None:
    found = exact_accuracy(torch.tensor([3, 0]), torch.tensor([4, 0]), torch.tensor([2, 0]))
    assert found == {"top1": 75.0, "se": pytest.approx(100 * math.sqrt(0.75 * 0.25 / 4))}


@given(
    st.lists(st.tuples(st.integers(1, 50), st.floats(0, 1)), min_size=1, max_size=8),
)
@settings(max_examples=100, deadline=None)
def test_on_all_images_it_is_the_plain_accuracy(classes: list[tuple[int, float]]) -> None:
    available = torch.tensor([n for n, _ in classes])
    hits = torch.tensor([round(n * share) for n, share in classes])
    found: Any = exact_accuracy(hits, available, available)
    assert found["top1"] == pytest.approx(100 * hits.sum().item() / available.sum().item())
    assert 0 <= found["se"] <= 50


# -- the evaluator -------------------------------------------------------------------------------


class Counting:
    """A predictor that counts its calls; ``fixed`` is compared like a bound method."""

    calls: ClassVar[int] = 0

    def __init__(self, shift: Tensor) -> None:
        self.shift = shift

    def predict(self, logits: Tensor) -> Tensor:
        Counting.calls += 1
        return logits.mean(1) + self.shift


def test_a_fixed_classifier_runs_once_and_an_adapted_one_for_every_draw() -> None:
    labels = torch.tensor([0, 0, 1, 1, 2, 2])
    logits = torch.randn(6, 2, 3, generator=torch.Generator().manual_seed(0))
    fixed, other = Counting(torch.zeros(3)), Counting(torch.zeros(3))
    evaluator = ExactAccuracy(logits, labels, fixed.predict, "row")
    counts = torch.tensor([2, 1, 1])
    Counting.calls = 0
    first = evaluator(fixed.predict, counts)
    assert evaluator(fixed.predict, counts) == first
    assert Counting.calls == 1
    assert evaluator(other.predict, counts) == first
    # What a strategy keeps in its own state may change between draws.
    other.shift = torch.tensor([0.0, 0.0, 1e6])
    assert evaluator(other.predict, counts)["top1"] == pytest.approx(25.0)
    assert Counting.calls == 3


@pytest.mark.parametrize(
    ("frozen", "message"),
    [
        (lambda logits: logits, "expected \\(4, 3\\)"),
        (lambda logits: logits.mean(1) * math.nan, "NaN or infinite"),
        (lambda logits: None, "returned NoneType"),
    ],
)
def test_a_frozen_predictor_that_breaks_its_contract_is_named(frozen: Any, message: str) -> None:
    labels = torch.tensor([0, 1, 2, 0])
    evaluator = ExactAccuracy(torch.zeros(4, 1, 3), labels, lambda z: z.mean(1), "ce+x: frozen")
    with pytest.raises(ContractError, match=f"ce\\+x: frozen .*{message}"):
        evaluator(frozen, torch.tensor([2, 1, 1]))


# -- errors of a prior ---------------------------------------------------------------------------


def test_prior_error_by_hand() -> None:
    found = prior_error(torch.tensor([0.5, 0.25, 0.25]), torch.tensor([6, 0, 2]))
    assert found["l1"] == pytest.approx(0.25 + 0.25 + 0.0)
    assert found["kl"] == pytest.approx(0.75 * math.log(1.5))


def test_the_true_prior_has_no_error() -> None:
    counts = torch.tensor([7, 0, 11, 3])
    found = prior_error(counts.double() / counts.sum(), counts)
    assert found == {"l1": 0.0, "kl": 0.0}


def test_a_class_that_was_ruled_out_makes_the_divergence_infinite() -> None:
    found = prior_error(torch.tensor([1.0, 0.0]), torch.tensor([1, 1]))
    assert found == {"l1": 1.0, "kl": None}


def test_the_direction_is_true_against_estimated() -> None:
    counts, estimated = torch.tensor([9, 1]), torch.tensor([0.5, 0.5])
    true = np.array([0.9, 0.1])
    expected = float((true * np.log(true / 0.5)).sum())
    reverse = float((0.5 * np.log(0.5 / true)).sum())
    assert prior_error(estimated, counts)["kl"] == pytest.approx(expected)
    assert expected != pytest.approx(reverse, rel=0.05)
