"""Streams and further test families from the command line, to the report."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from ltbench import load_results
from ltbench.report.page import picture

CommandLine = Callable[..., CompletedProcess[str]]

PLUGIN = '''
from ltbench import Strategy
from ltbench.strategy import Adapted

class Whole(Strategy):
    """Works on whole test sets only."""

    name, title = "whole", "whole sets"

    def adapt(self, test, source, rng):
        return Adapted(test.logits.mean(1))
'''


@pytest.fixture(scope="module")
def once(
    ltbench_shared: CommandLine, quick: list[str], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A finished trial of ce."""
    results = tmp_path_factory.mktemp("once") / "results"
    assert ltbench_shared("run", "--methods", "ce", *quick, "--results", results).returncode == 0
    return results


@pytest.fixture
def results(once: Path, tmp_path: Path) -> Path:
    """A copy of it for one test."""
    return Path(shutil.copytree(once, tmp_path / "results"))


def test_streams_are_added_to_a_finished_trial_and_reported(
    ltbench_here: CommandLine,
    quick: list[str],
    results: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Its lines stand in a CSV; nobody looks at the pictures, nor shall other tests find these.
    monkeypatch.setattr(picture, "KINDS", ())
    monkeypatch.setenv("LTBENCH_CACHE", str(tmp_path / "cache"))
    options = ["--methods", "ce", *quick, "--results", results]
    evaluations = {p: p.read_bytes() for p in results.rglob("evaluations/*.json")}
    arrivals = ["--arrival", "batch:64", "--arrival", "batch:64", "--arrival", "single"]
    done = ltbench_here("evaluate", *options, *arrivals)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {p: p.read_bytes() for p in results.rglob("evaluations/*.json")} == evaluations
    streams = {p: p.stat().st_mtime_ns for p in results.rglob("streams/*.json")}
    names = sorted(path.name.rpartition("-")[0] for path in streams)
    assert names == ["ce+none-batch64", "ce+none-single", "ce+oracle-batch64", "ce+oracle-single"]
    record = json.loads(next(iter(streams)).read_text())
    assert set(record["distributions"]["uniform"]["orders"]) == {"random", "drifting"}
    assert ltbench_here("evaluate", *options, *arrivals).returncode == 0
    assert {p: p.stat().st_mtime_ns for p in results.rglob("streams/*.json")} == streams
    assert ltbench_here("report", "--results", results).returncode == 0
    folder = next((results / "report").glob("digits-lt*"))
    assert (folder / "tables" / "streams.csv").is_file()
    assert (folder / "figures" / "accuracy-over-stream.csv").is_file()


def test_families_are_evaluated_by_override_and_reported_apart(
    ltbench_here: CommandLine, quick: list[str], results: Path
) -> None:
    families = ["--set", "test.permuted.ratios=20", "--set", "test.dirichlet.concentrations=1"]
    options = ["--methods", "ce", *quick, "--results", results]
    before = load_results(results)
    done = ltbench_here("evaluate", *options, *families)
    assert done.returncode == 0, done.stdout + done.stderr
    after = load_results(results)
    added = set(after.distribution) - set(before.distribution)
    assert added == {f"{family}-{k}" for family in ("permuted20", "dirichlet1") for k in range(3)}
    assert set(after[after.distribution.isin(added)].n_draws) == {2}
    shared = after[~after.distribution.isin(added)].reset_index(drop=True)
    assert shared.equals(before)
    assert ltbench_here("report", "--results", results, "--no-figures").returncode == 0
    tables = next((results / "report").glob("digits-lt*")) / "tables"
    assert "permuted20" in (tables / "families.csv").read_text()
    for name in ("main.csv", "partial.csv"):
        assert "permuted" not in (tables / name).read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--arrival", "batch"], "arrival 'batch' must be single or batch:SIZE"),
        (["--arrival", "single", "--set", "test.drift=1"], "drift = 1.0 must be greater than 1"),
    ],
)
def test_wrong_arrivals_are_refused(
    words: list[str], message: str, ltbench_here: CommandLine, quick: list[str]
) -> None:
    done = ltbench_here("run", "--methods", "ce", *quick, *words)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_strategy_for_whole_sets_is_refused_before_any_work(
    ltbench_here: CommandLine, quick: list[str], tmp_path: Path
) -> None:
    plugin = tmp_path / "whole.py"
    plugin.write_text(PLUGIN)
    words = ["--methods", "ce+whole", *quick, "--plugin", plugin, "--results", tmp_path / "r"]
    done = ltbench_here("run", *words, "--arrival", "single")
    assert done.returncode == 2
    assert "ce+whole: strategy 'whole' works on whole test sets only" in done.stderr
    assert not list((tmp_path / "r").rglob("*.json"))


VIEW_MEAN = '''
from ltbench import Strategy
from ltbench.session import Accumulating
from ltbench.strategy import Adapted

class ViewMean(Strategy):
    """argmax mean_e z_e, weighed by how alike the views are."""
    name, title = "view-mean", "V"
    needs = frozenset({"views"})
    uses_predict = False

    def adapt(self, test, source, rng):
        scale = 1 + test.views(0).std()

        def predict(logits):
            return logits.mean(dim=1) * scale

        return Adapted(logits=predict(test.logits), frozen=predict)

    def session(self, source, rng):
        return Accumulating(self, source, rng)
'''


def test_a_strategy_with_views_accumulates(
    ltbench_here: CommandLine, quick: list[str], results: Path, tmp_path: Path
) -> None:
    plugin = tmp_path / "view_mean.py"
    plugin.write_text(VIEW_MEAN)
    asked = ["run", "--methods", "ce+view-mean", *quick, "--arrival", "batch:64"]
    done = ltbench_here(*asked, "--plugin", plugin, "--results", results)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(list(results.rglob("streams/ce+view-mean-batch64-*.json"))) == 1
