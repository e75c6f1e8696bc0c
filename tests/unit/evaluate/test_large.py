"""Thousands of classes: pieces give the same numbers, records stay small, memory is bounded."""

from __future__ import annotations

import itertools
import json
import subprocess
import tracemalloc
from pathlib import Path
from subprocess import PIPE
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file

from ltbench import pieces
from ltbench.errors import InputError
from ltbench.evaluate import metrics
from ltbench.evaluate.by_class import confusion_counts
from ltbench.evaluate.stored import is_complete, known_distributions
from ltbench.progress import reported, tell
from ltbench.report.records.checks import Node
from ltbench.report.records.scores import parse_distribution
from ltbench.shift.testset import TestSet
from ltbench.trial.class_values import put_back, values_path
from ltbench.trial.light import write_record
from ltbench.trial.sparse_counts import SparseCounts
from ltbench.trial.tensor_file import Pieces, write_pieces
from tests.zygote import started

CLASSES = 1100


def scores(size: int = 90, classes: int = CLASSES) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(0)
    z = torch.randn(size, classes, generator=rng)
    labels = torch.randint(classes, (size,), generator=rng)
    z[torch.arange(size), labels] += 3
    return z, labels


# -- pieces --------------------------------------------------------------------------------------


def test_pieces_cover_all_rows_and_few_classes_are_one_piece() -> None:
    assert list(pieces.pieces(10_000, 3, 999)) == [slice(0, 10_000)]
    parts = list(pieces.pieces(24_426, 3, 8142))
    assert len(parts) > 10
    assert parts[0].start == 0
    assert parts[-1].stop == 24_426
    assert all(one.stop == two.start for one, two in itertools.pairwise(parts))
    assert list(pieces.pieces(0, 3, 8142)) == [slice(0, 0)]


@pytest.mark.parametrize("weighted", [False, True])
def test_metrics_in_pieces_are_those_of_the_whole(
    monkeypatch: pytest.MonkeyPatch, weighted: bool
) -> None:
    z, labels = scores()
    weights = metrics.class_weights(labels, CLASSES) if weighted else None
    whole = _metrics(z, labels, weights)
    monkeypatch.setattr(pieces, "_VALUES", 7 * CLASSES)
    assert len(list(pieces.pieces(len(z), CLASSES))) == 13
    assert _metrics(z, labels, weights) == pytest.approx(whole, rel=1e-12)


def _metrics(
    z: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor | None
) -> tuple[float, ...]:
    return (
        metrics.negative_log_likelihood(z, labels, weights),
        metrics.brier_score(z, labels, weights),
        metrics.expected_calibration_error(z, labels, weights),
        metrics.accuracy(metrics.among_first(z, labels), weights),
    )


# -- by class ------------------------------------------------------------------------------------


def test_sparse_confusions_are_the_dense_ones() -> None:
    z, labels = scores(400)
    found = confusion_counts(z, labels)
    assert isinstance(found, SparseCounts)
    dense = np.zeros((CLASSES, CLASSES), dtype=np.int64)
    np.add.at(dense, (labels.numpy(), z.argmax(dim=1).numpy()), 1)
    twice = found + found
    for axis in (0, 1):
        assert np.array_equal(twice.sum(axis), 2 * dense.sum(axis))
    assert np.array_equal(found.diagonal(), dense.diagonal())
    c = int(labels[0])
    assert np.array_equal(found[c], dense[c])
    true, predicted, counts = found.cells()
    assert np.array_equal(np.stack([true, predicted]), np.stack(np.nonzero(dense)))
    assert counts.sum() == 400


# -- records -------------------------------------------------------------------------------------


def one_set(classes: int = CLASSES) -> TestSet:
    about = {"shares": [1.0 / classes] * classes}  # of a mix: a list by class that a plan compares
    return TestSet("uniform", "uniform", None, np.full(classes, 3), 1, about)


def record(classes: int = CLASSES) -> dict[str, object]:
    rng = np.random.default_rng(0)
    recall = [None, *(100 * rng.random(classes - 1)).tolist()]
    groups = {"many": 1.5, "medium": None, "few": 2.5, "all": 50.0}
    draw = {
        "n": 3 * classes,
        "top1": 50.0,
        "prior": rng.dirichlet(np.ones(classes)).tolist(),
        "per_class": recall,
        "groups": groups,
        "experts": [{"per_class": recall[::-1], "groups": groups}],
        "diagnostics": {"history": [[0.5, 0.5]]},
    }
    test_set = one_set(classes)
    entry = {"definition": test_set.definition(), **test_set.lists(), "draws": {"0": draw}}
    counts = list(range(classes, 0, -1))
    return {"schema": 1, "train_counts": counts, "groups": {}, "distributions": {"uniform": entry}}


def test_lists_by_class_leave_the_record_and_come_back(tmp_path: Path) -> None:
    path = tmp_path / "row-abc.json"
    written = record()
    write_record(path, written)
    assert path.stat().st_size < 60_000  # most of it the shares and the counts of training
    draw = written["distributions"]["uniform"]["draws"]["0"]  # type: ignore[index]
    found = known_distributions(path)["uniform"]
    assert found["counts"] == [3] * CLASSES
    again = found["draws"]["0"]
    assert again["per_class"] == draw["per_class"]
    assert again["experts"] == draw["experts"]
    assert again["prior"] == [float(f"{p:.4g}") for p in draw["prior"]]
    assert is_complete(path, [one_set()])
    assert (
        json.loads(path.read_text())["distributions"]["uniform"]["definition"]
        == found["definition"]
    )
    distribution = parse_distribution("uniform", Node(found), 1, CLASSES)
    assert distribution.counts == (3,) * CLASSES
    assert distribution.recalls is not None
    assert list(distribution.recalls.per_class) == draw["per_class"]


