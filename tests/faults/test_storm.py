"""F1: kills at random moments, in short; `make storm` is the long form."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from tests.zygote import available, started

KILLS = 12
SMALLER = {"ratios = [2, 5]": "ratios = [2]", "draws = 2": "draws = 1", "epochs = 4": "epochs = 3"}
"""Of the study: what is killed takes less time, in as many phases."""


pytestmark = pytest.mark.usefixtures("importable_benchmarks")


def draw_less() -> None:
    """From now on this process draws the first figure of a report alone, and no PDF, which is not compared:
    drawing is what takes the time."""
    from ltbench.report.figures import all as figures
    from ltbench.report.page import picture

    kinds = figures.figure_kinds()[:1]
    figures.figure_kinds = lambda: kinds  # type: ignore[assignment]
    picture.KINDS = ("png",)


@pytest.mark.skipif(not available(), reason="forks, and finds processes through /proc")
def test_f01_twelve_kills_at_random_moments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]
) -> None:
    from benchmarks import storm_study
    from benchmarks.storm import PHASES, storm

    # The process that is forked starts before the first command is timed: moments would be drawn too late.
    started([sys.executable, "-c", ""], env=environment).wait()
    monkeypatch.setattr(subprocess, "Popen", partial(started, before=draw_less))
    for more, less in SMALLER.items():
        assert more in storm_study.PROTOCOL
        monkeypatch.setattr(storm_study, "PROTOCOL", storm_study.PROTOCOL.replace(more, less))
    command, files, longest = PHASES["report"]  # so much sooner it is done
    monkeypatch.setitem(PHASES, "report", (command, files, longest / 6))
    found = storm(tmp_path / "storm", KILLS, rows="ce+em")
    assert found["kills"] == sum(found["planned"].values()) == KILLS
    assert found["files_compared_in_each"] > 30
    assert len((tmp_path / "storm" / "kills.jsonl").read_text().splitlines()) == KILLS


def test_f01_a_life_that_ends_otherwise_is_noticed(tmp_path: Path) -> None:
    """The storm's own check can fail: one digit of one score, a file that is missing, one left behind."""
    from benchmarks.storm import check
    from benchmarks.storm_study import outcome

    place = tmp_path / "results" / "storm" / "ce" / "0-abc" / "evaluations"
    place.mkdir(parents=True)
    record = place / "ce+none-1.json"
    record.write_text(json.dumps({"distributions": {"uniform": {"top1": 81.25}}, "seconds": 1.5}))
    calm = outcome(tmp_path)
    record.write_text(json.dumps({"distributions": {"uniform": {"top1": 81.25}}, "seconds": 9.5}))
    check(tmp_path, calm)
    (place.parent / "checkpoint.safetensors").touch()
    with pytest.raises(AssertionError, match="differ from the undisturbed study"):
        check(tmp_path, calm)
    with pytest.raises(AssertionError, match="left behind"):
        check(tmp_path, outcome(tmp_path))
    (place.parent / "checkpoint.safetensors").unlink()
    record.write_text(json.dumps({"distributions": {"uniform": {"top1": 81.26}}, "seconds": 1.5}))
    with pytest.raises(AssertionError, match=r"ce\+none-1\.json"):
        check(tmp_path, calm)
    record.unlink()
    with pytest.raises(AssertionError, match=r"ce\+none-1\.json"):
        check(tmp_path, calm)
