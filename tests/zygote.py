"""``ltbench`` and its workers as forks of one process that has done nothing but import: real processes, with
signals, exit codes and pipes, without importing torch again (three seconds each).

:class:`Forked` stands for ``subprocess.Popen``. What runs in a fork finds the same stand-in there: each
Python that it starts (a worker, a job of submitit) is a fork of its own. Not for tests of how a process
starts, nor of an environment that Python or a library reads once: :func:`started` leaves those to a new
process.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import inspect
import os
import pickle
import pkgutil
import random
import runpy
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
import warnings
import weakref
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NoReturn

from ltbench.execute import process
from ltbench.execute.engines.here import Local

if TYPE_CHECKING:
    import pytest

Before = Callable[[], object]

READ_ONCE = (
    "PYTHON",
    "LANG",
    "LC_",
    "TZ",
    "OMP_",
    "MKL_",
    "OPENBLAS_",
    "MPL",
    "CUDA",
    "TORCH",
    "LTBENCH_CLAIM",
)
"""How names of variables begin that are read while Python or a library loads."""

_ROOT = str(Path(__file__).parents[1])
_SIZE = 8
_REAL = subprocess.Popen
_SPARE, _START = process.Spare.__init__, Local.start


def available() -> bool:
    """Where a process is known to have one thread, and processes are found through ``/proc``."""
    return hasattr(os, "fork") and Path("/proc/self/task").exists()


def started(
    words: Sequence[str],
    *,
    env: Mapping[str, str],
    before: Before | None = None,
    one_core: bool = True,
    fresh: bool = False,
    **more: Any,
) -> subprocess.Popen[Any]:
    """``subprocess.Popen(words, env=env, ...)`` of ``[sys.executable, "-m" or "-c", ...]``.

    before: called in the fork, for what is to go wrong there; a function that can be pickled.
    one_core: it trains as on a machine of one core, as trials within the process of the tests do: another
    number of threads rounds otherwise. fresh: no fork, in any case.
    """
    if fresh or not available() or not _as_zygote(env):
        assert before is None, "only a fork can call something before"
        if one_core and hasattr(os, "sched_setaffinity"):
            core = random.choice([*os.sched_getaffinity(0)])
            more["preexec_fn"] = partial(_on_core, core, more.get("preexec_fn"))
        return _REAL(words, env=env, **more)
    return Forked(words, env=env, before=before, one_core=one_core, **more)


def _on_core(core: int, more: Before | None) -> None:
    os.sched_setaffinity(0, {core})
    if more is not None:
        more()


def _as_zygote(env: Mapping[str, str]) -> bool:
    told = _environment()
    return all(
        told.get(name) == value
        for name, value in env.items()
        if name.startswith(READ_ONCE) and name != "PYTHONUNBUFFERED"  # which a fork follows
    )


@cache
def _environment() -> dict[str, str]:
    """Of the zygote: what the fixture ``environment`` has of :data:`READ_ONCE`, and of the machine."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("LTBENCH_")}
    return kept | {
        "PYTHONPATH": _ROOT,
        "PYTHONDONTWRITEBYTECODE": "1",
        "MPLBACKEND": "agg",
        "OMP_NUM_THREADS": "1",
        "OMP_WAIT_POLICY": "PASSIVE",  # as workers are told
        "JE_ARROW_MALLOC_CONF": "background_thread:false",  # pyarrow starts one when imported
    }


class _InFork(_REAL):  # type: ignore[type-arg]
    """``subprocess.Popen`` that forks this process where a Python is asked for."""

    def _execute_child(self, *arguments: Any) -> None:
        asked = inspect.signature(_REAL._execute_child).bind(self, *arguments).arguments  # type: ignore[attr-defined]
        if not isinstance(asked["args"], list | tuple) or asked["args"][0] != sys.executable:
            super()._execute_child(*arguments)  # type: ignore[misc]
            return
        self.pid = self._fork(asked)
        self._child_created = True
        ends = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
        self._close_pipe_fds(*(asked[end] for end in ends))  # type: ignore[attr-defined]

    def _fork(self, asked: Mapping[str, Any]) -> int:
        env = os.environ if asked["env"] is None else asked["env"]
        job = _Job(
            [*map(os.fspath, asked["args"])], dict(env), asked["cwd"], asked["start_new_session"]
        )
        job.preexec = asked["preexec_fn"]
        return _fork(lambda: job.run(_files(asked)))


