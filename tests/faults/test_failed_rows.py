"""A row that fails on a finished trial is told, remembered and tried again; the trial stands."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from ltbench import load_results
from tests.in_process import unchecked

CommandLine = Callable[..., CompletedProcess[str]]
SETTINGS = ["--protocol", "digits-lt", "--set", "recipe.epochs=1", "--set", "test.draws=2"]
SETTINGS += ["--set", "test.ratios=2", "--set", "train.max_count=30", "--set", "train.imbalance=30"]
SETTINGS += ["--seeds", "1"]
MOODY = """
import os
from ltbench import Strategy
from ltbench.session import Accumulating
from ltbench.strategy import Adapted

class Moody(Strategy):
    name, title = "moody", "fails until it is mended"

    def adapt(self, test, source, rng):
        real = len(test.logits) > 60  # the contract tests before a run have fewer images
        if real and not os.path.exists(os.environ["MENDED"]):
            raise RuntimeError("not today [sorry]")
        predict = source.method.predict
        return Adapted(predict(test.logits), frozen=predict)

    def session(self, source, rng):
        return Accumulating(self, source, rng)
"""


@pytest.fixture(autouse=True)
def without_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of plugins before a run, which these pass."""
    unchecked(monkeypatch)


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    plugin = tmp_path / "a moody one.py"
    plugin.write_text(MOODY)
    monkeypatch.setenv("MENDED", str(tmp_path / "mended"))
    words = ["run", "--methods", "ce+moody,ce+em,ce", *SETTINGS, "--plugin", str(plugin)]
    return [*words, "--results", str(tmp_path / "results")]


def test_f12_the_trial_stays_finished_and_the_row_is_tried_again(
    asked: list[str], ltbench_here: CommandLine, tmp_path: Path
) -> None:
    results = tmp_path / "results"
    done = ltbench_here(*asked)
    assert done.returncode == 1
    assert "failed: ce seed 0: ce+moody: RuntimeError: not today [sorry]" in done.stdout
    assert set(load_results(results).strategy) == {"none", "em", "oracle"}
    (folder,) = results.glob("digits-lt/ce/0-*")
    assert not (folder / "failed.json").exists()
    (remembered,) = folder.glob("failures/*.json")
    assert remembered.name.startswith("ce+moody-")
    record = json.loads(remembered.read_text())
    assert record["error"] == "ce+moody: RuntimeError: not today [sorry]"
    told = ltbench_here("status", "--results", results).stdout
    assert re.search(r"ce +0 +finished +3 +recipe.epochs=1.*1 rows failed", told)
    assert "  digits-lt ce seed 0: ce+moody: RuntimeError: not today [sorry]" in told
    assert "to go on with digits-lt ce seed 0 (failed rows):" in told
    assert "\n1 finished" in told
    (command,) = [line.strip() for line in told.splitlines() if "ltbench run" in line]
    (tmp_path / "mended").touch()
    again = ltbench_here(*shlex.split(command)[1:])
    assert again.returncode == 0, again.stdout
    assert "trained" not in again.stdout
    assert not (folder / "failures").exists()
    told = ltbench_here("status", "--results", results).stdout
    assert "failed" not in told
    assert "ltbench run" not in told
    assert "moody" in set(load_results(results).strategy)


def test_f12_a_stream_that_fails_is_remembered_apart(
    asked: list[str], ltbench_here: CommandLine, tmp_path: Path
) -> None:
    done = ltbench_here(*asked, "--arrival", "batch:64")
    assert done.returncode == 1
    (folder,) = (tmp_path / "results").glob("digits-lt/ce/0-*")
    assert len(list(folder.glob("failures/*.json"))) == 2
    streams = {path.name.partition("-batch64")[0] for path in folder.glob("streams/*.json")}
    assert {"ce+none", "ce+oracle", "ce+em"} >= streams >= {"ce+none", "ce+oracle"}
    told = ltbench_here("status", "--results", tmp_path / "results").stdout
    assert "not today [sorry] (stream batch:64)" in told
    (tmp_path / "mended").touch()
    assert ltbench_here(*asked, "--arrival", "batch:64").returncode == 0
    assert not (folder / "failures").exists()


def test_f12_a_failed_training_repeats_its_command(
    ltbench_here: CommandLine, tmp_path: Path
) -> None:
    plugin = tmp_path / "bad.py"
    plugin.write_text(
        "from ltbench import Method\n\n"
        "class Bad(Method):\n"
        "    name, title = 'bad', 'fails'\n"
        "    def loss(self, logits, targets, *, progress, rng=None):\n"
        "        if len(targets) > 15:  # the contract tests have fewer\n"
        "            raise RuntimeError('no')\n"
        "        return logits.logsumexp(2).mean() - logits[:, 0].gather(1, targets[:, None]).mean()\n"
    )
    asked = ["run", "--methods", "bad", *SETTINGS, "--plugin", str(plugin)]
    results = tmp_path / "results"
    assert ltbench_here(*asked, "--results", results).returncode == 1
    told = ltbench_here("status", "--results", results).stdout
    assert "to go on with digits-lt bad seed 0 (failed):" in told
    command = shlex.join(["ltbench", *asked[:3], *SETTINGS[:2], "--seeds", "1", *SETTINGS[2:-2]])
    assert f"  {command} --plugin {plugin} --results {results}" in told
