"""``ltbench`` and its workers as forks of this process: real processes, which can be stopped and killed,
without importing torch again (two seconds each). Not for tests of how a process starts.
"""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any, NoReturn

import pytest

from ltbench.execute import process, resources
from ltbench.execute.engines.here import Local

Completed = subprocess.CompletedProcess[str]
_SPARE, _START = process.Spare.__init__, Local.start


class Fork:
    """``body`` in a process of its own: what tests and engines use of ``subprocess.Popen``."""

    stdin: IO[str] | None = None
    stdout: IO[str] | None = None

    def __init__(self, body: Callable[[], object]) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        self.returncode: int | None = None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of Python 3.12: there are threads
            self.pid = os.fork()
        if not self.pid:
            _end(body)

    def poll(self) -> int | None:
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout: float = float("inf")) -> int:
        end = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > end:
                raise subprocess.TimeoutExpired(["a fork"], timeout)
            time.sleep(0.002)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def communicate(self) -> tuple[str, None]:
        """Its remaining output, after its end."""
        assert self.stdin is not None
        assert self.stdout is not None
        self.stdin.close()
        text = self.stdout.read()
        self.stdout.close()
        self.wait()
        return text, None


class ForkedWorker(Fork):
    """In place of ``subprocess.Popen`` of a worker: runs the same words of ``python -c``."""

    ours: set[int] = set()  # noqa: RUF012 - ends of pipes that a later worker must not keep open

    def __init__(
        self, words: list[str], *, stderr: IO[bytes], env: Mapping[str, str], **_: Any
    ) -> None:
        *_, code, root = words
        (theirs_in, ours_in), (ours_out, theirs_out) = os.pipe(), os.pipe()
        ForkedWorker.ours |= {ours_in, ours_out}

        def body() -> None:
            for end in ForkedWorker.ours:
                try:
                    os.close(end)
                except OSError:
                    continue  # of a worker that has ended
            os.setsid()
            _take_over(theirs_in, theirs_out, stderr.fileno(), env)
            sys.argv = ["-c", root]
            exec(compile(code, "<worker>", "exec"), {"__name__": "__main__"})

        super().__init__(body)
        os.close(theirs_in)
        os.close(theirs_out)
        self.stdin = _Ours(os.fdopen(ours_in, "wb", buffering=0), ours_in)
        self.stdout = _Ours(os.fdopen(ours_out, "rb"), ours_out)


class _Ours(io.TextIOWrapper):
    """This process's end of a pipe; once it is closed, its number may be another file's."""

    def __init__(self, file: Any, number: int) -> None:
        super().__init__(file, encoding="utf-8", write_through=True)
        self._number = number

    def close(self) -> None:
        ForkedWorker.ours.discard(self._number)
        super().close()


def forked_workers(patch: pytest.MonkeyPatch) -> None:
    """Until ``patch`` is undone, workers that this process starts are forks of it, also where
    :func:`tests.in_process.without_workers` said that there are none."""
    patch.setattr(process.Spare, "__init__", _SPARE)
    patch.setattr(Local, "start", _START)
    stand_in = SimpleNamespace(Popen=ForkedWorker, PIPE=subprocess.PIPE)
    patch.setattr(process, "subprocess", stand_in)


def fork_ltbench(
    words: list[str],
    *,
    env: Mapping[str, str],
    cwd: Path,
    output: Path,
    errors: Path | None = None,
    workers: bool = True,
    before: Callable[[], object] = lambda: None,
) -> Fork:
    """``ltbench WORDS`` as a fork that leads a session.

    env: all of its environment. errors: of stderr, else ``output`` has both. workers: its trials run in
    forks of its own, else in it. before: called in the fork, for what is to go wrong there.
    """

    def body() -> NoReturn:
        os.setsid()
        os.chdir(cwd)
        out = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o666)
        err = os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666) if errors else out
        _take_over(os.open(os.devnull, os.O_RDONLY), out, err, env)
        patch = pytest.MonkeyPatch()  # never undone: it ends with the fork
        patch.setattr(resources, "usable_cpus", lambda: 1)  # OpenMP's threads do not survive a fork
        if workers:
            forked_workers(patch)
        else:
            from tests.in_process import without_workers

            without_workers(patch)
        before()
        from ltbench.cli import main

        sys.argv = ["ltbench", *words]
        main()

    output.touch()  # whoever waits for a word of it may look at once
    return Fork(body)


def run_forked(
    words: list[str], *, env: Mapping[str, str], cwd: Path, workers: bool = True
) -> Completed:
    """The same, to its end."""
    with tempfile.TemporaryDirectory() as place:
        out, err = Path(place) / "out", Path(place) / "err"
        forked = fork_ltbench(words, env=env, cwd=cwd, output=out, errors=err, workers=workers)
        try:
            code = forked.wait(240)
        finally:
            forked.kill()
        return subprocess.CompletedProcess(words, code, out.read_text(), err.read_text())


def _take_over(stdin: int, stdout: int, stderr: int, env: Mapping[str, str]) -> None:
    """The files and the environment of a fresh process; what pytest put in their place is left."""
    for number, file in enumerate((stdin, stdout, stderr)):
        os.dup2(file, number)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - as long as the process
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False, buffering=1)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", closefd=False, buffering=1)  # noqa: SIM115
    os.environ.clear()
    os.environ.update(env)
    warnings.resetwarnings()  # pytest makes errors of them
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _end(body: Callable[[], object]) -> NoReturn:
    """Runs ``body`` and ends this process with its code: nothing of pytest may run here."""
    code = 1
    try:
        body()
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(code)
