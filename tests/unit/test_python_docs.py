"""The tour runs, the list of functions is whole, and frames have the columns that are documented."""

from __future__ import annotations

import re
import runpy
import sys
import warnings
from pathlib import Path

import pandas as pd
import pytest

import ltbench
from ltbench.report.frames.recalls import load_recalls
from ltbench.report.frames.results import load_results
from ltbench.report.frames.streams import load_streams
from tests.in_process import without_workers

ROOT = Path(__file__).resolve().parents[2]
PUBLISHED = ROOT / "results" / "published"
RECORDS = (ROOT / "docs" / "records.md").read_text(encoding="utf-8")
PYTHON = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")


def test_the_tour_runs_top_to_bottom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A warning stops it; its trials run in this process."""
    without_workers(monkeypatch)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["tour.py", str(tmp_path / "results")])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        runpy.run_path(str(ROOT / "docs" / "tour.py"), run_name="__main__")
    told, error = capfd.readouterr()
    assert not error
    assert "finished: 4 failed: 0" in told
    # What the tour makes again from logits and draws is what the record says.
    again = re.search(r"(\S+): (\S+) % on draw 0 of forward5", told)
    assert again is not None
    frame = ltbench.load_results(tmp_path / "results", draws=0)
    trial = Path(again[1]).name.partition("-")[2]
    row = frame[(frame.trial == trial) & (frame.label == "ce") & (frame.distribution == "forward5")]
    assert float(again[2]) == pytest.approx(row.top1.item(), abs=0.005)
    assert list(tmp_path.iterdir()) == [tmp_path / "results"]


def documented(function: str) -> dict[str, str]:
    """Column to type, from the table under the heading of ``function``."""
    section = RECORDS.split(f"### `{function}(")[1].split("\n### ")[0]
    found: dict[str, str] = {}
    for line in section.splitlines():
        cells = line.split("|")
        if line.startswith("| `"):
            found |= dict.fromkeys(re.findall(r"`([^`]+)`", cells[1]), cells[2].strip())
    return found


def types(frame: pd.DataFrame) -> dict[str, str]:
    return {column: str(kind) for column, kind in frame.dtypes.items()}


@pytest.mark.parametrize("read", [load_results, load_recalls, load_streams])
def test_frames_have_the_documented_columns_in_their_order(read: object) -> None:
    assert callable(read)
    frame = read(PUBLISHED)
    expected = documented(read.__name__)
    if str(pd.Series(["a"]).astype("str").dtype) == "object":  # pandas 2
        expected = {c: "object" if t == "str" else t for c, t in expected.items()}
    assert types(frame) == expected
    assert list(frame.columns) == list(expected)


def test_columns_are_missing_or_empty_only_where_documented() -> None:
    section = RECORDS.split("### `load_results(")[1].split("\n### ")[0]
    may = {
        re.findall(r"`([^`]+)`", line)[0]: line.split("|")[4].strip()
        for line in section.splitlines()
        if line.startswith("| `")
    }
    for draws in ("mean", "all"):
        frame = load_results(PUBLISHED, draws=draws)
        for column in frame:
            lacking = frame[column].isna().any() or (frame[column] == "").any()
            infinite = frame.dtypes[column] == "float64" and (frame[column] == float("inf")).any()
            assert may[column] or not (lacking or infinite), column
        assert frame.draw.isna().all() == (draws == "mean")
        assert frame.ratio.isna().equals(~frame.kind.isin(["forward", "backward", "permuted"]))
        assert frame.many.notna().equals(frame.distribution == "uniform")
        assert set(frame.bias_kind) <= {"", "closed-form", "fitted", "reference"}


def test_other_frames_have_the_documented_columns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ltbench.python import plugins, settings, trials

    assert documented("list_trials") == trials.TRIAL_COLUMNS
    assert documented("plan_trials") == trials.PLAN_COLUMNS
    tuned = {"row": "str", "score": "float64", "error": "float64", "chosen": "bool"}
    assert documented("tune_method") == tuned
    for function, columns in (
        ("compare_trials", trials.DIFFERENCE_COLUMNS),
        ("clean_results", trials.LEFTOVER_COLUMNS),
        ("check_plugin", plugins.FINDING_COLUMNS),
        ("resolve_settings", settings.SETTING_COLUMNS),
    ):
        line = next(x for x in RECORDS.splitlines() if x.startswith(f"| `{function}("))
        assert re.findall(r"`([a-z_]+)`", line.split("|")[2]) == list(columns), function
    monkeypatch.setenv("LTBENCH_CACHE", str(tmp_path / "cache"))
    assert list(ltbench.list_trials(tmp_path).columns) == list(trials.TRIAL_COLUMNS)
    plan = ltbench.plan_trials("ce", "digits-lt", seeds=1, results=tmp_path)
    assert list(plan.columns) == list(trials.PLAN_COLUMNS)


def test_every_command_and_every_function_is_in_the_list() -> None:
    from ltbench.cli import COMMANDS

    table = [line for line in PYTHON.splitlines() if line.startswith("| `")]
    commands = {word for line in table for word in re.findall(r"`([a-z]+)", line.split("|")[1])}
    assert set(COMMANDS) <= commands
    named = set(re.findall(r"\b([a-z]+_[a-z_]+|run)\(", PYTHON))
    functions = {name for name in ltbench.__all__ if name[0].islower()}
    assert functions - {"load_model"} <= named
    assert named <= functions
