"""F1 to F4 and F9: whatever kills a run at whatever moment, the same command ends in the same bits."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import fcntl
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from ltbench.execute import run as execute_run
from tests.in_process import unchecked, without_workers
from tests.zygote import Before, available, started

CommandLine = Callable[..., CompletedProcess[str]]
pytestmark = pytest.mark.skipif(
    not available(), reason="kills forks that one thread makes, and finds them through /proc"
)

EPOCHS = 8
TRAINED = ["run", "--protocol", "digits-lt", "--jobs", "1", "--set", "test.draws=2"]
TRAINED += [
    "--set",
    "test.ratios=2,5",
    "--set",
    "train.max_count=30",
    "--set",
    "train.imbalance=30",
]
ASKED = [*TRAINED, "--set", f"recipe.epochs={EPOCHS}"]
SHORT = [*TRAINED, "--set", "recipe.epochs=3"]
EVERY_EPOCH = {"LTBENCH_CHECKPOINT_SECONDS": "0"}


class Run:
    """``ltbench run`` in the background, and the worker processes below it."""

    def __init__(self, process: subprocess.Popen[bytes], output: Path) -> None:
        self.process, self.output = process, output

    def workers(self) -> list[int]:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in children.read_text().split()]

    def text(self) -> str:
        return self.output.read_text()

    def kill_all(self) -> None:
        """As a batch system or a power cut does: nobody can react."""
        pids = [self.process.pid, *self.workers()]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)  # none sees another die
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        self.process.wait(10)
        wait_for(lambda: not any(map(is_running, pids)))


def is_running(pid: int) -> bool:
    """Until its last thread is gone: the first is a zombie before the others let go of locks."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        threads = len(os.listdir(f"/proc/{pid}/task"))
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z" or threads > 1


