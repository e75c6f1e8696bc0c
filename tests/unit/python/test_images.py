"""Images and draws: those of training and of the evaluation, to the index."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ltbench
from ltbench.data.sources import open_data
from ltbench.task import build_task

from .conftest import SHORT


def task(**overrides: Any) -> Any:
    protocol = ltbench.load_protocol("digits-lt", **overrides)
    return build_task(protocol, open_data(protocol.data))


def test_training_images_are_the_long_tailed_subset() -> None:
    train, here = ltbench.load_images("digits-lt"), task()
    assert train.images.dtype == np.uint8
    assert train.images.shape == (276, 3, 8, 8)
    assert train.counts.tolist() == [100, 64, 41, 27, 17, 11, 7, 4, 3, 2]
    assert train.labels.dtype == train.indices.dtype == train.counts.dtype == np.int64
    np.testing.assert_array_equal(train.indices, here.train.indices)
    np.testing.assert_array_equal(train.images, here.splits.train.read(train.indices))
    np.testing.assert_array_equal(train.labels, here.splits.train.labels[train.indices])
    assert train.class_names == here.splits.train.class_names


def test_the_holdout_is_what_training_leaves_out() -> None:
    held = ltbench.load_images("digits-lt", "holdout", train={"holdout": 0.1})
    kept = ltbench.load_images("digits-lt", "train", train={"holdout": 0.1})
    whole = ltbench.load_images("digits-lt", "train")
    assert sorted([*held.indices, *kept.indices]) == sorted(whole.indices)
    np.testing.assert_array_equal(held.counts + kept.counts, whole.counts)
    assert len(ltbench.load_images("digits-lt", "holdout")) == 0


def test_test_images_are_all_of_them() -> None:
    test = ltbench.load_images("digits-lt", "test")
    assert len(test) == 600
    np.testing.assert_array_equal(test.indices, np.arange(600))
    np.testing.assert_array_equal(test.counts, np.bincount(test.labels))


def test_what_is_given_may_be_changed_without_harm() -> None:
    first = ltbench.load_images("digits-lt")
    first.images[:], first.labels[:], first.indices[:] = 0, 0, 0
    again = ltbench.load_images("digits-lt")
    assert again.images.any()
    assert again.labels.any()
    assert again.indices.any()


def test_draws_are_those_of_the_evaluation(results: Path) -> None:
    """Accuracies made again from draws and logits are the recorded ones, draw by draw."""
    sets = ltbench.draw_test_sets("digits-lt", train={"holdout": 0.1}, **SHORT)
    trials = ltbench.list_trials(results)
    stored = ltbench.load_logits(trials[trials.training == "ce"].folder.iloc[0])
    hits = (stored.logits.mean(dim=1).argmax(dim=1) == stored.labels).numpy()
    frame = ltbench.load_results(results, draws="all")
    frame = frame[frame.label == "ce"]
    assert list(dict.fromkeys(frame.distribution)) == list(sets)
    for row in frame.itertuples():
        draw = sets[row.distribution].draws[row.draw]
        assert len(draw) == row.n_images
        assert 100 * hits[draw].mean() == pytest.approx(row.top1, abs=1e-9)
    assert {len(drawn.draws) for drawn in sets.values()} == {1, 2}


def test_the_prior_is_that_of_every_draw() -> None:
    labels = ltbench.load_images("digits-lt", "test").labels
    for drawn in ltbench.draw_test_sets("digits-lt").values():
        assert drawn.prior.sum() == pytest.approx(1)
        for draw in drawn.draws:
            assert draw.dtype == np.int64
            np.testing.assert_array_equal(np.bincount(labels[draw], minlength=10), drawn.counts)
        np.testing.assert_allclose(drawn.prior, drawn.counts / drawn.counts.sum(), rtol=1e-15)


def test_lists_are_written_with_the_same_indices(tmp_path: Path) -> None:
    folder = ltbench.export_lists("digits-lt", tmp_path / "lists", draws=1)
    assert folder == tmp_path / "lists"
    written = np.loadtxt(folder / "train.csv", delimiter=",", skiprows=1, dtype=np.int64)[:, 0]
    np.testing.assert_array_equal(written, ltbench.load_images("digits-lt").indices)


def test_images_that_are_not_here_are_located(cache: Path) -> None:
    assert ltbench.locate_images("digits-lt").ready
    status = ltbench.locate_images("cifar100-lt")
    assert not status.ready
    assert status.missing
    assert status.remedy


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ltbench.load_images("digits-lt", "val"), "split = 'val' must be one of: train"),
        (lambda: ltbench.load_images("digit-lt"), "unknown protocol 'digit-lt'"),
        (lambda: ltbench.load_images("digits-lt", train={"imbalanc": 2}), "has no 'imbalanc'"),
        (lambda: ltbench.load_images("cifar100-lt", download=False), "CIFAR-100"),
        (lambda: ltbench.draw_test_sets("digits-lt", data_dir="/nowhere"), "nowhere|digits"),
        (lambda: ltbench.export_lists("digits-lt", draws=0), "draws = 0 must be at least 1"),
    ],
)
def test_wrong_input_is_a_value_error(cache: Path, call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
