"""A worker process: one job a line on stdin, events as JSON lines on stdout.

It ends when stdin closes, hence with its parent, however that dies, and takes with it what it started:
no thread of a plugin keeps it, and no process of its session is left.
"""

from __future__ import annotations

import os
import threading
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ltbench.errors import DivergedError, InterruptedRun, describe
from ltbench.execute.engine import FINAL, Event
from ltbench.execute.leftovers import leave
from ltbench.execute.pipes import Commands, writer


def main() -> None:
    events = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)  # what a plugin prints must not get between the events
    commands = Commands()
    try:
        load()  # the reader must already watch the parent meanwhile
        while True:
            message = commands.jobs.get()
            if message.get("command") == "quit":
                leave()
            emit = writer(events, str(message["trial"]))
            run_message(message, _with_threads(emit), commands.stop)
    except BaseException:
        traceback.print_exc()
        leave(1)


def _with_threads(emit: Callable[[Event], None]) -> Callable[[Event], None]:
    """``emit``; a final event also tells how many threads the trial left running."""
    before = set(threading.enumerate())

    def tell(event: Event) -> None:
        if event["event"] in FINAL:
            left = [t for t in threading.enumerate() if t not in before]
            event = {**event, "threads_left": len(left)}
        emit(event)

    return tell


def load() -> None:
    """Imports what a trial needs before one is there: the parent makes its plan meanwhile."""
    import ltbench.execute.run_trial  # noqa: F401 - for its time
    from ltbench.registry import load_registries

    load_registries()


def run_message(
    message: Mapping[str, Any],
    emit: Callable[[Event], None],
    stop: threading.Event,
    *,
    evaluates: bool = True,
) -> None:
    """Runs one trial to its end, in whatever process or thread of an engine this is.

    message: a job and its folder as JSON; emit: told every event, a final one last; stop: set by
    whoever wants a checkpoint and the end; evaluates: its rows too. Raises nothing: what goes wrong is an
    event.
    """
    import torch

    from ltbench.execute.context import TrialContext
    from ltbench.execute.job import Job
    from ltbench.execute.out_of_memory import free_caches, let_go
    from ltbench.execute.ranks import train_together
    from ltbench.execute.run_trial import run_job, trained
    from ltbench.trial import store
    from ltbench.trial.running import noted

    settings = message["settings"]
    torch.set_num_threads(int(settings["threads"]))  # of this thread
    folder = Path(message["folder"])
    try:
        with store.claim(folder) as claim:
            emit({"event": "started", "no_locks": claim.no_locks})

            def should_stop() -> bool:
                return stop.is_set() or claim.lost

            try:
                engine, device = settings["engine"], _device(settings["device"])
                with noted(folder, claim, engine, device, emit) as tell:
                    job = Job.from_json(message)
                    if job.settings.processes > 1:
                        train_together(job, message, tell, should_stop)
                    if evaluates:
                        run_job(job, tell, should_stop)
                    else:
                        trained(TrialContext(job, tell, should_stop))
                last: Event = {"event": "done"}
            except InterruptedRun:
                last = {"event": "interrupted"}
            except Exception as error:
                log = getattr(error, "log", "") or traceback.format_exc()
                let_go(error)
                status, line = _describe(error, message)
                claim.check()
                (folder / store.STARTS).unlink(missing_ok=True)  # it was not cut off
                record_failure(folder, message, status, line, log, error)
                last = {"event": "failed", "status": status, "error": line}
            claim.check()
    except store.ClaimLostError:  # this process was still for too long, and another one went on
        last = {"event": "busy", "holder": str(store.holder_of(folder) or "")}
    except store.BusyError as error:
        last = {"event": "busy", "holder": str(error.holder or "")}
    except Exception as error:
        status, line = _describe(error, message)
        traceback.print_exc()
        last = {"event": "failed", "status": status, "error": line}
    if last.get("status") == "oom":
        free_caches()
    emit(last)  # after the claim's end: the parent may end this process at once


def _device(word: str) -> str:
    """Where ``word`` leads here; a device that is not here is told by the trial."""
    from ltbench.errors import InputError
    from ltbench.trial.environment import device_name, resolve_device

    try:
        return device_name(resolve_device(word))
    except InputError:
        return word


def _describe(error: Exception, message: Mapping[str, Any]) -> tuple[str, str]:
    """The status of the trial, one of :data:`ltbench.trial.endings.ENDINGS`, and one line."""
    from ltbench.execute.job import Job
    from ltbench.execute.out_of_memory import is_out_of_memory, needs_less, told
    from ltbench.execute.row_failure import RowsFailed
    from ltbench.trial import store

    if isinstance(error, DivergedError):
        return "diverged", str(error)
    if isinstance(error, RowsFailed):
        return error.status, str(error)
    if is_out_of_memory(error):
        trained = store.finished_trial(Path(message["folder"])) is not None
        ways = needs_less(Job.from_json(message), trained=trained)
        return "oom", f"out of memory: {told(error)}; {ways}"
    return "failed", describe(error)


def record_failure(
    folder: Path,
    message: Mapping[str, Any],
    status: str,
    line: str,
    log: str,
    error: BaseException | None = None,
) -> None:
    """Writes ``failed.json`` and the log beside it, unless the training itself is finished."""
    from ltbench.files import write_text
    from ltbench.protocol.protocol import Protocol
    from ltbench.settings import read
    from ltbench.trial import store
    from ltbench.trial.checked import write_checked
    from ltbench.trial.trial import SCHEMA

    write_text(folder / "failure.log", log)
    if store.finished_trial(folder) is not None:
        return  # an evaluation failed: the trial stands, the row is missing and tried again
    record = {
        "schema": SCHEMA,
        "status": status,
        "trial": message["trial"],
        "protocol": read(Protocol, message["protocol"], "protocol").facts(),
        "training": message["training_facts"],
        "precision": message["settings"]["precision"],
        "data": message["data_facts"],
        "seed": message["seed"],
        "error": line,
        "log": "failure.log",
        "command": list(message["settings"]["command"]),
    }
    if isinstance(error, DivergedError):
        record |= {"epoch": error.epoch, "step": error.step, "lr": error.lr}
    write_checked(folder / store.FAILED, record)


if __name__ == "__main__":
    main()
