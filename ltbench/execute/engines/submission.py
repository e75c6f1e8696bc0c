"""Submission by submitit, and what the queue knows of jobs: of SLURM, or of its stand-in on this machine.

States come from ``squeue``: submitit's own ask ``sacct``, which small clusters lack.
"""

from __future__ import annotations

import getpass
import logging
import os
import re
import shlex
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import submitit
from submitit.core.utils import FailedJobError

from ltbench.errors import InputError
from ltbench.execute.engines.environment import environment_set, for_jobs
from ltbench.execute.engines.slurm_job import SlurmJob

_KEEP = 2.0  # seconds for which a state is taken as it was
_MOST_REQUEUES = 100
_ARRAY = 1001  # SLURM's default of MaxArraySize


class Queue(Protocol):
    """kind: what users call its jobs; signal_delay: seconds between a job's signal and its end."""

    kind: str
    signal_delay: float

    def submit(self, calls: Sequence[SlurmJob]) -> list[str]:
        """Names of the jobs, which are one array, or several where that would be too large."""

    def alive(self, jobs: Iterable[str], *, fresh: bool = False) -> set[str] | None:
        """Those of ``jobs`` that wait or run; None where the queue does not answer."""

    def why(self, job: str) -> tuple[str, bool]:
        """Why a job that is gone ended, in a line, and whether somebody cancelled it."""

    def ask_to_stop(self, jobs: Sequence[str]) -> None:
        """Waiting ones go; running ones are asked for a checkpoint."""

    def cancel(self, jobs: Sequence[str]) -> None:
        """Ends them at once."""


@dataclass(frozen=True)
class Asked:
    """What every job is asked for. here: as processes of this machine; minutes: of a job; jobs: side by
    side; signal_delay: seconds; setup: a line of shell; parameters: submitit's other ones, by name."""

    here: bool
    minutes: int
    jobs: int
    signal_delay: int
    setup: str
    parameters: Mapping[str, Any]


def open_queue(asked: Asked, folder: Path) -> Queue:
    logging.getLogger("submitit").setLevel(logging.CRITICAL)  # it tells of every poll
    return _HereQueue(folder, asked.minutes) if asked.here else _SlurmQueue(asked, folder)


class _SlurmQueue:
    kind = "SLURM job"

    def __init__(self, asked: Asked, folder: Path) -> None:
        self.signal_delay: float = min(asked.signal_delay, 30 * asked.minutes)
        self._known: set[str] | None = None
        self._looked = -_KEEP
        self._asked, self._folder = asked, folder

    def submit(self, calls: Sequence[SlurmJob]) -> list[str]:
        names: list[str] = []
        size = _largest_array() if len(calls) > 1 else 1
        for first in range(0, len(calls), size):
            # Its limit of jobs side by side is each array's own: where that binds, they take turns.
            after = names[-1].partition("_")[0] if names and self._asked.jobs < len(calls) else ""
            try:
                jobs = self._executor(after).submit_array(list(calls[first : first + size]))
            except FailedJobError as error:
                self.cancel(names)  # all or none: nobody would know of these
                lines = str(error).strip().splitlines() or ["sbatch failed"]
                raise InputError(f"SLURM refused the jobs: {lines[-1]}") from error
            names += [str(job.job_id) for job in jobs]
        self._looked = -_KEEP
        return names

    def _executor(self, after: str) -> submitit.AutoExecutor:
        """For one array, which starts when that of the number ``after`` has ended."""
        asked = self._asked
        setup = [f"export {k}={shlex.quote(v)}" for k, v in for_jobs().items()]
        executor = submitit.AutoExecutor(
            folder=self._folder / "%j", cluster="slurm", slurm_max_num_timeout=_MOST_REQUEUES
        )
        executor.update_parameters(
            name="ltbench",
            timeout_min=asked.minutes,
            slurm_array_parallelism=asked.jobs,
            slurm_signal_delay_s=int(self.signal_delay),
            slurm_setup=[*setup, asked.setup] if asked.setup else setup,
            slurm_additional_parameters={"requeue": True},
            slurm_dependency=f"afterany:{after}" if after else None,
            **asked.parameters,
        )
        return executor

    def alive(self, jobs: Iterable[str], *, fresh: bool = False) -> set[str] | None:
        if fresh or time.monotonic() - self._looked >= _KEEP:
            self._looked = time.monotonic()
            told = _told("squeue", "-h", "-r", "-u", getpass.getuser(), "-o", "%i")
            self._known = None if told is None else set(told.split())
        return None if self._known is None else self._known & set(jobs)

    def why(self, job: str) -> tuple[str, bool]:
        told = _told("scontrol", "show", "job", "-o", job) or ""
        state = _field("JobState", told)
        if not state:
            return f"SLURM job {job} left the queue without a result", False
        words = [f"SLURM job {job} ended as {state} without a result"]
        words += [
            f"{name}={value}"
            for name in ("Reason", "ExitCode")
            if (value := _field(name, told)) not in ("", "None", "0:0")
        ]
        return ", ".join(words), state == "CANCELLED"

    def ask_to_stop(self, jobs: Sequence[str]) -> None:
        if jobs:
            _told("scancel", "--state=PENDING", *jobs)
            _told("scancel", "--signal=USR1", *jobs)

    def cancel(self, jobs: Sequence[str]) -> None:
        if jobs:
            _told("scancel", *jobs)


def _largest_array() -> int:
    """Jobs that one array of this cluster may have."""
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)", _told("scontrol", "show", "config") or "", re.M)
    return max(1, int(found[1])) if found else _ARRAY


def _told(*words: str) -> str | None:
    """What a command of SLURM says; None where it fails, or does not answer."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def _field(name: str, told: str) -> str:
    found = re.search(rf"\b{name}=(\S+)", told)
    return found[1] if found else ""


class _HereQueue:
    """submitit's stand-in: processes of this machine, without a queue."""

    kind = "process"

    signal_delay = 30.0  # which submitit sets

    def __init__(self, folder: Path, minutes: int) -> None:
        self._executor = submitit.AutoExecutor(folder=folder / "%j", cluster="local")
        self._executor.update_parameters(timeout_min=minutes)
        self._own: dict[str, Any] = {}

    def submit(self, calls: Sequence[SlurmJob]) -> list[str]:
        with environment_set(for_jobs()):
            jobs = [self._executor.submit(call) for call in calls]
        self._own |= {str(job.job_id): job for job in jobs}
        return [str(job.job_id) for job in jobs]

    def alive(self, jobs: Iterable[str], *, fresh: bool = False) -> set[str] | None:
        return {name for name in jobs if self._is_alive(name)}

    def _is_alive(self, job: str) -> bool:
        if job in self._own:
            return not self._own[job].done()
        try:
            os.kill(int(job), 0)
        except (ValueError, ProcessLookupError):
            return False
        except PermissionError:
            pass
        return True

    def why(self, job: str) -> tuple[str, bool]:
        return f"process {job} ended without a result (a crash, or killed from outside)", False

    def ask_to_stop(self, jobs: Sequence[str]) -> None:
        pass  # the stop file lies here

    def cancel(self, jobs: Sequence[str]) -> None:
        for job in jobs:
            if job in self._own:
                self._own[job].cancel()
