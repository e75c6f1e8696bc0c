"""A plugin that is edited between runs: what is trained again, shown, told apart and removed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

import ltbench
from ltbench import load_results

CommandLine = Callable[..., CompletedProcess[str]]

METHOD = """
from torch.nn import functional as F
from helpers import scale
from ltbench import Method

class Mine(Method):
    name = title = "mine"

    def loss(self, logits, targets, *, progress, rng=None):
        return 1.0 * scale(F.cross_entropy(logits[:, 0], targets))
"""
HELPERS = "def scale(loss):\n    return 1.0 * loss\n"
STRATEGY = """
from ltbench import Strategy
from ltbench.strategy import Adapted

class Own(Strategy):
    name = title = "own"

    def adapt(self, test, source, rng):
        return Adapted(1.0 * source.method.predict(test.logits))
"""


class Lab:
    """A results folder and a plugin folder; everything is run in it."""

    def __init__(self, command: CommandLine, root: Path) -> None:
        self.command, self.results, self.folder = command, root / "results", root / "plugins"
        self.folder.mkdir()
        self.write("mine.py", METHOD)
        self.write("helpers.py", HELPERS)
        self.write("own.py", STRATEGY)

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return path

    def run(self, seed: int, rows: str = "mine", plugin: str = "mine.py") -> None:
        done = ltbench.run(
            rows,
            "digits-lt",
            seeds=[seed],
            results=self.results,
            plugins=[str(self.folder / plugin)],
            **{"recipe.epochs": 1, "test.draws": 1, "test.ratios": [2]},
        )
        assert not done.failures

    def __call__(self, words: list[str], *more: str | Path) -> CompletedProcess[str]:
        return self.command(*words, *more, "--results", self.results)

    def trials(self) -> int:
        return len(list(self.results.glob("*/*/*/trial.json")))

    def shown(self, label: str = "mine") -> set[int]:
        frame = load_results(self.results)
        return set(frame[frame.current & (frame.label == label)].seed)


@pytest.fixture
def lab(ltbench_here: CommandLine, tmp_path: Path) -> Lab:
    return Lab(ltbench_here, tmp_path)


def test_comments_train_nothing_and_an_edit_does(lab: Lab) -> None:
    lab.run(0)
    lab.write("mine.py", '"""Docs."""\n' + METHOD.replace("return", "# why\n        return"))
    lab.write("helpers.py", HELPERS + "# that is all\n")
    lab.run(0)
    lab.write("elsewhere/mine.py", METHOD)
    lab.write("elsewhere/helpers.py", HELPERS)
    lab.run(0, plugin="elsewhere/mine.py")  # the same file at another path
    assert lab.trials() == 1
    done = lab(["report", "--strict", "--no-figures"])
    assert done.returncode == 0, done.stdout + done.stderr

    lab.write("helpers.py", HELPERS.replace("1.0", "2.0"))
    lab.run(1)
    assert lab.shown() == {1}
    lab.write("helpers.py", HELPERS)
    lab.run(0)  # nothing is left to do, and these are the numbers of the code that is there
    assert lab.trials() == 2
    assert lab.shown() == {0}
    told = lab(["report", "--no-figures"])
    assert told.returncode == 0
    assert "only its current code" in " ".join(told.stdout.split())
    refused = lab(["report", "--strict", "--no-figures"])
    assert refused.returncode == 2
    assert "--other-code" in refused.stderr

    status = lab(["status"]).stdout
    assert status.count("not the current one") == 1
    kept = lab(["clean", "--no-cache", "--yes"])
    assert "1 results of code that is no longer current stay" in kept.stdout
    assert lab.trials() == 2
    gone = lab(["clean", "--no-cache", "--other-code", "--yes"])
    assert gone.returncode == 0
    assert "other code" in gone.stdout
    assert lab.trials() == 1
    assert "not the current one" not in lab(["status"]).stdout
    assert lab(["report", "--strict", "--no-figures"]).returncode == 0


def test_an_edited_strategy_is_evaluated_again_without_training(lab: Lab) -> None:
    lab.run(0, "ce+own", "own.py")
    lab.write("own.py", STRATEGY.replace("1.0", "2.0"))
    lab.run(1, "ce+own", "own.py")
    assert lab.shown("ce+own") == {1}
    assert "1 of its rows of code that is not the current one" in " ".join(
        lab(["status"]).stdout.split()
    )
    lab.run(0, "ce+own", "own.py")
    assert lab.trials() == 2
    assert lab.shown("ce+own") == {0, 1}
    rows = sorted(lab.results.glob("*/ce/*/evaluations/ce+own-*.json"))
    records = [json.loads(path.read_text()) for path in rows]
    assert len(rows) == 3
    assert len({record["strategy_digest"] for record in records}) == 2
    assert {record["method_digest"] for record in records} == {""}
    assert lab(["report", "--strict", "--no-figures"]).returncode == 2
    assert lab(["clean", "--no-cache", "--other-code", "--yes"]).returncode == 0
    assert len(list(lab.results.glob("*/ce/*/evaluations/ce+own-*.json"))) == 2
    assert len(list(lab.results.glob("*/ce/*/evaluations/ce+none-*.json"))) == 2
    assert lab.trials() == 2
    assert lab(["report", "--strict", "--no-figures"]).returncode == 0


def test_an_ensemble_of_edited_code_is_told_as_its_member_is(lab: Lab) -> None:
    lab.run(0, "mine,2*mine")
    assert lab.shown("2*mine") == {0}
    assert "not the current one" not in lab(["status"]).stdout
    lab.write("mine.py", METHOD.replace("1.0", "2.0"))
    lab.run(0, "mine")  # nobody asks for the ensemble again
    assert lab.shown("mine") == {0}
    assert lab.shown("2*mine") == set()
    told = lab(["report", "--no-figures"])
    assert told.returncode == 0
    words = " ".join(told.stdout.split())
    assert "method mine: only its current code" in words
    status = lab(["status"]).stdout
    (line,) = (line for line in status.splitlines() if "2xmine" in line)
    assert "its member mine has code" in line
    assert "not the current one" in line
    lab.write("mine.py", METHOD)
    lab.run(0, "2*mine")  # the code asked for last is the former again, for the member, too
    assert lab.shown("2*mine") == {0}
    assert "its member" not in lab(["status"]).stdout
    lab.write("mine.py", METHOD.replace("1.0", "2.0"))
    lab.run(0, "mine")
    gone = lab(["clean", "--no-cache", "--other-code", "--yes"])
    assert gone.returncode == 0
    assert not list(lab.results.glob("digits-lt/ensemble-2xmine/*/trial.json"))
    assert lab.shown("mine") == {0}
