"""``ltbench status``: who is at a trial, as a table, as JSON, once and again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from ltbench.trial.claim import claim
from ltbench.trial.running import RUNNING, noted
from tests.zygote import started

CommandLine = Callable[..., CompletedProcess[str]]


@pytest.fixture
def trial(tmp_path: Path) -> Path:
    folder = tmp_path / "results/digits-lt/ce/0-aaaaaaaaaaaa"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def running(trial: Path) -> Iterator[Path]:
    """A trial that this process holds, in the middle of its training."""

    def emit(event: dict[str, Any]) -> None:
        pass

    clock = iter(range(0, 1000, 60)).__next__
    with claim(trial) as held, noted(trial, held, "slurm", "cpu", emit, clock) as tell:
        tell({"event": "epoch", "epoch": 3, "epochs": 43, "seconds": 90.0, "loss": 1.0})
        yield trial
    assert list(trial.iterdir()) == []


def facts(done: CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    (one,) = json.loads(done.stdout)["trials"]
    found: dict[str, Any] = one
    return found


def test_a_running_trial_tells_where_it_is_and_how_far(
    running: Path, ltbench: CommandLine, tmp_path: Path
) -> None:
    done = ltbench("status", "--results", tmp_path / "results", "--json")
    assert json.loads(done.stdout)["counts"] == {"running": 1}
    one = facts(done)
    assert (one["protocol"], one["training"], one["state"]) == ("digits-lt", "ce", "running")
    told = one["running"]
    assert told["process"] == os.getpid()
    assert told["engine"] == "slurm"
    assert told["device"] == "cpu"
    assert told["stage"] == "epoch"
    assert (told["done"], told["total"]) == (3, 43)
    assert told["seconds_left"] == 40 * 90
    assert 0 <= told["silent"] < 60
    table = ltbench("status", "--results", tmp_path / "results").stdout
    assert f"process {os.getpid()} on {told['host']}, since {told['since']}" in " ".join(
        table.split()
    )
    assert "slurm, cpu, epoch 3/43, about 1 h 0 min left, last sign of life " in table


def test_what_a_killed_process_left_is_not_taken_for_its_successors(
    trial: Path, ltbench_here: CommandLine, tmp_path: Path
) -> None:
    left = {"token": "of the dead", "engine": "slurm", "device": "cuda", "done": 3, "total": 4}
    (trial / RUNNING).write_text(json.dumps(left))
    one = facts(ltbench_here("status", "--results", tmp_path / "results", "--json"))
    assert one["state"] == "interrupted"
    assert one["running"] is None
    with claim(trial):
        one = facts(ltbench_here("status", "--results", tmp_path / "results", "--json"))
    assert one["state"] == "running"
    assert one["running"]["engine"] is None
    assert one["running"]["done"] is None


@pytest.mark.parametrize("content", ["", "[]", '{"token": 1}', '{"colour": 1}', "\x00"])
def test_a_damaged_file_is_no_matter(
    content: str, trial: Path, ltbench_here: CommandLine, tmp_path: Path
) -> None:
    (trial / RUNNING).write_text(content)
    with claim(trial):
        one = facts(ltbench_here("status", "--results", tmp_path / "results", "--json"))
    assert one["running"]["engine"] is None


def test_no_trials_as_json(ltbench_here: CommandLine, tmp_path: Path) -> None:
    done = ltbench_here("status", "--results", tmp_path / "none", "--json")
    assert json.loads(done.stdout) == {"trials": [], "counts": {}}


def _hears_ctrl_c() -> None:
    """Tests may have been started in the background, where a shell has it ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize("words", [["--json"], []], ids=["json", "table"])
def test_a_watch_tells_changes_and_ends_quietly(
    words: list[str],
    trial: Path,
    command: list[str],
    environment: dict[str, str],
    tmp_path: Path,
) -> None:
    asked = [*command, "status", "--results", str(tmp_path / "results"), "--watch", "0.1", *words]
    env = {**environment, "PYTHONUNBUFFERED": "1"}
    process = started(
        asked, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env,
        preexec_fn=_hears_ctrl_c,
    )  # fmt: skip
    assert process.stdout is not None
    found = process.stdout.readline()
    while "interrupted" not in found:
        found += process.stdout.readline()
    record = {"schema": 1, "status": "failed", "error": "no"}
    (trial / "failed.json").write_text(json.dumps(record))
    failed = '"state": "failed"' if words else " failed "
    while failed not in found:
        found += process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert errors == ""
    if words:
        states = [json.loads(line)["trials"][0]["state"] for line in found.splitlines()]
        assert states == ["interrupted", "failed"]  # one line a change, not one a look


def test_a_watch_on_a_terminal(
    running: Path, command: list[str], environment: dict[str, str], tmp_path: Path
) -> None:
    pty = pytest.importorskip("pty", reason="there are no pseudo-terminals here")
    ours, theirs = pty.openpty()
    env = {**environment, "TERM": "xterm"}
    asked = [*command, "status", "--results", str(tmp_path / "results"), "--watch", "0.1"]
    process = started(
        asked, stdin=theirs, stdout=theirs, stderr=theirs, env=env, start_new_session=True,
        preexec_fn=_hears_ctrl_c,
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    while shown.count(b"1 running") < 3:  # it refreshes
        shown += os.read(ours, 4096)
    process.send_signal(signal.SIGINT)
    try:
        while more := os.read(ours, 4096):
            shown += more
    except OSError:  # the other side is closed
        pass
    os.close(ours)
    assert process.wait(60) == 0
    assert b"Traceback" not in shown
    assert shown.rfind(b"\x1b[?25h") > shown.rfind(b"\x1b[?25l") > -1  # the cursor is back


@pytest.mark.parametrize("every", ["0", "often"])
def test_a_watch_needs_a_time(every: str, ltbench_here: CommandLine, tmp_path: Path) -> None:
    done = ltbench_here("status", "--results", tmp_path, "--watch", every)
    assert done.returncode == 2
    assert "--watch" in done.stderr
