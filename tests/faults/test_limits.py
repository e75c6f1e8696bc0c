"""F13 and F17: memory, time and processes of a trial have limits, one that passes them costs itself alone."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import numpy as np
import pytest
import torch

from ltbench import list_trials, load_results
from ltbench.execute import worker as worker_module
from ltbench.execute.engine import Message
from ltbench.execute.engines.local import LocalEngine
from ltbench.execute.leftovers import left_of
from ltbench.execute.oom_kills import likely_reason, oom_kills
from ltbench.execute.out_of_memory import is_out_of_memory, let_go, needs_less, told
from ltbench.execute.plan import Plan
from ltbench.execute.prepare import prepare
from ltbench.execute.request import Request
from ltbench.execute.run import execute, message_of
from ltbench.execute.silence import Silence
from ltbench.progress import duration
from tests.in_process import unchecked
from tests.zygote import forked_workers, started

CommandLine = Callable[..., CompletedProcess[str]]
pytestmark = pytest.mark.workers
needs_proc = pytest.mark.skipif(
    not Path("/proc/self/stat").exists(), reason="finds processes through /proc"
)

SMALL = ["--set", "train.max_count=30", "--set", "train.imbalance=30"]  # three steps an epoch

PLUGINS = '''
import os, pathlib, subprocess, sys, threading, time
import torch
from torch.nn import functional as F
from ltbench import Method, Strategy
from tests.in_process import unchecked
from tests.zygote import started

PLACE = pathlib.Path(os.environ["PLACE"])


class Base(Method):
    """Cross-entropy, until a subclass goes too far in its second epoch."""

    def loss(self, logits, targets, *, progress, rng=None):
        if progress >= 0.5 and len(targets) > 15:
            self.go_too_far()
        return F.cross_entropy(logits[:, 0], targets)


class Greedy(Base):
    """Asks the allocator of CPU memory for more than any machine has."""

    name = title = "greedy"

    def go_too_far(self):
        torch.empty(1 << 55)


class Wide(Base):
    name = title = "wide"

    def go_too_far(self):
        import numpy
        numpy.empty((1 << 27, 1 << 27))


class OnGpu(Base):
    name = title = "on-gpu"

    def go_too_far(self):
        raise torch.cuda.OutOfMemoryError(
            "CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 8 GiB"
        )


class Hangs(Base):
    """Waits for a child that never ends."""

    name = title = "hangs"

    def go_too_far(self):
        if not (PLACE / "mended").exists():
            child = subprocess.Popen(["sleep", "1000"])
            (PLACE / "hangs").write_text(f"{child.pid} {os.getpid()}")
            child.wait()


class Litters(Base):
    """Ends well, but leaves a child, a child of a fork that holds the pipes, and a thread."""

    name = title = "litters"
    done = False

    def go_too_far(self):
        if Litters.done:
            return
        Litters.done = True
        child = subprocess.Popen(["sleep", "1000"], process_group=0)
        forked = os.fork()
        if not forked:
            while True:
                time.sleep(1000)
        threading.Thread(target=time.sleep, args=(1000,), daemon=False).start()
        (PLACE / self.name).write_text(f"{child.pid} {forked} {os.getpid()}")


class Dies(Litters):
    """The same, and then the end without a word: the fork still holds the worker's pipe."""

    name = title = "dies"

    def go_too_far(self):
        super().go_too_far()
        os._exit(7)


class Full(Strategy):
    """A strategy that finds no memory for the test images."""

    name = title = "full"

    def adapt(self, test, source, rng):
        if len(test.logits) > 40:
            raise MemoryError
        from ltbench.strategy import Adapted
        return Adapted(logits=source.method.predict(test.logits))