def test_the_record_of_a_thousand_classes_stays_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "row-abc.json"
    write_record(path, record(1000))
    assert not values_path(path).exists()
    stored = json.loads(path.read_text())["distributions"]["uniform"]
    assert stored["definition"]["counts"] == [3] * 1000
    assert len(stored["draws"]["0"]["per_class"]) == 1000


@pytest.mark.parametrize("damage", ["missing", "cut", "another"])
def test_a_record_without_its_values_is_refused_and_made_again(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "row-abc.json"
    write_record(path, record())
    values = values_path(path)
    if damage == "missing":
        values.unlink()
        assert not is_complete(path, [one_set()])
    elif damage == "cut":
        values.write_bytes(values.read_bytes()[:-9])
    else:
        np.savez(values, **{"0": np.zeros(CLASSES)})
    with pytest.raises(InputError, match=r"row-abc\.values\.npz beside it"):
        put_back(json.loads(path.read_text()), path)
    assert known_distributions(path) == {}


def test_definitions_of_thousands_of_classes_tell_their_counts_by_a_digest() -> None:
    one = TestSet("uniform", "uniform", None, np.full(CLASSES, 3), 1)
    other = TestSet("uniform", "uniform", None, np.full(CLASSES, 2), 1)
    assert len(json.dumps(one.definition())) < 200
    assert one.definition() != other.definition()
    assert "counts" in one_set(1000).definition()


# -- files ---------------------------------------------------------------------------------------


def test_a_file_written_in_pieces_is_what_the_library_reads(tmp_path: Path) -> None:
    whole = torch.randn(10, 2, 3)
    half = torch.arange(6).half()
    path = tmp_path / "x.safetensors"
    parts = (whole[i : i + 4] for i in range(0, 10, 4))
    write_pieces(path, {"a": Pieces((10, 2, 3), torch.float32, parts), "b": Pieces.whole(half)})
    found = load_file(path)
    assert torch.equal(found["a"], whole)
    assert torch.equal(found["b"], half)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([torch.zeros(3)], "the parts hold 3 numbers"),
        ([torch.zeros(4).half()], "not torch.float32"),
    ],
)
def test_pieces_that_do_not_fit_leave_no_file(
    tmp_path: Path, parts: list[torch.Tensor], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        write_pieces(tmp_path / "x", {"a": Pieces((4,), torch.float32, parts)})
    assert list(tmp_path.iterdir()) == []


# -- progress ------------------------------------------------------------------------------------


def test_long_loops_are_told_of_and_may_be_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    tell("nobody listens", 0, 1)
    monkeypatch.setattr("ltbench.progress.EVERY", 0.0)
    heard: list[tuple[str, int, int]] = []
    with reported(lambda *one: heard.append(one)):
        tell("EM", 3, 9)
    tell("after", 0, 1)
    assert heard == [("EM", 3, 9)]
    monkeypatch.setattr("ltbench.progress.EVERY", 1e9)
    with reported(lambda *one: heard.append(one)):
        tell("EM", 4, 9)
    assert len(heard) == 1


# -- the benchmark, and what it bounds -----------------------------------------------------------


def test_the_benchmark_runs_tiny(
    importable_benchmarks: None,
    tmp_path: Path,
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from benchmarks import large_eval

    def run(words: list[str], **_: bool) -> subprocess.CompletedProcess[str]:
        with started(words, env=environment, stdout=PIPE, stderr=PIPE, text=True) as process:
            out, err = process.communicate()
        return subprocess.CompletedProcess(words, process.returncode, out, err)

    monkeypatch.setattr(large_eval, "subprocess", SimpleNamespace(run=run))
    options = ["--classes", "30", "--strategies", "none,stability", "--folder", str(tmp_path)]
    done = CliRunner().invoke(
        large_eval.main, [*options, "--sets", "forward3"], catch_exceptions=False
    )
    assert done.exit_code == 0, done.output
    assert "90 images, 3 experts, 30 classes" in done.output
    for name in ("none", "stability"):
        (line,) = [line for line in done.output.splitlines() if line.split()[0] == name]
        assert "peak" in line
        assert "forward3" in line


def test_tables_of_all_logits_are_not_copied(importable_benchmarks: None, tmp_path: Path) -> None:
    """NumPy's memory by tracemalloc, torch's by the counter of the system where it has one."""
    from benchmarks.large_eval import anonymous_peak, make, measure

    classes = 1500
    make(tmp_path, classes, views=False)
    table = 4 * (3 * classes) * 3 * classes  # bytes of all logits, 81 MB
    measure(tmp_path, classes, "none", ("forward3",))  # whatever is loaded once
    with anonymous_peak() as before:
        pass
    tracemalloc.start()
    found = measure(tmp_path, classes, "em", ("forward3",))
    _, numpy_peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert numpy_peak < table
    at_start, at_most = before(), found["anonymous"]
    if at_start is not None:
        # A draw of half of the images, likelihoods in float64 and scores, a piece of 64 MB or two.
        assert at_most - at_start < 2.5 * table