class Forked(_InFork):
    """The same as a fork of the zygote, which is asked for it and for its end."""

    def __init__(
        self, words: Sequence[str], *, before: Before | None, one_core: bool, **more: Any
    ) -> None:
        self._before, self._one_core = before, one_core
        super().__init__(words, **more)

    def _fork(self, asked: Mapping[str, Any]) -> int:
        job = _Job([*map(os.fspath, asked["args"])], dict(asked["env"]), asked["cwd"], True)
        job.before, job.preexec = self._before, asked["preexec_fn"]
        job.one_core = self._one_core
        files = [os.dup(file) for file in _files(asked)]
        try:
            return int(_zygote().ask(pickle.dumps(job), files))
        finally:
            for file in files:
                os.close(file)

    def _try_wait(self, wait_flags: int) -> tuple[int, int]:
        while True:
            status = _zygote().ask(self.pid)
            if status is not None:
                return self.pid, status
            if wait_flags & os.WNOHANG:
                return 0, 0
            time.sleep(0.002)

    def _internal_poll(self, *_: Any, **__: Any) -> int | None:
        if self.returncode is None:
            pid, status = self._try_wait(os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode


def _files(asked: Mapping[str, Any]) -> tuple[int, int, int]:
    """stdin, stdout and stderr of the new process; -1 means this process's."""
    ends = asked["p2cread"], asked["c2pwrite"], asked["errwrite"]
    found = [number if end == -1 else end for number, end in enumerate(ends)]
    return found[0], found[1], found[2]


class _Job:
    """What a fork runs."""

    before: Before | None = None
    preexec: Before | None = None
    one_core = False

    def __init__(self, words: list[str], env: dict[str, str], cwd: Any, session: bool) -> None:
        self.words, self.env, self.cwd, self.session = words, env, cwd, session

    def run(self, files: Sequence[int]) -> None:
        _forget()
        if self.session:
            os.setsid()
        if self.cwd is not None:
            os.chdir(self.cwd)
        if self.preexec is not None:
            self.preexec()
        _take_over(files, self.env)
        subprocess.Popen = _InFork  # type: ignore[misc]
        if self.one_core:
            from ltbench.execute import resources

            resources.usable_cpus = lambda: 1
        if self.before is not None:
            self.before()
        kind, what, *rest = (word for word in self.words[1:] if word not in ("-u", "-P"))
        sys.argv = ["-c" if kind == "-c" else what, *rest]
        if kind == "-c":
            exec(compile(what, "<string>", "exec"), {"__name__": "__main__"})
        elif kind == "-m":
            runpy.run_module(what, run_name="__main__", alter_sys=True)
        else:
            raise ValueError(f"{self.words}: only -m and -c are understood")


def _fork(body: Before) -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of Python 3.12: there are threads
        pid = os.fork()
    if not pid:
        _end(body)
    return pid


def _forget() -> None:
    """What was to be done at the end of the process that this one was."""
    atexit._clear()
    weakref.finalize._registry = {}  # type: ignore[attr-defined]
    weakref.finalize._registered_with_atexit = False  # type: ignore[attr-defined]


def _take_over(files: Sequence[int], env: Mapping[str, str]) -> None:
    """The files and the environment of a fresh process."""
    high = [os.dup(file) for file in files]  # one may have another's number
    for number, file in enumerate(high):
        os.dup2(file, number)
    os.closerange(3, max(map(int, os.listdir("/proc/self/fd"))) + 1)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - as long as the process
    buffering = 1 if env.get("PYTHONUNBUFFERED") else -1
    sys.stdout = open(1, "w", buffering, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", closefd=False, buffering=1)  # noqa: SIM115
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr
    os.environ.clear()
    os.environ.update(env)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    import numpy

    numpy.random.seed()


def _end(body: Before) -> NoReturn:
    """Runs ``body`` as an interpreter does, with its last steps, and ends with its code."""
    code = 1
    try:
        code = _code(body)
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        try:
            sys.stdout.flush()
        except OSError:
            code = 120  # as an interpreter
        sys.stderr.flush()
    finally:
        os._exit(code)


def _code(body: Before) -> int:
    try:
        body()
    except SystemExit as error:
        if error.code is None or isinstance(error.code, int):
            return error.code or 0
        print(error.code, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        traceback.print_exc()
        return 130
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


class _Zygote:
    """The process that has imported everything, seen from the tests. It ends with them."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        code = f"from tests.zygote import serve; serve({theirs.fileno()})"
        self._process = _REAL(
            [sys.executable, "-c", code], env=_environment(), cwd="/", pass_fds=[theirs.fileno()]
        )
        theirs.close()
        self._socket = ours
        self._lock = threading.Lock()
        atexit.register(self._close)

    def ask(self, message: object, files: Sequence[int] = ()) -> Any:
        with self._lock:
            _send(self._socket, message, files)
            answer, _ = _receive(self._socket)
        return answer

    def _close(self) -> None:
        self._socket.close()
        self._process.wait()


@cache
def _zygote() -> _Zygote:
    return _Zygote()


def forked_workers(patch: pytest.MonkeyPatch) -> None:
    """Until ``patch`` is undone, workers that this process starts are forks of the zygote, also where
    :func:`tests.in_process.without_workers` said that there are none."""
    patch.setattr(process.Spare, "__init__", _SPARE)
    patch.setattr(Local, "start", _START)
    patch.setattr(process, "subprocess", SimpleNamespace(Popen=started, PIPE=subprocess.PIPE))


def _send(to: socket.socket, message: object, files: Sequence[int] = ()) -> None:
    data = pickle.dumps(message)
    head = len(data).to_bytes(_SIZE, "big")
    if files:
        socket.send_fds(to, [head], files)
    else:
        to.sendall(head)
    to.sendall(data)


def _receive(source: socket.socket) -> tuple[Any, list[int]]:
    head, files, _, _ = socket.recv_fds(source, _SIZE, 3)
    if not head:
        raise EOFError
    data = b""
    while len(data) < int.from_bytes(head, "big"):
        data += source.recv(1 << 20)
    return pickle.loads(data), files


def serve(number: int) -> None:
    """The zygote: imports, then forks for every job and tells the end of every fork that is asked for."""
    import_all()
    tests = socket.socket(fileno=number)
    os.set_inheritable(number, False)
    ended: dict[int, int] = {}
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the tests
    while True:
        try:
            message, files = _receive(tests)
        except (EOFError, ConnectionError):
            return
        if isinstance(message, int):
            if message not in ended:
                pid, status = os.waitpid(message, os.WNOHANG)
                if pid:
                    ended[pid] = status
            _send(tests, ended.get(message))
            continue
        _send(tests, _fork(partial(_run_job, message, files)))
        for file in files:
            os.close(file)


def _run_job(job: bytes, files: Sequence[int]) -> None:
    pickle.loads(job).run(files)  # here, for it imports what it names


def import_all() -> None:
    """What commands and workers import, and nothing that starts a thread, which no fork would have; the
    code that ltbench ships, parsed as every command that lists methods does."""
    import torchvision.transforms  # noqa: F401

    import ltbench
    from ltbench.plugins.shipped import table_of_tree

    for module in pkgutil.walk_packages(ltbench.__path__, "ltbench."):
        if module.name != "ltbench.__main__":
            with contextlib.suppress(ImportError):
                import_module(module.name)
    table_of_tree()
    gc.collect()
    gc.freeze()  # no fork copies all of it only to look for garbage
    threads = len(os.listdir("/proc/self/task"))
    assert threads == 1, f"{threads} threads after importing ltbench: a fork would have one"
