"""Scores on a uniform set whose test images are not: against slow means of the classes' recalls."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor

from ltbench.data.dataset import Splits
from ltbench.evaluate import metrics
from ltbench.evaluate.evaluate import TrialOutputs, evaluate_row
from ltbench.hyper import Json
from ltbench.names import parse_row
from ltbench.protocol.file import load_protocol_config
from ltbench.protocol.protocol import GroupsConfig, TestConfig
from ltbench.registry import load_registries
from ltbench.report.records.bits import correct_bits
from ltbench.report.records.checks import Node
from ltbench.report.records.scores import parse_distribution
from ltbench.report.statistics.strata import image_classes
from ltbench.resolve.rows import ResolvedRow, resolve_row
from ltbench.shift.groups import class_groups
from ltbench.shift.testsets import build_test_sets
from ltbench.shift.trainset import TrainSet
from ltbench.strategy import Adapted
from ltbench.task import Task
from ltbench.trial.trial import Trial

SIZES = [40, 25, 9, 5]
COUNTS = np.array([50, 20, 8, 3])
PROTOCOL = dataclasses.replace(
    load_protocol_config("digits-lt"),
    test=TestConfig(ratios=(4.0,), draws=3),
    groups=GroupsConfig(many_above=10, few_below=2),
)


def row(text: str) -> ResolvedRow:
    return resolve_row(parse_row(text), PROTOCOL, load_registries())


@pytest.fixture(scope="module")
def unequal() -> TrialOutputs:
    """79 test images of 4 classes in a random order; the logits know the class to some degree."""
    rng = torch.Generator().manual_seed(0)
    labels = torch.arange(4).repeat_interleave(torch.tensor(SIZES))
    labels = labels[torch.randperm(len(labels), generator=rng)]
    logits = torch.randn(len(labels), 1, 4, generator=rng)
    logits[torch.arange(len(labels)), :, labels] += 1.5
    logits += torch.from_numpy(np.log(COUNTS / 8)).float()  # and favour the head
    empty = np.zeros(0, dtype=np.int64)
    train = TrainSet(empty, empty, COUNTS, COUNTS)
    groups = class_groups(COUNTS, PROTOCOL.groups)
    sets = build_test_sets(PROTOCOL.test, np.array(SIZES), train.rank, groups)
    task = Task(PROTOCOL, cast(Splits, None), train, train.rank, groups, sets)
    trial = Trial(PROTOCOL, "ce", {}, 1, "", PROTOCOL.recipe, 0, "float32", "train", "test")
    return TrialOutputs(trial, task, logits, logits, labels, lambda k: logits)


def recalls(scores: Tensor, labels: Tensor) -> list[float]:
    found = scores.argmax(dim=1)
    return [
        100 * sum(int(p == c) for p, y in zip(found, labels, strict=True) if y == c) / SIZES[c]
        for c in range(4)
    ]


def test_a_fixed_predictor_gets_the_mean_recall_in_every_draw(unequal: TrialOutputs) -> None:
    found = evaluate_row(unequal, row("ce"), {})
    scores = unequal.logits.mean(dim=1)
    expected = recalls(scores, unequal.labels)
    uniform = found["uniform"]
    assert uniform["definition"]["counts"] == [5] * 4
    for draw in uniform["draws"].values():
        assert draw["top1"] == pytest.approx(math.fsum(expected) / 4, abs=1e-9)
        assert draw["top1"] == pytest.approx(draw["macro"], abs=1e-9)
        assert draw["exact"]["top1"] == pytest.approx(draw["top1"], abs=1e-9)
        assert draw["groups"]["all"] == pytest.approx(draw["top1"], abs=1e-9)
        assert (draw["n"], draw["reweighted"]) == (20, sum(SIZES))
    assert uniform["per_class"] == pytest.approx(expected)
    assert uniform["groups"]["all"] == pytest.approx(math.fsum(expected) / 4)
    natural = found["natural"]["draws"]["0"]
    micro = 100 * (scores.argmax(dim=1) == unequal.labels).double().mean().item()
    assert natural["top1"] == pytest.approx(micro)
    assert abs(micro - math.fsum(expected) / 4) > 1  # else the test would show nothing
    many = found["many-only"]["draws"]["0"]["top1"]
    assert many == pytest.approx((expected[0] + expected[1]) / 2)


def test_weighted_losses_are_means_over_classes(unequal: TrialOutputs) -> None:
    scores, labels = unequal.logits.mean(dim=1), unequal.labels
    draw = evaluate_row(unequal, row("ce"), {})["uniform"]["draws"]["0"]
    log_p = torch.log_softmax(scores.double(), dim=1)
    per_class = [-log_p[labels == c, c].mean().item() for c in range(4)]
    assert draw["nll"] == pytest.approx(math.fsum(per_class) / 4)
    bins = np.zeros(15)
    for i, y in enumerate(labels.tolist()):
        p = log_p[i].exp()
        place = max(math.ceil(p.max().item() * 15) - 1, 0)
        bins[place] += (float(p.argmax() == y) - p.max().item()) / (4 * SIZES[y])
    assert draw["ece"] == pytest.approx(np.abs(bins).sum())


def test_weights_of_equal_classes_change_nothing() -> None:
    labels = torch.arange(3).repeat(5)
    scores = torch.randn(15, 3, generator=torch.Generator().manual_seed(0))
    weights = metrics.class_weights(labels, 4)
    assert weights.sum().item() == pytest.approx(1)
    for score in (metrics.negative_log_likelihood, metrics.expected_calibration_error):
        assert score(scores, labels, weights) == pytest.approx(score(scores, labels))
    hits = metrics.correct(scores, labels)
    assert metrics.accuracy(hits, weights) == pytest.approx(metrics.accuracy(hits))


def test_the_oracle_and_what_adapts_see_a_uniform_prior(unequal: TrialOutputs) -> None:
    draws = evaluate_row(unequal, row("ce+oracle"), {})["uniform"]["draws"]
    assert draws["0"]["prior"] == pytest.approx([0.25] * 4)
    adapted = evaluate_row(unequal, row("ce+em"), {})["uniform"]
    for draw in adapted["draws"].values():
        assert draw["top1"] == pytest.approx(draw["exact"]["top1"], abs=1e-9)
    mean = math.fsum(draw["top1"] for draw in adapted["draws"].values()) / 3
    assert adapted["groups"]["all"] == pytest.approx(mean)


def test_what_is_no_fixed_predictor_is_scored_on_the_draw(
    unequal: TrialOutputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ltbench.methods.adapt.none import NoAdaptation

    original = NoAdaptation.adapt

    def without(self: Any, *given: Any) -> Adapted:
        return Adapted(logits=original(self, *given).logits)

    monkeypatch.setattr(NoAdaptation, "adapt", without)
    uniform = evaluate_row(unequal, row("ce"), {})["uniform"]
    chosen = unequal.indices_of(next(s for s in unequal.task.test_sets if s.name == "uniform"), 0)
    hits = unequal.logits[chosen].mean(dim=1).argmax(dim=1) == unequal.labels[chosen]
    assert uniform["draws"]["0"]["top1"] == pytest.approx(100 * hits.double().mean().item())
    assert "reweighted" not in uniform["draws"]["0"]


def test_reports_find_the_classes_of_the_bits(unequal: TrialOutputs) -> None:
    found = evaluate_row(unequal, row("ce"), {})
    for name in ("uniform", "natural", "many-only"):
        node: Json = found[name]
        parsed = parse_distribution(name, Node(node), 1, 4)
        bits = correct_bits(parsed)
        assert bits is not None
        classes = image_classes(parsed, bits)
        assert classes is not None
        counts = found[name]["definition"]["counts"]
        assert np.bincount(classes, minlength=4).tolist() == counts
        assert parsed.drawn == (name != "natural")
