"""One of the processes that train a trial together: a message on stdin, events as JSON lines on stdout.

It ends when stdin closes, hence with the worker that started it.
"""

from __future__ import annotations

import os
import threading
import traceback
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ltbench.errors import DivergedError, InterruptedRun, describe
from ltbench.execute.engine import Event
from ltbench.execute.leftovers import leave
from ltbench.execute.out_of_memory import is_out_of_memory, told
from ltbench.execute.pipes import Commands, writer

PEER_GONE = "peer-gone"
"""Kind of the event of a process that got no answer from another one."""


def main() -> None:
    events = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)  # what a plugin prints must not get between the events
    commands = Commands()
    message = commands.jobs.get()
    last = run_rank(message, writer(events, str(message["trial"])), commands.stop)
    writer(events, str(message["trial"]))(last)
    leave()  # nothing is left to do, and what is gone must not be waited for


def run_rank(
    message: Mapping[str, Any], emit: Callable[[Event], None], stop: threading.Event
) -> Event:
    """message: that of the worker with ``rank`` and ``meeting``. Returns the final event."""
    import torch

    from ltbench.execute.context import TrialContext
    from ltbench.execute.job import Job
    from ltbench.execute.train_trial import train_share, train_trial
    from ltbench.train.team import PeerGone, Team

    try:
        rank, job = int(message["rank"]), Job.from_json(message)
        settings = job.settings
        size, threads = settings.processes, max(1, settings.threads // settings.processes)
        cuda = settings.device.partition(":")[0] == "cuda"
        device = f"cuda:{rank}" if cuda else settings.device
        job = replace(job, settings=replace(settings, device=device, threads=threads))
        torch.set_num_threads(threads)
        context = TrialContext(job, emit, stop.is_set)
        if cuda:
            torch.cuda.set_device(context.device)
        team = Team.join(Path(message["meeting"]), rank, size, context.device)
        if rank:
            train_share(context, team)
        else:
            train_trial(context, team)
    except InterruptedRun as error:
        return {"event": "interrupted", "error": str(error)}
    except PeerGone as error:
        return {"event": PEER_GONE, "error": str(error), "log": traceback.format_exc()}
    except DivergedError as error:
        where = {"epoch": error.epoch, "step": error.step, "lr": error.lr}
        log = traceback.format_exc()
        return {"event": "failed", "error": str(error), "log": log, "diverged": where}
    except Exception as error:
        if is_out_of_memory(error):
            log = traceback.format_exc()
            return {"event": "failed", "error": told(error), "log": log, "oom": True}
        return {"event": "failed", "error": describe(error), "log": traceback.format_exc()}
    return {"event": "done"}


if __name__ == "__main__":
    main()
