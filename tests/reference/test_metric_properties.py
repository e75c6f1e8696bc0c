"""What scores of predictions must not depend on, and what they must: names, order, scale, ties, repeats."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ltbench.evaluate import metrics
from ltbench.report.records.bits import unpacked_classes
from ltbench.report.rows.summary import half_width
from ltbench.report.statistics.aggregate import mean_ranks
from ltbench.report.statistics.comparison import holm, paired

few = settings(max_examples=25, deadline=None)


@st.composite
def worlds(draw: st.DrawFn) -> tuple[Tensor, Tensor]:
    """``(N, C)`` scores in quarters, so that there are ties, and labels; N and C may be 1."""
    n, classes = draw(st.integers(1, 30)), draw(st.integers(1, 9))
    rng = torch.Generator().manual_seed(draw(st.integers(0, 10_000)))
    scores = torch.randint(-12, 13, (n, classes), generator=rng) / 4
    return scores, torch.randint(classes, (n,), generator=rng)


def all_scores(scores: Tensor, labels: Tensor) -> list[float]:
    return [
        metrics.accuracy(metrics.correct(scores, labels)),
        metrics.accuracy(metrics.among_first(scores, labels)),
        metrics.negative_log_likelihood(scores, labels),
        metrics.brier_score(scores, labels),
        metrics.expected_calibration_error(scores, labels),
    ]


def without_ties(scores: Tensor) -> Tensor:
    return scores + torch.arange(scores.shape[1]) * 1e-3


@given(worlds())
@few
def test_renamed_classes(world: tuple[Tensor, Tensor]) -> None:
    scores, labels = without_ties(world[0]), world[1]
    classes = scores.shape[1]
    names = torch.randperm(classes, generator=torch.Generator().manual_seed(len(labels)))
    renamed = torch.argsort(names)[labels]
    assert all_scores(scores[:, names], renamed) == pytest.approx(all_scores(scores, labels))
    old = metrics.per_class_recall(metrics.correct(scores, labels), labels, classes)
    hits = metrics.correct(scores[:, names], renamed)
    assert metrics.per_class_recall(hits, renamed, classes) == [old[c] for c in names.tolist()]


@given(worlds(), st.integers(0, 1000), st.floats(-50, 50))
@few
def test_order_of_images_repeats_and_a_constant_per_image(
    world: tuple[Tensor, Tensor], seed: int, constant: float
) -> None:
    scores, labels = world
    expected = all_scores(scores, labels)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    assert all_scores(scores[order], labels[order]) == pytest.approx(expected)
    assert all_scores(scores.repeat(3, 1), labels.repeat(3)) == pytest.approx(expected)
    moved = scores.double() + constant * torch.arange(1, len(labels) + 1)[:, None].double().round()
    found = all_scores(moved, labels)
    assert found[2:] == pytest.approx(expected[2:], rel=1e-6, abs=1e-6)


@given(worlds())
@few
def test_monotone_transforms_keep_the_order_of_classes_and_change_confidence(
    world: tuple[Tensor, Tensor],
) -> None:
    scores, labels = world
    for change in (lambda z: 3 * z, lambda z: z**3 + z, lambda z: z.exp()):
        assert all_scores(change(scores), labels)[:2] == all_scores(scores, labels)[:2]


def test_sharper_scores_are_calibrated_otherwise() -> None:
    scores, labels = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 0])
    p = 1 / (1 + math.exp(-1))
    assert metrics.expected_calibration_error(scores, labels) == pytest.approx(p - 0.5)
    q = 1 / (1 + math.exp(-3))
    assert metrics.expected_calibration_error(3 * scores, labels) == pytest.approx(q - 0.5)


@given(st.integers(1, 8), st.integers(0, 7))
@few
def test_of_equal_scores_the_first_classes_are_the_highest(classes: int, label: int) -> None:
    scores, labels = torch.zeros(1, classes), torch.tensor([label % classes])
    for k in (1, 2, 5):
        assert metrics.among_first(scores, labels, k).item() == (label % classes < k)
    assert metrics.correct(scores, labels).item() == (label % classes == 0)
    assert metrics.negative_log_likelihood(scores, labels) == pytest.approx(math.log(classes))
    assert metrics.brier_score(scores, labels) == pytest.approx(1 - 1 / classes)


@given(worlds())
@few
def test_class_weights_give_the_mean_of_recalls_and_equal_ones_the_plain_scores(
    world: tuple[Tensor, Tensor],
) -> None:
    scores, labels = world
    classes = scores.shape[1]
    hits = metrics.correct(scores, labels)
    weights = metrics.class_weights(labels, classes)
    recalls = metrics.per_class_recall(hits, labels, classes)
    assert weights.sum().item() == pytest.approx(1)
    assert metrics.accuracy(hits, weights) == pytest.approx(metrics.mean_recall(recalls))
    even = torch.full((len(labels),), 1 / len(labels)).double()
    for score in (
        metrics.negative_log_likelihood,
        metrics.brier_score,
        metrics.expected_calibration_error,
    ):
        assert score(scores, labels, even) == pytest.approx(score(scores, labels), abs=1e-6)


@given(st.lists(st.booleans(), min_size=1, max_size=40))
@few
def test_packed_bits_come_back(values: list[bool]) -> None:
    hits = torch.tensor(values)
    assert metrics.unpack_bits(metrics.pack_bits(hits), len(values)).tolist() == values


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=40), st.sampled_from([255, 256, 1000]))
@few
def test_packed_labels_come_back(values: list[int], highest: int) -> None:
    labels = torch.tensor([min(v, highest) for v in values] + [highest])
    found = unpacked_classes(metrics.pack_labels(labels), len(labels))
    assert found is not None
    assert found.tolist() == labels.tolist()


numbers = st.lists(st.integers(0, 100).map(float), min_size=3, max_size=8)


@given(numbers, st.integers(-50, 50), st.integers(2, 5))
@few
def test_intervals_move_and_scale_with_the_values(
    values: list[float], shift: int, scale: int
) -> None:
    width = half_width(values)
    assert half_width([v + shift for v in values]) == pytest.approx(width, abs=1e-9)
    assert half_width([v * scale for v in values]) == pytest.approx(scale * (width or 0.0))
    assert half_width(sorted(values)) == pytest.approx(width, abs=1e-9)


@given(numbers, numbers)
@few
def test_a_paired_difference_turns_its_sign_with_its_sides(a: list[float], b: list[float]) -> None:
    one = paired(dict(enumerate(a)), dict(enumerate(b)))
    two = paired(dict(enumerate(b)), dict(enumerate(a)))
    assert one is not None
    assert two is not None
    assert one.mean == -two.mean
    assert one.p == pytest.approx(two.p)
    assert one.probability == pytest.approx(1 - two.probability)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.integers(0, 100))
@few
def test_holm_knows_no_order_and_keeps_that_of_p(values: list[float], seed: int) -> None:
    order = torch.randperm(len(values), generator=torch.Generator().manual_seed(seed)).tolist()
    adjusted = holm(values)
    assert holm([values[i] for i in order]) == pytest.approx([adjusted[i] for i in order])
    assert all(p <= q <= 1 for p, q in zip(values, adjusted, strict=True))


@given(st.integers(1, 5), st.integers(2, 6), st.integers(0, 1000))
@few
def test_mean_ranks_sum_up_and_follow_their_columns(n: int, k: int, seed: int) -> None:
    rng = torch.Generator().manual_seed(seed)
    blocks = torch.randint(0, 4, (n, k), generator=rng).double().numpy()
    order = torch.randperm(k, generator=rng).numpy()
    ranks = mean_ranks(blocks)
    assert ranks.sum() == pytest.approx(k * (k + 1) / 2)
    assert mean_ranks(blocks[:, order]) == pytest.approx(ranks[order])
