"""Jobs of SLURM by submitit: what is asked for, and the engine."""

from __future__ import annotations

import math
import secrets
import shutil
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from ltbench.errors import InputError
from ltbench.execute.engine import Event, Message, Sharing, Start
from ltbench.execute.engines.slurm_files import SlurmFiles, Submitted
from ltbench.execute.engines.slurm_job import SlurmJob
from ltbench.execute.engines.submission import Asked, Queue, open_queue
from ltbench.execute.resources import share
from ltbench.settings import check_ranges, setting
from ltbench.trial import store
from ltbench.trial.environment import resolve_device

_LEAST_MINUTES = 30
_READ_SECONDS = 1.0  # between looks at the files of events, on a file system that many share
_QUIET_FILES = 200  # of jobs that told nothing yet: so many are looked for at once, in turn


@dataclass(frozen=True)
class Slurm:
    """``--engine slurm``: the settings of its jobs, as ``--engine-set`` gives them."""

    here: ClassVar[bool] = False
    detachable: ClassVar[bool] = True

    partition: str = setting("", help="of the cluster; empty: its default")
    account: str = setting("", help="to be charged; empty: the user's default")
    qos: str = setting("", help="quality of service")
    constraint: str = setting("", help="features of the nodes, such as a100")
    gres: str = setting("", help="generic resources, where GPUs are asked for by them: gpu:a100:1")
    time: int = setting(
        0, low=0, help="minutes of a job; 0: half as many again as estimated, at least 30"
    )
    gpus: int = setting(
        0, low=0, high=64, help="of a job; a trial trains on one, or on --processes of them"
    )
    cpus: int = setting(1, low=1, help="of a job, which are its threads")
    mem: float = setting(0.0, low=0, help="GB of a job; 0: the cluster's default")
    trials_per_job: int = setting(1, low=1, help="small trials, one after another in one job")
    signal_delay: int = setting(
        120, low=15, help="seconds before the end of its time in which a job writes its checkpoint"
    )
    retries: int = setting(2, low=0, help="of a trial whose job ended without a result")
    watch: float = setting(10.0, above=0, help="seconds between two calls of squeue")
    setup: str = setting("", help="a line of shell before each job, such as: module load cuda")
    cluster: str = setting(
        "slurm", choices=("slurm", "local"), help="local: processes here, to try it without SLURM"
    )

    def __post_init__(self) -> None:
        check_ranges(self)

    def check(self) -> None:
        if self.cluster == "slurm" and shutil.which("sbatch") is None:
            raise InputError(
                "engine 'slurm' needs sbatch, which is not found here; run it where jobs are "
                "submitted from, or try --engine-set cluster=local"
            )

    def device(self, word: str) -> str:
        kind = word.partition(":")[0]
        if kind == "auto":
            return "cuda" if self.gpus or "gpu" in self.gres else "cpu"
        if kind not in ("cpu", "cuda", "mps"):
            raise InputError(f"device {word!r} must be one of auto, cpu, cuda, mps")
        return kind

    def share(self, asked: Sharing) -> tuple[int, int]:
        if asked.jobs_per_gpu is not None:
            raise InputError(
                "--jobs-per-gpu is for the local engine; --engine-set trials_per_job=N puts several "
                "trials into one job"
            )
        if asked.processes > 1 and self.gpus not in (0, asked.processes):
            raise InputError(
                f"--processes {asked.processes} takes a GPU for each; --engine-set gpus={self.gpus} must be "
                f"gpus={asked.processes}"
            )
        jobs = asked.jobs
        if jobs is None and self.cluster == "local":
            jobs, _ = share(None, None, asked.trials, resolve_device("cpu"), asked.memory)
        return max(1, min(jobs or asked.trials, asked.trials)), self.cpus

    def minutes(self, seconds: float) -> int:
        """Of a job whose longest trial takes ``seconds`` by estimate."""
        if self.time:
            return self.time
        return max(_LEAST_MINUTES, math.ceil(1.5 * seconds * self.trials_per_job / 60))

    def asked(self, start: Start) -> Asked:
        """In submitit's words; what is empty is left to the cluster."""
        words = {
            "cpus_per_task": self.cpus,
            "gpus_per_node": self.gpus,
            "mem_gb": self.mem,
            "slurm_partition": self.partition,
            "slurm_account": self.account,
            "slurm_qos": self.qos,
            "slurm_constraint": self.constraint,
            "slurm_gres": self.gres,
        }
        return Asked(
            here=self.cluster == "local",
            minutes=self.minutes(start.seconds),
            jobs=start.jobs,
            signal_delay=self.signal_delay,
            setup=self.setup,
            parameters={word: value for word, value in words.items() if value},
        )

    def start(self, start: Start) -> SlurmEngine:
        return SlurmEngine(self, start)


@dataclass
class _Job:
    """A job that was submitted and has trials without a final event. left: those, by key."""

    name: str
    left: dict[str, Submitted]
    any_started: bool = False
    missing: int = 0