'''


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("limits")
    (folder / "greedy.py").write_text(PLUGINS)
    return folder


@pytest.fixture(scope="module")
def limit(ltbench: CommandLine, quick: list[str], tmp_path_factory: pytest.TempPathFactory) -> int:
    """Seconds in which a good trial ends on this machine, as busy as it is: twice what a whole run of one
    took."""
    asked = ["run", "--methods", "ce", *quick, *SMALL]
    asked += ["--results", tmp_path_factory.mktemp("good")]
    assert (
        ltbench("--version").returncode == 0
    )  # what the first process of all waits for is no measure
    began = time.monotonic()
    assert ltbench(*asked, env={"LTBENCH_CHECKPOINT_SECONDS": "0"}).returncode == 0
    return max(2, math.ceil(2 * (time.monotonic() - began)))


@pytest.fixture(scope="module")
def done(place: Path, ltbench: CommandLine, quick: list[str], limit: int) -> CompletedProcess[str]:
    """One run of all of them through one worker after another, a good trial before and behind."""
    methods = "ce+full,greedy,wide,on-gpu,hangs,litters,dies,balanced-softmax"
    asked = ["run", "--methods", methods, *quick, *SMALL, "--plugin", place / "greedy.py"]
    asked += ["--results", place / "results", "--timeout", f"{limit}s", "--jobs", "1"]
    env = {"PLACE": str(place), "LTBENCH_CHECKPOINT_SECONDS": "0"}
    return ltbench(*asked, env=env, checked=False)


def folder_of(results: Path, name: str) -> Path:
    (found,) = (results / "digits-lt" / name).iterdir()
    return found


def record_of(place: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        (folder_of(place / "results", name) / "failed.json").read_text()
    )
    return found


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text("latin-1").rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def wait_for(condition: Callable[[], Any], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


# -- memory ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("greedy", r"out of memory: DefaultCPUAllocator: .*bytes; "),
        ("wide", r"out of memory: Unable to allocate .* for an array with shape .*; "),
        ("on-gpu", r"out of memory: CUDA out of memory. Tried to allocate 20.00 GiB; "),
    ],
)
def test_f17_out_of_memory_is_a_status_with_advice(
    name: str, words: str, done: CompletedProcess[str], place: Path
) -> None:
    record = record_of(place, name)
    assert record["status"] == "oom"
    assert re.match(words, record["error"]), record["error"]
    assert (
        "--accumulate 2 with --set recipe.norm_batch=16 (it keeps the batch of 32;"
        in (record["error"])
    )
    assert "--jobs 1" not in record["error"]  # that is how it ran
    assert f"failed: {name} seed 0: {record['error']}" in done.stdout
    assert "Traceback" in (folder_of(place / "results", name) / "failure.log").read_text()
    assert record["protocol"]["name"] == "digits-lt"  # the batch is what it was
    assert done.returncode == 1


def test_f17_the_others_run(done: CompletedProcess[str], place: Path) -> None:
    labels = set(load_results(place / "results").label)
    assert {"ce", "balanced-softmax", "litters"} <= labels


def test_f17_a_row_without_memory_leaves_the_training(
    done: CompletedProcess[str], place: Path
) -> None:
    assert re.search(
        r"failed: ce seed 0: ce\+full: out of memory: MemoryError; it needs a machine with more memory",
        done.stdout,
    )
    folder = folder_of(place / "results", "ce")
    assert (folder / "trial.json").exists()
    assert not (folder / "failed.json").exists()
    (remembered,) = (folder / "failures").glob("*.json")
    assert json.loads(remembered.read_text())["status"] == "oom"


def test_f17_status_and_report_know_it(
    done: CompletedProcess[str], place: Path, tmp_path: Path, ltbench_here: CommandLine, limit: int
) -> None:
    results = tmp_path / "results"
    shutil.copytree(place / "results", results)
    frame = list_trials(results).set_index("training")
    states = {"greedy": "oom", "hangs": "timeout", "dies": "failed", "litters": "finished"}
    assert {name: frame.state[name] for name in states} == states
    facts = json.loads(ltbench_here("status", "--results", results, "--json").stdout)
    assert facts["counts"] == {"failed": 1, "finished": 3, "oom": 3, "timeout": 1}
    (hangs,) = [t for t in facts["trials"] if t["training"] == "hangs"]
    assert hangs["command"][-4:-2] == ["--timeout", f"{limit}s"]
    told = ltbench_here("report", "--results", results, "--no-figures").stdout
    assert "greedy: 1/1 oom (seed 0); no result" in told
    assert "hangs: 1/1 timeout (seed 0); no result" in told


def plan_of(folder: Path, **changes: Any) -> Plan:
    quick = {"recipe.epochs": 2, "test.draws": 2, "test.ratios": (2,)}
    overrides = quick | changes.pop("overrides", {})
    asked = {"device": "cpu", "seeds": (0,), "results": folder, "overrides": overrides}
    return prepare(Request(changes.pop("methods", "ce"), "digits-lt", **asked | changes))


@pytest.mark.parametrize(
    ("changes", "advice"),
    [
        (
            {"overrides": {"recipe.norm_batch": 8}, "jobs": 2},
            "--accumulate 2 (it keeps the batch of 32); --jobs 1 (one trial at a time)",
        ),
        (
            {"overrides": {"recipe.norm_batch": 8}, "accumulate": 2, "jobs": 1},
            "--accumulate 4 (it keeps the batch of 32)",
        ),
        (
            {"overrides": {"recipe.norm_batch": 16}, "processes": 2, "jobs": 1, "loaders": 4},
            "--loaders 1; --processes 1",
        ),
    ],
)
def test_f17_advice_is_what_the_trial_can_take(
    changes: dict[str, Any], advice: str, tmp_path: Path
) -> None:
    (planned,) = plan_of(tmp_path, **changes).trials
    assert needs_less(planned.job, trained=False) == f"less memory take: {advice}"


def test_f17_memory_is_told_from_other_errors() -> None:
    with pytest.raises(RuntimeError) as torch_said:
        torch.empty(1 << 55)
    with pytest.raises(MemoryError) as numpy_said:
        np.empty((1 << 27, 1 << 27))
    wrapped = ValueError("a plugin's own words")
    wrapped.__cause__ = numpy_said.value
    for error in (torch_said.value, numpy_said.value, wrapped, torch.OutOfMemoryError("x")):
        assert is_out_of_memory(error)
    for other in (RuntimeError("memory format is wrong"), ValueError("out of memory"), KeyError()):
        assert not is_out_of_memory(other)
    assert told(MemoryError()) == "MemoryError"


def test_f17_what_a_failed_trial_held_is_free_before_the_next() -> None:
    class Big:
        pass

    gone = threading.Event()

    def fail() -> None:
        import weakref

        big = Big()
        weakref.finalize(big, gone.set)
        raise MemoryError(big.__class__.__name__)

    try:
        fail()
    except MemoryError as error:
        assert not gone.is_set()
        let_go(error)
        assert gone.is_set()


def test_f17_the_kernels_killer_is_named_where_it_tells(tmp_path: Path) -> None:
    group = tmp_path / "sys/fs/cgroup/user/job/memory.events"
    group.parent.mkdir(parents=True)
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("0::/user/job\n")
    assert oom_kills(tmp_path) is None
    (tmp_path / "proc/vmstat").write_text("nr_free_pages 5\noom_kill 3\n")
    assert oom_kills(tmp_path) == 3  # of the machine, where the group does not tell
    group.write_text("low 0\noom 1\noom_kill 1\n")
    assert oom_kills(tmp_path) == 1
    assert "lack of memory is the likely reason" in likely_reason(-9, 1, 2)
    assert "this system does not tell" in likely_reason(-9, None, None)
    assert likely_reason(-9, 1, 1) == likely_reason(-11, 1, 2) == likely_reason(7, 0, 1) == ""


# -- time ------------------------------------------------------------------------------------------


@needs_proc
def test_f13_a_trial_that_hangs_is_ended_with_its_processes(
    done: CompletedProcess[str], place: Path, limit: int
) -> None:
    record = record_of(place, "hangs")
    assert record["status"] == "timeout"
    assert record["error"] == (
        f"it ran longer than {duration(limit)}, its --timeout, and was ended; what it stored stays, "
        "and the same command goes on from there"
    )
    assert not any(is_running(int(pid)) for pid in (place / "hangs").read_text().split())
    assert (folder_of(place / "results", "hangs") / "checkpoint.safetensors").exists()


def test_f13_the_same_command_goes_on_from_its_checkpoint(
    done: CompletedProcess[str], place: Path, tmp_path: Path, ltbench_here: CommandLine,
    quick: list[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    forked_workers(monkeypatch)
    unchecked(monkeypatch)
    shutil.copytree(place / "results", tmp_path / "results")
    (tmp_path / "mended").touch()
    monkeypatch.setenv("PLACE", str(tmp_path))
    asked = ["run", "--methods", "hangs", *quick, *SMALL, "--plugin", place / "greedy.py"]
    asked += ["--jobs", "1"]
    assert (
        ltbench_here(*asked, "--results", tmp_path / "results", "--timeout", "1h").returncode == 0
    )
    folder = folder_of(tmp_path / "results", "hangs")
    assert json.loads((folder / "trial.json").read_text())["preemptions"] == 1
    assert not (folder / "failed.json").exists()


@pytest.mark.parametrize("text", ["90", "0s", "m", "-5m", "1h30m", "2 h"])
def test_f13_a_limit_without_sense_is_refused(
    text: str, ltbench_here: CommandLine, quick: list[str]
) -> None:
    refused = ltbench_here("run", "--methods", "ce", *quick, "--timeout", text)
    assert refused.returncode == 2
    (line,) = refused.stderr.splitlines()
    assert f"timeout = '{text}' must be a number above 0 with its unit, s, m, h or d: 90m" in line


def test_f13_other_engines_have_limits_of_their_own(
    ltbench_here: CommandLine, quick: list[str]
) -> None:
    asked = ["run", "--methods", "ce", *quick, "--timeout", "1h", "--engine", "slurm"]
    refused = ltbench_here(*asked, "--engine-set", "cluster=local")
    assert refused.returncode == 2
    assert "--timeout is for the local engine" in refused.stderr
    assert "--engine-set time=MINUTES" in refused.stderr


class Slow:
    """An engine of one trial that tells its events when its clock says so."""

    retries, slots = 0, 1

    def __init__(self, script: list[tuple[float, dict[str, Any]]]) -> None:
        self.script, self.now, self.trial = deque(script), 0.0, ""

    def submit(self, message: Message) -> None:
        self.trial = str(message["trial"])

    def poll(self, seconds: float) -> Iterator[tuple[str, dict[str, Any]]]:
        self.now += 10.0
        while self.script and self.script[0][0] <= self.now:
            yield self.trial, self.script.popleft()[1]

    def stop(self, *, now: bool = False) -> None:
        raise AssertionError("a notice stops nobody")

    def close(self) -> None:
        pass


def test_f13_silence_is_noticed_by_the_pace_of_the_trial(tmp_path: Path) -> None:
    def epoch(number: int) -> dict[str, Any]:
        return {"event": "epoch", "epoch": number, "epochs": 9, "seconds": 1.0, "loss": 1.0}

    script = [
        (10.0, {"event": "started"}),
        (510.0, epoch(1)),  # 500 s, below the 600 of a trial whose pace nobody knows
        (520.0, epoch(2)),
        (8000.0, epoch(3)),
        (8010.0, {"event": "done"}),
    ]
    engine = Slow(script)
    heard: list[tuple[float, float]] = []

    def listen(planned: Any, event: dict[str, Any]) -> None:
        if event["event"] == "silent":
            heard.append((engine.now, event["seconds"]))

    silence = Silence(clock=lambda: engine.now)
    outcome = execute(plan_of(tmp_path), engine=engine, listen=listen, silence=silence)
    assert outcome.exit_code == 0
    # Ten times the longest epoch of 500 s: at 5000 s of silence, and not again before 10000.
    assert heard == [(5530.0, 5010.0)]


def test_f13_the_notice_says_what_to_do(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from rich.console import Console

    from ltbench.execute.progress import RunProgress

    for timeout, words in (("", "--timeout 2h would end it"), ("3h", "ends it after 3 h 0 min")):
        plan = plan_of(tmp_path, timeout=timeout)
        with RunProgress(plan, Console(width=300)) as progress:
            progress(plan.trials[0], {"event": "silent", "seconds": 750.0})
        told_line = capfd.readouterr().out
        assert "ce seed 0: nothing heard of it for 12 min 30 s" in told_line
        assert words in told_line


# -- what is left behind ---------------------------------------------------------------------------


@needs_proc
@pytest.mark.parametrize("name", ["litters", "dies"])
def test_f13_no_process_of_a_plugin_outlives_its_trial(
    name: str, done: CompletedProcess[str], place: Path
) -> None:
    """Children in groups of their own, forks that hold pipes, and threads that nobody ends."""
    assert not any(is_running(int(pid)) for pid in (place / name).read_text().split())


def test_f13_a_death_is_noticed_though_a_fork_holds_the_pipe(
    done: CompletedProcess[str], place: Path
) -> None:
    record = record_of(place, "dies")
    assert record["status"] == "failed"
    assert record["error"].startswith("the worker process ended with code 7 (a crash, or killed")


@needs_proc
def test_f13_a_killed_run_leaves_no_process(
    place: Path, command: list[str], environment: dict[str, str], quick: list[str], tmp_path: Path
) -> None:
    """Nobody can react to SIGKILL: the worker ends with its parent, and all it started with it."""
    words = [*command, "run", "--methods", "hangs", *quick, "--plugin", str(place / "greedy.py")]
    run = started(
        [*words, "--results", str(tmp_path / "results")],
        env={**environment, "PLACE": str(tmp_path)},
        stdout=subprocess.DEVNULL,
    )
    told_file = tmp_path / "hangs"
    wait_for(lambda: told_file.exists() and len(told_file.read_text().split()) == 2, 100)
    pids = [int(pid) for pid in told_file.read_text().split()]
    assert all(map(is_running, pids))
    assert pids[0] in left_of(pids[1])  # of the worker's session
    run.send_signal(signal.SIGKILL)
    run.wait()
    wait_for(lambda: not any(map(is_running, pids)))


def test_f13_a_thread_of_a_plugin_is_told_with_the_last_event() -> None:
    events: list[dict[str, Any]] = []
    end = threading.Event()
    tell = worker_module._with_threads(events.append)
    thread = threading.Thread(target=end.wait)
    thread.start()
    tell({"event": "epoch"})
    tell({"event": "done"})
    end.set()
    thread.join()
    tell({"event": "done"})
    assert [event.get("threads_left") for event in events] == [None, 1, 0]


# -- nothing grows ---------------------------------------------------------------------------------


WORKER = """
import json, sys
for line in sys.stdin:
    message = json.loads(line)
    for event in ({"event": "started"}, {"event": "done", "threads_left": int(message["seed"]) % 5 == 4}):
        print(json.dumps({"trial": message["trial"], **event}), flush=True)
"""


@needs_proc
def test_f13_thirty_trials_leave_no_handle_and_no_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The driver and the local engine are real; workers only say that they are done, and each is ended
    after five trials, for a thread that the fifth left."""
    from ltbench.execute import process
    from ltbench.execute.engines import local

    monkeypatch.setattr(
        process, "_START", f"# {{}}\n{WORKER.replace('{', '{{').replace('}', '}}')}"
    )
    started: list[int] = []

    def start(gpu: str = "") -> process.WorkerProcess:
        found = process.start_worker(gpu)
        started.append(found.popen.pid)
        return found

    monkeypatch.setattr(local, "start_worker", start)
    plan = plan_of(tmp_path, seeds=tuple(range(30)), jobs=1)
    counts: list[tuple[int, int]] = []

    def listen(planned: Any, event: dict[str, Any]) -> None:
        if event["event"] == "started":
            counts.append((len(os.listdir("/proc/self/fd")), threading.active_count()))

    before = len(os.listdir("/proc/self/fd")), threading.active_count()
    outcome = execute(plan, listen=listen, engine=LocalEngine(1))
    assert len(outcome.finished) == 30
    assert len(started) == 6
    assert set(counts) == {counts[0]}
    assert (len(os.listdir("/proc/self/fd")), threading.active_count()) == before
    assert not any(map(is_running, started))
    assert message_of(plan.trials[0])["settings"]["timeout"] == 0.0
