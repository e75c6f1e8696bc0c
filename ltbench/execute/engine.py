"""Where trials run, as the driver's loop sees it: jobs go in, events come out. Only JSON crosses.

A third party offers an engine by an entry point of the group ``ltbench.engines``, whose name is what
``--engine`` takes and whose value is a class that keeps :class:`EngineSettings`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

if TYPE_CHECKING:
    from ltbench.execute.process import Spare

Message = Mapping[str, Any]
"""What a worker is told: :meth:`ltbench.execute.job.Job.to_json`, ``folder``, and ``before``, the folders
of the trials that this one stands on; all paths are absolute."""
Event = dict[str, Any]
"""What a worker or an engine tells. ``event`` is its kind, everything else depends on that."""

FINAL = frozenset({"done", "failed", "interrupted", "busy", "lost", "returned", "cancelled"})
"""Kinds after which an engine knows nothing of the trial any more.

``done``, ``failed`` (``error``, ``status``: one of :data:`ltbench.trial.endings.ENDINGS`), ``interrupted``
and ``busy`` (``holder``) come from the worker. ``lost`` (``reason``, ``log``, ``status`` where it is
known): its process ended without one of these; ``returned``: it was not started,
through no fault of its own; ``cancelled`` (``reason``): somebody else ended it on purpose.
"""


class Engine(Protocol):
    """A place where trials run. All methods are called from one thread.

    slots: jobs it takes at once. retries: how often a trial is tried again whose process was lost.
    """

    slots: int
    retries: int

    def submit(self, message: Message) -> None:
        """Takes one job; its key is ``message["trial"]``. Another one of the same key comes only
        after a final event of this one."""

    def poll(self, seconds: float) -> Iterable[tuple[str, Event]]:
        """Events by key, in the order of each job; waits for at most about ``seconds``."""

    def stop(self, *, now: bool = False) -> None:
        """Asks every job for a checkpoint and its end; ``now``: ends them, and may be called from a
        signal handler. Final events follow from :meth:`poll`."""

    def close(self) -> None:
        """Ends what still runs and gives back what the engine holds."""


@runtime_checkable
class LeavableEngine(Protocol):
    """An engine whose jobs need no driver."""

    def leave(self) -> list[str]:
        """Hands over what was submitted and forgets it: :meth:`Engine.close` ends none of it.
        Returns the names of the jobs."""


@dataclass(frozen=True)
class Sharing:
    """What a plan asks of an engine. jobs, jobs_per_gpu (a number or ``auto``): as asked for; trials:
    unfinished ones; device: the word that was asked for; memory: bytes that the largest trial takes, 0:
    usual; processes: that train each trial together, each on a GPU of its own where there are GPUs."""

    jobs: int | None
    jobs_per_gpu: int | str | None
    trials: int
    device: str
    memory: int = 0
    processes: int = 1


@dataclass(frozen=True)
class Start:
    """What an engine is started for. jobs: trials side by side, as the plan says; trials: all of
    them; results: the folder, absolute; seconds: of the longest trial, a rough estimate; spare: a
    worker of this machine that is already loading; jobs_per_gpu: as asked for."""

    jobs: int
    trials: int
    results: Path
    seconds: float
    spare: Spare | None = None
    jobs_per_gpu: int | str | None = None


class EngineSettings(Protocol):
    """What ``--engine NAME --engine-set key=value`` stands for: a frozen dataclass whose fields are
    :func:`ltbench.settings.setting` with a default.

    here: whether trials run on this machine, so that its devices and processors are looked at
    before; detachable: whether its engine is a :class:`LeavableEngine`. An engine that keeps the setting
    ``timeout`` of a message, seconds of a trial, has ``limits_time = True`` beside these.
    """

    here: ClassVar[bool]
    detachable: ClassVar[bool]

    def check(self) -> None:
        """Raises :class:`ltbench.errors.InputError`, one line, where the engine cannot run."""

    def device(self, word: str) -> str:
        """``cpu``, ``cuda`` or ``mps``: where trials will run when asked for ``word``; it is resolved
        there, and this is for estimates alone."""

    def share(self, asked: Sharing) -> tuple[int, int]:
        """(trials side by side, threads of each)."""

    def start(self, start: Start) -> Engine:
        """The engine itself."""