class SlurmEngine:
    """Everything that can start is submitted as one array; SLURM decides when it runs."""

    def __init__(self, settings: Slurm, start: Start) -> None:
        self.settings = settings
        self.retries = settings.retries
        waits = settings.cluster == "local"  # which has no queue
        self.slots = start.jobs * settings.trials_per_job if waits else max(1, start.trials)
        self._files = SlurmFiles(start.results)
        self._queue: Queue = open_queue(settings.asked(start), self._files.folder)
        self._stop_file = str(self._files.folder / f"stop_{secrets.token_hex(4)}")
        self._stopping = False
        self._pending: list[Message] = []
        self._jobs: dict[str, _Job] = {}
        self._told: deque[tuple[str, Event]] = deque()
        self._next_read = self._next_look = 0.0
        self._first_quiet = 0

    def submit(self, message: Message) -> None:
        trial = str(message["trial"])
        if self._adopt(trial, message):
            return
        holder = store.holder_of(Path(message["folder"]))
        if holder is not None:  # no place in the queue for what could not start
            self._told.append((trial, {"event": "busy", "holder": str(holder)}))
            return
        self._pending.append(message)

    def poll(self, seconds: float) -> Iterator[tuple[str, Event]]:
        self._flush()
        found = bool(self._told)
        while self._told:
            yield self._told.popleft()
        if time.monotonic() >= self._next_read:
            self._next_read = time.monotonic() + min(_READ_SECONDS, self.settings.watch)
            for job in self._due():
                for item in self._read(job):
                    found = True
                    yield item
        if self._jobs and time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + self.settings.watch
            for item in self._look():
                found = True
                yield item
        if not found:
            time.sleep(seconds)

    def stop(self, *, now: bool = False) -> None:
        self._stopping = True
        if now:
            self._queue.cancel(list(self._jobs))
            return
        for submitted in {s.stop_file: s for j in self._jobs.values() for s in j.left.values()}:
            Path(submitted).touch()
        for message in self._pending:
            self._told.append((str(message["trial"]), {"event": "interrupted"}))
        self._pending.clear()
        self._queue.ask_to_stop(list(self._jobs))
        self._next_look = 0.0

    def close(self) -> None:
        self._queue.cancel(list(self._jobs))
        self._jobs.clear()
        Path(self._stop_file).unlink(missing_ok=True)

    def leave(self) -> list[str]:
        self._flush()
        left = list(self._jobs)
        self._jobs.clear()
        return [f"{self._queue.kind} {name}" for name in left]

    def _adopt(self, trial: str, message: Message) -> bool:
        """Whether a job that an earlier call of the same words left behind is at this trial."""
        known = self._files.known(trial, message)
        if known is None or not self._queue.alive([known.job]):
            return False
        if any(event["event"] in self._files.ended for event in known.read_again()):
            return False
        job = self._jobs.setdefault(known.job, _Job(known.job, {}))
        job.left[trial] = known
        self._tell_place(trial, known.job)
        return True

    def _tell_place(self, trial: str, job: str) -> None:
        where = self._files.folder / job
        self._told.append((trial, {"event": "queued", "job": f"{self._queue.kind} {job}, {where}"}))

    def _flush(self) -> None:
        """Submits all that is pending as one array."""
        if not self._pending:
            return
        size = self.settings.trials_per_job
        pending, self._pending = self._pending, []
        groups = [
            [self._files.new(message, self._stop_file) for message in pending[i : i + size]]
            for i in range(0, len(pending), size)
        ]
        wait = self._queue.signal_delay - 10.0
        calls = [
            SlurmJob([submitted.told for submitted in group], self._stop_file, wait)
            for group in groups
        ]
        for name, group in zip(self._queue.submit(calls), groups, strict=True):
            placed = {submitted.trial: self._files.place(submitted, name) for submitted in group}
            self._jobs[name] = _Job(name, placed)
            for trial in placed:
                self._tell_place(trial, name)
        self._next_look = time.monotonic() + self.settings.watch

    def _due(self) -> list[_Job]:
        """Jobs whose events are read now: all that run, and of thousands that wait a part."""
        quiet = [job for job in self._jobs.values() if not job.any_started]
        heard = [job for job in self._jobs.values() if job.any_started]
        first = self._first_quiet if self._first_quiet < len(quiet) else 0
        self._first_quiet = first + _QUIET_FILES
        return heard + quiet[first : self._first_quiet]

    def _read(self, job: _Job) -> Iterator[tuple[str, Event]]:
        for trial, submitted in list(job.left.items()):
            for event in submitted.read():
                job.any_started = job.any_started or event["event"] == "started"
                submitted.started = submitted.started or event["event"] == "started"
                if event["event"] in self._files.ended:
                    job.left.pop(trial, None)
                yield trial, event
        if not job.left:
            self._jobs.pop(job.name, None)

    def _look(self) -> Iterator[tuple[str, Event]]:
        """Jobs that are gone: twice in turn, since events may come later than the news of the end."""
        alive = self._queue.alive(list(self._jobs), fresh=True)
        if alive is None:  # the controller does not answer
            return
        for job in list(self._jobs.values()):
            job.missing = 0 if job.name in alive else job.missing + 1
            if job.missing == 1:
                self._next_look = time.monotonic() + min(2.0, self.settings.watch)
            if job.missing > 1:
                yield from self._read(job)
                yield from self._ended(job)

    def _ended(self, job: _Job) -> Iterator[tuple[str, Event]]:
        if not job.left:
            return
        self._jobs.pop(job.name, None)
        reason, cancelled = self._queue.why(job.name)
        log = self._files.errors_of(job.name)
        reason = f"{reason}; its log: {self._files.folder / job.name}"
        for trial, submitted in job.left.items():
            if self._stopping:
                yield trial, {"event": "interrupted"}
            elif cancelled:
                yield trial, {"event": "cancelled", "reason": reason}
            elif submitted.started or not job.any_started:
                yield trial, {"event": "lost", "reason": reason, "log": log}
            else:
                yield trial, {"event": "returned"}
