"""Array files by class of records that have none: what adds them, what leaves them alone."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

import ltbench as package
from ltbench.execute.compact import find_heavy
from ltbench.trial.class_arrays import read_arrays

CommandLine = Callable[..., CompletedProcess[str]]
SETTINGS = ["--protocol", "digits-lt", "--set", "recipe.epochs=1", "--set", "test.draws=1"]
SETTINGS += ["--set", "test.ratios=2", "--seeds", "1", "--methods", "ce,2*ce"]


@pytest.fixture(scope="module")
def once(ltbench_shared: CommandLine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trial, an ensemble and an imported model, whose array files are gone."""
    results = tmp_path_factory.mktemp("once") / "results"
    done = ltbench_shared("run", *SETTINGS, "--results", results)
    assert done.returncode == 0, done.stdout + done.stderr
    imported(results)
    files = arrays(results)
    records = list(results.rglob("evaluations/*.json"))
    assert {path.with_suffix(".json") for path in files} == set(records)
    for path in files:
        path.unlink()
    return results


@pytest.fixture
def results(once: Path, tmp_path: Path) -> Path:
    """A copy of them for one test."""
    return Path(shutil.copytree(once, tmp_path / "results"))


def imported(results: Path) -> None:
    (trial,) = results.glob("digits-lt/ce/0-*")
    stored = package.load_logits(trial)
    package.import_outputs(
        stored.logits,
        stored.labels,
        name="mine",
        counts=[9] * 10,
        results=results,
        strategies="none",
    )


def arrays(results: Path) -> list[Path]:
    return sorted(results.rglob("*.npz"))


def contents(results: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(results.rglob("evaluations/*.json"))}


def test_evaluate_adds_them_and_touches_no_record(ltbench_here: CommandLine, results: Path) -> None:
    before = contents(results)
    done = ltbench_here("run", *SETTINGS, "--results", results)
    assert done.returncode == 0
    assert arrays(results) == []  # whoever only runs gets no more than before
    assert find_heavy(results)[0] == []
    done = ltbench_here("evaluate", *SETTINGS, "--results", results)
    assert done.returncode == 0, done.stdout
    imported(results)
    assert contents(results) == before
    assert {path.with_suffix(".json") for path in arrays(results)} == set(before)
    for path in arrays(results):
        found = read_arrays(path)
        assert {"uniform", "forward2", "backward2"} <= set(found)
    stamps = [path.stat().st_mtime_ns for path in arrays(results)]
    assert ltbench_here("evaluate", *SETTINGS, "--results", results).returncode == 0
    assert [path.stat().st_mtime_ns for path in arrays(results)] == stamps


def test_a_copy_without_logits_stays_as_it_is(ltbench_here: CommandLine, results: Path) -> None:
    for path in results.rglob("logits.safetensors"):
        path.unlink()
    done = ltbench_here("evaluate", *SETTINGS, "--results", results)
    assert done.returncode == 0, done.stdout
    assert arrays(results) == []
    report = ltbench_here("report", "--results", results, "--no-figures")
    assert report.returncode == 0, report.stderr
    (text,) = results.glob("report/digits-lt-*/tables/classes.md")
    assert "adds them where the logits of the trials lie" in text.read_text()
