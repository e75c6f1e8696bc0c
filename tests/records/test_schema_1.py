"""Results of November 2026 stay readable for ever: nothing in schema-1/ may be changed or made anew.

Two seeds of cross-entropy after two epochs, with streams and the logits of the first; SADE without logits;
an ensemble; a training that diverged. Where a test here fails, people's results have become unreadable.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from ltbench import load_results, load_streams
from ltbench.report.build import build_report

CommandLine = Callable[..., CompletedProcess[str]]
KEPT = Path(__file__).parent / "schema-1"
DIGEST = "142b6e5670fc0a225d3dce1934cf39bcaa2986920181a3b59f2fcc82930f8580"
UNIFORM = {
    ("2*ce", 0): 66.16666666666666,
    ("2*ce+oracle", 0): 77.16666666666666,
    ("ce+em", 0): 72.66666666666667,
    ("ce+em", 1): 61.83333333333333,
    ("ce", 0): 67.83333333333333,
    ("ce", 1): 61.83333333333333,
    ("ce+oracle", 0): 75.16666666666667,
    ("ce+oracle", 1): 71.66666666666667,
    ("sade+none", 0): 15.666666666666668,
    ("sade+oracle", 0): 15.833333333333332,
    ("sade", 0): 16.166666666666664,
}
ASKED = ["--set", "recipe.epochs=2", "--set", "test.draws=2", "--set", "test.ratios=2,5"]
ASKED += ["--set", "views.pairs=1", "--protocol", "digits-lt"]


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return Path(shutil.copytree(KEPT, tmp_path / "results"))


def test_the_records_are_those_of_that_day() -> None:
    digest = hashlib.sha256()
    for path in sorted(path for path in KEPT.rglob("*") if path.is_file()):
        digest.update(path.relative_to(KEPT).as_posix().encode() + b"\0" + path.read_bytes())
    assert digest.hexdigest() == DIGEST


def test_their_numbers_are_read(results: Path) -> None:
    frame = load_results(results)
    uniform = frame[frame.distribution == "uniform"]
    found = {(row.label, row.seed): row.top1 for row in uniform.itertuples()}
    assert found == pytest.approx(UNIFORM, abs=1e-9)
    assert set(load_streams(results).label) == {"ce", "ce+em", "ce+oracle"}


def test_a_report_shows_every_record(results: Path, tmp_path: Path) -> None:
    report = build_report(results, tmp_path / "report", figures=False)
    assert not report.unreadable
    assert [failure.status for failure in report.failures] == ["diverged"]
    (table,) = (tmp_path / "report").glob("*/tables/main.csv")
    shown = {line.split(",")[0] for line in table.read_text().splitlines()[1:]}
    assert {label for label, _ in UNIFORM} <= shown


def test_the_logits_serve_a_new_strategy_and_nothing_is_trained_again(
    results: Path, ltbench_here: CommandLine
) -> None:
    before = {path: path.read_bytes() for path in results.rglob("*") if path.is_file()}
    done = ltbench_here("status", "--results", results)
    assert done.returncode == 0
    assert "unreadable" not in done.stdout
    done = ltbench_here("run", "--methods", "ce,ce+em,sade", *ASKED, "--results", results)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "trained in" not in done.stdout
    asked = ["--methods", "ce+tilt", *ASKED, "--seeds", "1", "--results", results]
    done = ltbench_here("evaluate", *asked)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(list(results.glob("digits-lt/ce/0-1d1a6e901cbe/evaluations/ce+tilt-*.json"))) == 1
    assert {path: path.read_bytes() for path in before if path.name != "code.json"} == {
        path: content for path, content in before.items() if path.name != "code.json"
    }