def wait_for(condition: Callable[[], Any], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


Start = Callable[..., Run]


def without_checks(before: Before | None) -> None:
    """What a fork begins with; and it looks often at a trial that another one holds."""
    unchecked()
    execute_run._BUSY_WAIT = 0.1
    if before is not None:
        before()


@pytest.fixture
def start(command: list[str], environment: dict[str, str], tmp_path: Path) -> Iterator[Start]:
    """``start("run", ...)`` goes on in the background. More is of :func:`tests.zygote.started`."""
    runs: list[Run] = []

    def begin(*arguments: str | Path, env: dict[str, str] = EVERY_EPOCH, **more: Any) -> Run:
        if not more.get("fresh"):
            more["before"] = partial(without_checks, more.get("before"))
        output = tmp_path / f"output{len(runs)}"
        words, env = [*command, *map(str, arguments)], {**environment, **env}
        with output.open("wb") as file:
            process = started(
                words,
                env=env,
                cwd=tmp_path,
                stdout=file,
                stderr=file,
                start_new_session=True,
                **more,
            )
        runs.append(Run(process, output))
        return runs[-1]

    yield begin
    for run in runs:
        if run.process.poll() is None:
            run.kill_all()


def folder_of(results: Path, name: str) -> Path:
    found = list((results / "digits-lt" / name).glob("0-*"))
    assert len(found) == 1
    return found[0]


def checkpoints(results: Path) -> list[tuple[Path, int]]:
    found = []
    for path in results.glob("*/*/*/checkpoint.safetensors"):
        with contextlib.suppress(FileNotFoundError):
            found.append((path, path.stat().st_mtime_ns))
    return found


def outcome(
    results: Path, name: str
) -> tuple[bytes, bytes, dict[str, Any], list[float], dict[str, Any]]:
    """What must be the same to the last bit: logits, weights, evaluations, losses, measured prior."""
    folder = folder_of(results, name)
    evaluations = {
        path.name: json.loads(path.read_text())["distributions"]
        for path in sorted((folder / "evaluations").glob("*.json"))
    }
    history = map(json.loads, (folder / "history.jsonl").read_text().splitlines())
    files = [(folder / f"{file}.safetensors").read_bytes() for file in ("logits", "weights")]
    carried = json.loads((folder / "trial.json").read_text())["carried_prior"]
    return files[0], files[1], evaluations, [entry["loss"] for entry in history], carried


def preemptions(results: Path, name: str) -> int:
    record = json.loads((folder_of(results, name) / "trial.json").read_text())
    assert isinstance(record["preemptions"], int)
    return record["preemptions"]


def check_clean(results: Path) -> None:
    """Nothing that only an unfinished training needs is left behind."""
    left = {path.name for path in results.rglob("*") if path.is_file()}
    assert not {name for name in left if name.endswith(".tmp") or name.startswith("checkpoint")}
    assert not left & {"starts.json", "failed.json", "failure.log"}


@pytest.fixture(scope="module")
def calm(ltbench_shared: CommandLine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of a run that nothing disturbs."""
    results = tmp_path_factory.mktemp("calm") / "results"
    done = ltbench_shared(*ASKED, "--methods", "sade+none,ce", "--results", results)
    assert done.returncode == 0
    check_clean(results)
    return results


def test_f01_sigkill_then_the_same_command(
    calm: Path, start: Start, ltbench_here: CommandLine, tmp_path: Path
) -> None:
    """F1: everything is killed; the claim of the dead is free at once."""
    results = tmp_path / "results"
    words = [*ASKED, "--methods", "sade+none,ce", "--results", str(results)]
    run = start(*words, fresh=True)
    wait_for(lambda: checkpoints(results))
    run.kill_all()
    assert run.process.returncode == -signal.SIGKILL
    assert not list(results.rglob("trial.json"))
    assert not list(results.rglob("logits.safetensors"))
    done = ltbench_here("status", "--results", results)
    assert "interrupted" in done.stdout
    planned = ltbench_here(*words, "--dry-run")
    assert "interrupted" in planned.stdout
    done = ltbench_here(*words)
    assert done.returncode == 0
    assert "another process" not in done.stdout
    for name in ("sade", "ce"):
        assert outcome(results, name) == outcome(calm, name)
    assert preemptions(results, "sade") == 1
    assert preemptions(results, "ce") == 0
    check_clean(results)


def test_f04_killed_parent_then_ctrl_c_then_sigterm(
    calm: Path, start: Start, ltbench_here: CommandLine, tmp_path: Path
) -> None:
    """F4, and workers without a parent; each run continues where the last one was stopped."""
    results = tmp_path / "results"
    words = [*ASKED, "--methods", "sade+none", "--results", str(results)]

    def newer(before: list[tuple[Path, int]]) -> Callable[[], bool]:
        return lambda: bool(checkpoints(results)) and checkpoints(results) != before

    run = start(*words)
    wait_for(newer([]))
    workers = run.workers()
    assert workers
    os.kill(run.process.pid, signal.SIGKILL)
    run.process.wait(10)
    wait_for(lambda: not any(map(is_running, workers)), seconds=15)

    for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        run = start(*words)
        wait_for(newer(checkpoints(results)))
        run.process.send_signal(number)
        assert run.process.wait(30) == code, run.text()
        line = next(line for line in run.text().splitlines() if "the same command" in line)
        assert line.startswith("interrupted; the same command continues: ltbench run --protocol")
        assert str(results) in line
        assert "Traceback" not in run.text()
        assert not list(results.rglob("trial.json"))
        assert checkpoints(results)

    assert ltbench_here(*words).returncode == 0
    assert outcome(results, "sade") == outcome(calm, "sade")
    assert preemptions(results, "sade") == 3
    check_clean(results)


# -- death at a chosen moment ---------------------------------------------------------------------


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_before(moment: str) -> None:
    """From now on this process, command and worker in one, ends before it writes what begins so, and
    within the writing of the checkpoint of the third epoch where that is ``checkpoint``."""
    from ltbench.execute import evaluate_trial, train_trial
    from ltbench.train import checkpoint

    without_workers(pytest.MonkeyPatch())
    save_file = checkpoint.save_file

    def dying(write: Callable[..., None]) -> Callable[..., None]:
        def write_or_die(path: Path, value: Any) -> None:
            if path.name.startswith(moment):
                die()
            write(path, value)

        return write_or_die

    def save(tensors: Any, path: Path, metadata: dict[str, str]) -> None:
        save_file(tensors, path, metadata=metadata)
        if moment == "checkpoint" and '"epochs_done": 3' in metadata["progress"]:
            os.truncate(path, 1000)
            die()

    train_trial.write_checked = dying(train_trial.write_checked)
    evaluate_trial.write_record = dying(evaluate_trial.write_record)
    checkpoint.save_file = save  # type: ignore[assignment]


@pytest.fixture
def die_at(start: Start, tmp_path: Path) -> Callable[[str], Path]:
    """Runs ce until the given moment, kills command and worker there, and returns the results."""

    def run(moment: str) -> Path:
        results = tmp_path / "results"
        words = [*ASKED, "--methods", "ce", "--results", results]
        begun = start(*words, before=partial(die_before, moment))
        assert begun.process.wait(60) == -signal.SIGKILL, begun.text()
        from ltbench.trial import store

        assert not store.is_claimed(folder_of(results, "ce"))
        return results

    return run


def test_f02_death_within_the_writing_of_a_checkpoint(
    die_at: Callable[[str], Path], calm: Path, ltbench_here: CommandLine
) -> None:
    """F2: the one before is used, and the half one removed."""
    results = die_at("checkpoint")
    folder = folder_of(results, "ce")
    assert [path.stat().st_size for path in folder.glob(".checkpoint*.tmp")] == [1000]
    whole = folder / "checkpoint.safetensors"
    assert whole.stat().st_size > 1000
    done = ltbench_here(*ASKED, "--methods", "ce", "--results", results)
    assert done.returncode == 0
    assert outcome(results, "ce") == outcome(calm, "ce")
    assert preemptions(results, "ce") == 1
    check_clean(results)


def test_f03_death_between_logits_and_record(
    die_at: Callable[[str], Path], calm: Path, ltbench_here: CommandLine
) -> None:
    """F3: the trial is finalised from its last checkpoint, without training; F5: not from one with
    a flipped bit, which is kept, and the training starts afresh."""
    results = die_at("trial.json")
    spoilt = shutil.copytree(results, results.parent / "spoilt")
    file = folder_of(spoilt, "ce") / "checkpoint.safetensors"
    content = bytearray(file.read_bytes())
    content[-100] ^= 1
    file.write_bytes(content)
    folder = folder_of(results, "ce")
    names = {path.name for path in folder.iterdir()}
    assert {"logits.safetensors", "weights.safetensors", "checkpoint.safetensors"} <= names
    assert "trial.json" not in names
    done = ltbench_here("report", "--results", results)
    assert done.returncode == 2  # half a trial is none
    assert "no readable evaluation" in done.stderr
    history = (folder / "history.jsonl").read_text()
    done = ltbench_here(*ASKED, "--methods", "ce", "--results", results)
    assert done.returncode == 0
    assert (folder / "history.jsonl").read_text() == history  # with the seconds of each epoch
    assert outcome(results, "ce") == outcome(calm, "ce")
    assert preemptions(results, "ce") == 1
    check_clean(results)
    done = ltbench_here(*ASKED, "--methods", "ce", "--results", spoilt)
    assert done.returncode == 0
    assert (file.parent / "checkpoint.corrupt").read_bytes() == content
    assert (file.parent / "history.jsonl").read_text() != history
    assert outcome(spoilt, "ce") == outcome(calm, "ce")


def test_f03_death_between_two_evaluations(
    die_at: Callable[[str], Path], calm: Path, ltbench_here: CommandLine
) -> None:
    """F3: what is there stays, is counted whole, and only the rest is done."""
    results = die_at("ce+oracle")
    folder = folder_of(results, "ce")
    (first,) = (folder / "evaluations").glob("*.json")
    assert first.name.startswith("ce+none-")
    before = (first.stat().st_mtime_ns, first.read_bytes())
    record = (folder / "trial.json").read_bytes()
    from ltbench import load_results

    assert set(load_results(results).strategy) == {"none"}
    done = ltbench_here(*ASKED, "--methods", "ce", "--results", results)
    assert done.returncode == 0
    assert "trained" not in done.stdout
    assert (first.stat().st_mtime_ns, first.read_bytes()) == before
    assert (folder / "trial.json").read_bytes() == record
    assert outcome(results, "ce") == outcome(calm, "ce")


def test_f03_a_lost_record_comes_back_from_nothing(
    calm: Path, ltbench_here: CommandLine, tmp_path: Path
) -> None:
    """F3, the worst case: no trial.json, no checkpoint. Its evaluations count for nothing."""
    results = tmp_path / "results"
    shutil.copytree(calm, results)
    folder = folder_of(results, "ce")
    (folder / "trial.json").unlink()
    done = ltbench_here("report", "--results", results, "--no-figures")
    assert done.returncode == 0
    assert "no trial.json; its 2 evaluations are not counted" in done.stdout
    done = ltbench_here(*ASKED, "--methods", "ce", "--results", results)
    assert done.returncode == 0
    assert outcome(results, "ce") == outcome(calm, "ce")


# -- claims ---------------------------------------------------------------------------------------

SLOW = """
import os, pathlib, time
from torch.nn import functional as F
from ltbench import Method

class Slow(Method):
    name, title = "slow", "waits in every step of a real training"
    def loss(self, logits, targets, *, progress, rng=None):
        if len(targets) < 15:  # the contract's small batches
            return F.cross_entropy(logits[:, 0], targets)
        pathlib.Path(f"{os.environ['STEP']}{progress:.2f}").touch()
        time.sleep(float(os.environ["PAUSE"]))
        return F.cross_entropy(logits[:, 0], targets)
"""


def no_locks(code: str) -> None:
    """As some network mounts have it: from now on this process, and its forks, find that file locks do not
    work."""

    def flock(descriptor: int, operation: int) -> None:
        number = getattr(errno, code)
        raise OSError(number, os.strerror(number))

    fcntl.flock = flock


def two_runs(start: Start, tmp_path: Path, locks: bool) -> Path:
    """Each trial is trained once; the second run waits for what the first one holds. Its folder."""
    plugin, results = tmp_path / "slow.py", tmp_path / "results"
    plugin.write_text(SLOW)
    words = [*SHORT, "--methods", "slow", "--plugin", str(plugin)]
    env = {"STEP": f"{tmp_path}/", "PAUSE": "0.05"} | ({} if locks else EVERY_EPOCH)
    before = None if locks else partial(no_locks, "ENOSYS")
    runs = [start(*words, "--results", results, env=env, before=before) for _ in range(2)]
    for run in runs:
        assert run.process.wait(90) == 0, run.text()
    texts = [run.text() for run in runs]
    assert sum(text.count("trained in") for text in texts) == 1
    told = [text for text in texts if "another process holds this trial, waiting for it" in text]
    assert len(told) == 1
    assert re.search(r"waiting for it \(process \d+ on \S+, since 20\S+\)", told[0])
    assert all("1 of 1 trials done" in text for text in texts)
    folder = folder_of(results, "slow")
    assert len((folder / "history.jsonl").read_text().splitlines()) == 3
    assert preemptions(results, "slow") == 0
    check_clean(results)
    assert not list(results.rglob(".claim*"))
    assert all(("file locks do not work in" in text) != locks for text in texts)
    return folder


def test_f09_two_runs_on_one_folder(start: Start, tmp_path: Path) -> None:
    two_runs(start, tmp_path, locks=True)


def test_f10_two_runs_without_file_locks(
    start: Start, ltbench_here: CommandLine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Whoever comes second keeps nothing of its own: the bits are those of one run alone."""
    folder = two_runs(start, tmp_path, locks=False)
    alone = ["--methods", "slow", "--plugin", tmp_path / "slow.py", "--results", tmp_path / "alone"]
    unchecked(monkeypatch)
    monkeypatch.setenv("STEP", f"{tmp_path}/")
    monkeypatch.setenv("PAUSE", "0")
    done = ltbench_here(*SHORT, *alone)
    assert done.returncode == 0, done.stderr
    assert outcome(tmp_path / "results", "slow") == outcome(tmp_path / "alone", "slow")
    assert folder.name == folder_of(tmp_path / "alone", "slow").name


@pytest.mark.parametrize("code", ["ENOLCK", "EOPNOTSUPP"])
def test_f10_without_file_locks_a_killed_run_holds_nothing(
    start: Start,
    ltbench_here: CommandLine,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    code: str,
) -> None:
    unchecked(monkeypatch)
    monkeypatch.setattr(fcntl, "flock", fcntl.flock)  # undone at the end
    no_locks(code)
    results = tmp_path / "results"
    plugin = tmp_path / "slow.py"
    plugin.write_text(SLOW)
    slow = [*TRAINED, "--set", "recipe.epochs=1", "--methods", "slow"]
    slow += ["--plugin", str(plugin), "--results", str(results)]
    run = start(*slow, env={**EVERY_EPOCH, "STEP": f"{tmp_path}/", "PAUSE": "600"})
    wait_for((tmp_path / "0.00").exists)
    status = ltbench_here("status", "--results", results).stdout
    assert re.search(r"slow +0 +running +0 +process \d+ on \S+, since", status)
    run.kill_all()
    assert list(results.rglob(".claim.lock"))
    assert "1 interrupted" in ltbench_here("status", "--results", results).stdout
    monkeypatch.setenv("STEP", f"{tmp_path}/")
    monkeypatch.setenv("PAUSE", "0")
    done = ltbench_here(*slow)
    assert done.returncode == 0
    assert "another process" not in done.stdout
    reason = os.strerror(getattr(errno, code))
    assert done.stdout.count(f"file locks do not work in {results} ({reason}): ") == 1
    assert not list(results.rglob(".claim*"))
    # What an earlier ltbench left behind every run.
    claim = folder_of(results, "slow") / ".claim.lock"
    claim.touch()
    os.utime(claim, (1, 1))
    assert "1 finished" in ltbench_here("status", "--results", results).stdout


def test_f04_ctrl_c_while_waiting_for_another(
    start: Start, calm: Path, tmp_path: Path, ltbench_here: CommandLine
) -> None:
    """A trial that another host holds: it is named, and nobody has to wait."""
    from ltbench.trial.holder import Holder

    results = shutil.copytree(calm, tmp_path / "results")
    other = dataclasses.replace(Holder.here(), host="node7", machine="another")
    folder = folder_of(results, "ce")
    (folder / ".claim.lock").write_bytes(other.to_bytes())
    assert f"in use by process {os.getpid()} on node7" in (
        ltbench_here("status", "--results", results).stdout
    )
    words = [*ASKED, "--methods", "ce+em", "--results", str(results)]
    run = start(*words)
    wait_for(lambda: "waiting for it" in run.text())
    assert f"waiting for it (process {os.getpid()} on node7, since {other.since})" in run.text()
    run.process.send_signal(signal.SIGINT)
    assert run.process.wait(10) == 130
    *_, last = run.text().splitlines()
    assert last.startswith("interrupted; the same command continues: ltbench run")
    assert run.text().count("waiting for it") == 1
    assert "Traceback" not in run.text()
    assert (folder / ".claim.lock").read_bytes() == other.to_bytes()


def test_f04_status_repeats_the_command_of_an_interrupted_trial(
    start: Start, ltbench_here: CommandLine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With every path quoted and absolute, so that it continues from any folder."""
    unchecked(monkeypatch)
    place = tmp_path / "a folder"
    place.mkdir()
    plugin, results = place / "slow one.py", place / "re sults"
    plugin.write_text(SLOW)
    words = ["run", "--methods", "slow,slow+none", "--protocol", "digits-lt", "--seeds", "0-0"]
    words += ["--set", "recipe.epochs=3", "--imbalance", "20", "--test-ratios", "2,5"]
    words += ["--plugin", os.path.relpath(plugin, tmp_path), "--results", str(results)]
    run = start(*words, env={"STEP": f"{tmp_path}/", "PAUSE": "600"})
    wait_for((tmp_path / "0.00").exists)
    run.kill_all()
    told = ltbench_here("status", "--results", results).stdout.splitlines()
    assert "to go on with digits-lt slow seed 0 (interrupted):" in told
    (line,) = [line.strip() for line in told if line.startswith("  ltbench ")]
    assert shlex.split(line)[1:] == [
        *("run", "--methods", "slow,slow+none", "--protocol", "digits-lt", "--seeds", "1"),
        *("--set", "recipe.epochs=3", "--set", "train.imbalance=20", "--set", "test.ratios=2,5"),
        *("--plugin", str(plugin), "--results", str(results)),
    ]
    assert f"'{plugin}'" in line
    monkeypatch.setenv("STEP", f"{tmp_path}/")
    monkeypatch.setenv("PAUSE", "0")
    done = ltbench_here(*shlex.split(line)[1:])
    assert done.returncode == 0
    assert "1 of 1 trials done" in done.stdout
    assert preemptions(results, "slow") == 1
    assert "go on with" not in ltbench_here("status", "--results", results).stdout


def test_f04_a_stop_in_the_middle_of_an_epoch(start: Start, tmp_path: Path) -> None:
    """F4 where the last checkpoint is old: the epoch is finished and kept."""
    plugin, results = tmp_path / "slow.py", tmp_path / "results"
    plugin.write_text(SLOW)
    words = [*ASKED, "--methods", "slow", "--plugin", str(plugin), "--results", str(results)]
    run = start(*words, env={"STEP": f"{tmp_path}/", "PAUSE": "0.2"})
    wait_for((tmp_path / f"{1 / EPOCHS:.2f}").exists)
    assert not checkpoints(results)
    run.process.send_signal(signal.SIGTERM)
    assert run.process.wait(30) == 143
    ((path, _),) = checkpoints(results)
    from safetensors import safe_open

    with safe_open(path, framework="np") as file:
        assert json.loads(file.metadata()["progress"])["epochs_done"] == 2


def test_f04_the_second_ctrl_c_ends_at_once(start: Start, tmp_path: Path) -> None:
    plugin, results, step = tmp_path / "slow.py", tmp_path / "results", tmp_path / "0.00"
    plugin.write_text(SLOW)
    words = [*ASKED, "--methods", "slow", "--plugin", str(plugin), "--results", str(results)]
    run = start(*words, env={"STEP": f"{tmp_path}/", "PAUSE": "600"})
    wait_for(step.exists)
    workers = run.workers()
    run.process.send_signal(signal.SIGINT)
    time.sleep(0.7)
    assert run.process.poll() is None  # waits for the step to end
    run.process.send_signal(signal.SIGINT)
    assert run.process.wait(10) == 130
    wait_for(lambda: not any(map(is_running, workers)), seconds=10)


def test_f09_a_worker_that_hangs_ends_with_its_parent(start: Start, tmp_path: Path) -> None:
    plugin, results, step = tmp_path / "slow.py", tmp_path / "results", tmp_path / "0.00"
    plugin.write_text(SLOW)
    words = [*ASKED, "--methods", "slow", "--plugin", str(plugin), "--results", str(results)]
    run = start(*words, env={"STEP": f"{tmp_path}/", "PAUSE": "600"})
    wait_for(step.exists)
    (worker,) = run.workers()
    os.kill(run.process.pid, signal.SIGKILL)
    run.process.wait(10)
    wait_for(lambda: not is_running(worker), seconds=10)
    from ltbench.trial import store

    wait_for(lambda: not store.is_claimed(folder_of(results, "slow")), seconds=5)
