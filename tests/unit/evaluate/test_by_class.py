"""Counts and areas by class, against scikit-learn; a threshold from the hold-out; the array file."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, confusion_matrix, recall_score, roc_auc_score

from ltbench.evaluate.by_class import ClassCounts, areas, confusion_counts, probabilities, youden
from ltbench.evaluate.evaluate import evaluate_row
from ltbench.evaluate.outputs import HoldOut, TrialOutputs
from ltbench.evaluate.reweighted import Scored
from ltbench.evaluate.stored import has_arrays, known_arrays
from ltbench.names import parse_row
from ltbench.protocol.file import load_protocol_config
from ltbench.protocol.protocol import GroupsConfig, TestConfig
from ltbench.registry import load_registries
from ltbench.resolve.rows import ResolvedRow, resolve_row
from ltbench.shift.groups import class_groups
from ltbench.shift.testsets import build_test_sets
from ltbench.shift.trainset import TrainSet
from ltbench.task import Task
from ltbench.trial.class_arrays import ClassArrays, arrays_path, read_arrays, write_arrays
from ltbench.trial.trial import Trial

PROTOCOL = load_protocol_config("digits-lt")


def row(text: str) -> ResolvedRow:
    return resolve_row(parse_row(text), PROTOCOL, load_registries())


def draw(n: int, classes: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, classes, (n,), generator=rng)
    scores = torch.randn(n, classes, generator=rng)
    scores[torch.arange(n), labels] += 0.8
    return scores, labels


def world(classes: int, draws: int = 3, holdout: bool = False) -> TrialOutputs:
    counts = np.array([60 // (c + 1) + 2 for c in range(classes)])
    config = TestConfig(ratios=(4.0,), draws=draws, partial=False)
    groups_of = GroupsConfig(many_above=10, few_below=2)
    protocol = dataclasses.replace(PROTOCOL, test=config, groups=groups_of)
    labels = torch.arange(classes).repeat_interleave(20)
    scores, _ = draw(len(labels), classes)
    scores[torch.arange(len(labels)), labels] += 1.0
    logits = scores[:, None]
    empty = np.zeros(0, dtype=np.int64)
    train = TrainSet(empty, empty, counts, counts)
    groups = class_groups(counts, protocol.groups)
    sets = build_test_sets(config, np.full(classes, 20), train.rank, groups)
    task = Task(protocol, None, train, train.rank, groups, sets)  # type: ignore[arg-type]
    trial = Trial(protocol, "ce", {}, 1, "", protocol.recipe, 0, "float32", "train", "test")
    held_scores, held_labels = draw(40, classes, 5)
    held_scores[:, 1] += 1.0  # another threshold than that of the argmax
    held = HoldOut(held_scores[:, None], held_labels) if holdout else None
    return TrialOutputs(trial, task, logits, logits, labels, lambda k: logits[None], holdout=held)


def test_confusions_are_those_of_scikit_learn() -> None:
    scores, labels = draw(200, 5)
    expected = confusion_matrix(labels, scores.argmax(1), labels=range(5))
    assert confusion_counts(scores, labels).tolist() == expected.tolist()


@pytest.mark.parametrize("classes", [5, 70])
def test_areas_are_those_of_scikit_learn_class_by_class(classes: int) -> None:
    scores, labels = draw(40 * classes, classes)
    scores[:50] = scores[50:100]  # equal scores
    labels[labels == 4] = 0  # nothing is known of a class without images
    auroc, precision = areas(scores, labels)
    p = torch.softmax(scores.double(), dim=1)
    for c in set(range(classes)) - {4}:
        assert auroc[c] == pytest.approx(roc_auc_score(labels == c, p[:, c]), abs=1e-12)
        assert precision[c] == pytest.approx(average_precision_score(labels == c, p[:, c]))
    assert np.isnan([auroc[4], precision[4]]).all()


def test_one_class_alone_has_no_area() -> None:
    scores, labels = draw(20, 3)
    assert np.isnan(areas(scores, torch.ones_like(labels))).all()


def test_youdens_threshold_is_the_best_of_all_there_are() -> None:
    rng = np.random.default_rng(0)
    labels = rng.random(60) < 0.3
    p = np.round(np.clip(rng.normal(0.3 + 0.3 * labels, 0.2), 0, 1), 2)  # with ties

    def j(t: float) -> float:
        called = p >= t
        return float(called[labels].mean() - called[~labels].mean())

    best = max(j(t) for t in np.unique(p))
    chosen = youden(p, labels)
    assert j(chosen) == pytest.approx(best)
    assert chosen == max(t for t in np.unique(p) if j(t) == pytest.approx(best))
    assert np.isnan(youden(p, np.ones(60, dtype=bool)))


def test_recalls_of_the_summed_counts_are_the_mean_over_draws() -> None:
    outputs = world(4)
    by_class = ClassCounts()
    record = evaluate_row(outputs, row("ce+oracle"), {}, by_class=by_class)
    assert record == evaluate_row(outputs, row("ce+oracle"), {})
    found = by_class.result()
    assert found.keys() == record.keys()
    for name, one in found.items():
        draws = record[name]["draws"].values()
        assert one.draws == len(draws)
        assert one.confusion.sum() == sum(each["n"] for each in draws)
        recalls = one.confusion.diagonal() / one.confusion.sum(axis=1)
        assert 100 * recalls.mean() == pytest.approx(np.mean([each["macro"] for each in draws]))
    outputs_of_all, labels = outputs.logits[:, 0], outputs.labels
    expected = recall_score(labels, outputs_of_all.argmax(1), average=None)
    plain = ClassCounts()
    evaluate_row(outputs, row("ce"), {}, by_class=plain)
    confusion = plain.result()["uniform"].confusion
    assert (confusion.diagonal() / confusion.sum(axis=1)).tolist() == pytest.approx(list(expected))


def test_a_record_without_counts_gets_them_and_stays_as_it_is() -> None:
    outputs = world(3)
    first = evaluate_row(outputs, row("ce"), {})
    for draws in first["uniform"]["draws"].values():
        draws["top1"] = 12.5  # of another machine
    by_class = ClassCounts()
    again = evaluate_row(outputs, row("ce"), json.loads(json.dumps(first)), by_class=by_class)
    assert again == first
    whole = ClassCounts()
    evaluate_row(outputs, row("ce"), {}, by_class=whole)
    for name, one in whole.result().items():
        assert (by_class.result()[name].confusion == one.confusion).all()
    counted = by_class.result()
    known = ClassCounts(counted)
    evaluate_row(outputs, row("ce"), first, by_class=known)
    assert known.result() == counted  # the very same objects: nothing was counted again


def test_more_draws_are_counted_with_those_that_were_there() -> None:
    first, more = ClassCounts(), world(3, draws=4)
    evaluate_row(world(3, draws=2), row("ce"), {}, by_class=first)
    then, fresh = ClassCounts(first.result()), ClassCounts()
    evaluate_row(more, row("ce"), {}, by_class=then)
    evaluate_row(more, row("ce"), {}, by_class=fresh)
    assert then.result()["forward4"].draws == 4
    same = then.result()["forward4"].confusion == fresh.result()["forward4"].confusion
    assert same.all()


def test_two_classes_get_a_threshold_from_the_hold_out_alone() -> None:
    outputs = world(2, holdout=True)
    by_class = ClassCounts(holdout=outputs.holdout)
    evaluate_row(outputs, row("ce"), {}, by_class=by_class)
    one = by_class.result()["uniform"]
    assert outputs.holdout is not None
    held = probabilities(outputs.holdout.logits[:, 0])[:, 1]
    chosen = youden(held, outputs.holdout.labels.numpy() == 1)
    assert one.thresholds is not None
    assert one.at_threshold is not None
    assert one.thresholds.tolist() == [chosen]
    called = probabilities(outputs.logits[:, 0])[:, 1] >= chosen
    assert one.at_threshold.tolist() == confusion_matrix(outputs.labels, called).tolist()
    assert one.at_threshold.tolist() != one.confusion.tolist()
    # Other test labels, the same threshold.
    mirrored = dataclasses.replace(outputs, labels=1 - outputs.labels, indices={})
    other = ClassCounts(holdout=outputs.holdout)
    evaluate_row(mirrored, row("ce"), {}, by_class=other)
    again = other.result()["uniform"].thresholds
    assert again is not None
    assert again.tolist() == [chosen]


def test_the_rarer_class_can_be_the_first_one() -> None:
    outputs = world(2, holdout=True)
    assert outputs.holdout is not None
    scored = Scored(outputs.logits[:, 0], outputs.labels, outputs.logits.argmax(dim=2))
    found = {}
    for positive in (0, 1):
        counts = ClassCounts(holdout=outputs.holdout, positive=positive)
        counts.add("uniform", {}, 0, scored, lambda logits: logits[:, 0])
        found[positive] = counts.result()["uniform"].at_threshold
    called = probabilities(scored.scores)[:, 0] >= youden(
        probabilities(outputs.holdout.logits[:, 0])[:, 0], outputs.holdout.labels.numpy() == 0
    )
    assert found[0] is not None
    assert found[0].tolist() == confusion_matrix(outputs.labels, 1 - called).tolist()


@pytest.mark.parametrize("missing", ["hold-out", "predictor"])
def test_no_threshold_without_hold_out_or_predictor(missing: str) -> None:
    outputs = world(2, holdout=missing != "hold-out")
    counts = ClassCounts(holdout=outputs.holdout)
    scored = Scored(outputs.logits[:, 0], outputs.labels, outputs.logits.argmax(dim=2))
    frozen = None if missing == "predictor" else lambda logits: logits[:, 0]
    counts.add("uniform", {}, 0, scored, frozen)
    assert counts.result()["uniform"].thresholds is None


# -- the file ------------------------------------------------------------------------------------


def arrays(classes: int, draws: int = 2, at: bool = False) -> ClassArrays:
    rng = np.random.default_rng(classes)
    areas = rng.random((2, classes))
    areas[:, 0] = np.nan
    confusion = rng.poisson(0.3, (classes, classes))
    more = (rng.random(draws), rng.integers(0, 9, (2, 2))) if at else (None, None)
    return ClassArrays('{"kind": "ü"}', draws, confusion, *areas, *more)


@pytest.mark.parametrize("classes", [2, 300])
def test_what_is_written_is_read_and_is_small(tmp_path: Path, classes: int) -> None:
    given = {f"d{d}": arrays(classes, d, at=classes == 2 and d == 3) for d in (1, 3)}
    path = tmp_path / "row.npz"
    write_arrays(path, given)
    first = path.read_bytes()
    found = read_arrays(path)
    assert list(found) == list(given)
    for name, one in given.items():
        for field in dataclasses.fields(ClassArrays):
            np.testing.assert_array_equal(
                getattr(found[name], field.name), getattr(one, field.name)
            )
    write_arrays(path, found)
    assert path.read_bytes() == first
    assert len(first) < 200_000  # 2 x 300 x 300 numbers take 1.4 MB


def test_a_damaged_file_is_no_file(tmp_path: Path) -> None:
    record = tmp_path / "row.json"
    assert known_arrays(record) == {}
    write_arrays(arrays_path(record), {"uniform": arrays(3)})
    assert set(known_arrays(record)) == {"uniform"}
    whole = arrays_path(record).read_bytes()
    for damaged in (b"", whole[: len(whole) // 2], b"no archive"):
        arrays_path(record).write_bytes(damaged)
        assert known_arrays(record) == {}
        with pytest.raises(ValueError, match=r"row\.npz is not readable"):
            read_arrays(arrays_path(record))


def test_nothing_in_the_file_is_unpickled(tmp_path: Path) -> None:
    path = tmp_path / "row.npz"
    np.savez(path, names=np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="allow_pickle=False"):
        read_arrays(path)


def test_complete_is_every_draw_of_every_set_as_defined(tmp_path: Path) -> None:
    outputs, record = world(3, draws=2), tmp_path / "row.json"
    sets = outputs.task.test_sets
    assert not has_arrays(record, sets)
    counts = ClassCounts()
    evaluate_row(outputs, row("ce"), {}, by_class=counts)
    write_arrays(arrays_path(record), counts.result())
    assert has_arrays(record, sets)
    assert not has_arrays(record, world(3, draws=3).task.test_sets)
