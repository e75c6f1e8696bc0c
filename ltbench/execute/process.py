"""The process of a worker. Needs no torch: a worker can load its own while the parent loads its."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO

from ltbench.execute.leftovers import end_session

_START = "import sys; sys.path.append(sys.argv[1]); from ltbench.execute.{} import main; main()"


@dataclass(frozen=True)
class WorkerProcess:
    """A running worker with pipes to its stdin and from its stdout; ``errors`` is its stderr."""

    popen: subprocess.Popen[str]
    errors: IO[bytes]

    def kill(self) -> None:
        """Ends it and all that it started, at once."""
        self.popen.kill()
        end_session(self.popen.pid)

    def discard(self) -> None:
        """Ends a worker that was given no trial."""
        self.kill()
        self.popen.communicate()  # waits and closes the pipes
        self.errors.close()


def start_worker(gpu: str = "", module: str = "worker") -> WorkerProcess:
    """``gpu``: the only ones that the worker sees; empty where there is no choice. module: what it runs."""
    environment = dict(os.environ)
    # Threads that wait by spinning starve each other on a machine that runs anything else:
    # measured with one competing process, 66 instead of 158 images a second.
    environment.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if gpu:
        environment["CUDA_VISIBLE_DEVICES"] = gpu
    root = str(Path(__file__).parents[2])
    errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the worker
    popen = subprocess.Popen(
        # -P: no module of the current folder may stand in for one of ours. The folder of this
        # very ltbench comes last, for a checkout that is not installed.
        [sys.executable, "-P", "-c", _START.format(module), root],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        env=environment,
        text=True,
        encoding="utf-8",
        start_new_session=True,  # Ctrl-C reaches the parent, which asks for a checkpoint
    )
    return WorkerProcess(popen, errors)


class Spare:
    """A worker that loads while the plan is made, for whoever takes it; otherwise it is ended.

    Parent and worker both load torch, 2.5 seconds each: at the same time where there are two cores.
    """

    def __init__(self, *, wanted: bool) -> None:
        several = (os.cpu_count() or 1) > 1  # on one core it would only delay the plan
        self._worker = start_worker() if wanted and several else None

    def take(self) -> WorkerProcess | None:
        """The worker, once."""
        worker, self._worker = self._worker, None
        return worker

    def __enter__(self) -> Spare:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._worker is not None:
            self._worker.discard()
