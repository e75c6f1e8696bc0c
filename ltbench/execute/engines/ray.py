"""Tasks of Ray: what is asked for, and the engine. No object of ltbench crosses, only JSON and files."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from ltbench.errors import InputError
from ltbench.execute.engine import Event, Message, Sharing, Start
from ltbench.execute.engines import carried
from ltbench.execute.engines.ray_cluster import (
    Cluster,
    TaskFailed,
    TaskLost,
    join_cluster,
    start_cluster,
)
from ltbench.execute.engines.ray_job import Key, Mailbox, code_here, run_trial
from ltbench.execute.resources import share
from ltbench.settings import check_ranges, setting
from ltbench.trial import store
from ltbench.trial.environment import resolve_device

_LONGEST = 3600.0  # seconds of a trial whose checkpoints lie on its node alone


@dataclass(frozen=True)
class Ray:
    """``--engine ray`` starts a cluster on this machine and ends it; ``--engine ray=ADDRESS`` joins one."""

    here: ClassVar[bool] = False
    detachable: ClassVar[bool] = False

    address: str = setting(
        "", help="of the cluster to join, host:port; empty: one of its own, here"
    )
    cpus: int = setting(
        0, low=0, help="of a trial, which are its threads; 0: 1, or shared out here"
    )
    gpus: int = setting(
        0, low=0, high=1, help="of a trial on a joined cluster, where device is auto"
    )
    mem: float = setting(0.0, low=0, help="GB that a node must have free for a trial; 0: any")
    retries: int = setting(2, low=0, help="of a trial whose process or node died")
    results: str = setting(
        "shared",
        choices=("shared", "collect"),
        help="collect: nodes see no common folder; a trial's files travel to it and back",
    )
    environment: str = setting(
        "", help="names of variables, by commas, that trials get besides LTBENCH_*"
    )

    def __post_init__(self) -> None:
        check_ranges(self)

    def check(self) -> None:
        if "://" in self.address:
            raise InputError(
                f"engine 'ray': address {self.address!r} is that of a client; run the command on a "
                "node of the cluster, with host:port"
            )
        if self.address == "local":
            raise InputError(
                "engine 'ray': without an address it starts a cluster here; drop 'local'"
            )

    def device(self, word: str) -> str:
        kind, _, index = word.partition(":")
        if kind not in ("auto", "cpu", "cuda", "mps"):
            raise InputError(f"device {word!r} must be one of auto, cpu, cuda, mps")
        if index:
            raise InputError(f"device {word!r}: Ray deals out the GPUs; give {kind!r}")
        if not self.address:
            return resolve_device(word).type
        if kind == "auto":
            return "cuda" if self.gpus else "cpu"
        return kind

    def share(self, asked: Sharing) -> tuple[int, int]:
        if self.address:
            return max(1, min(asked.jobs or asked.trials, asked.trials)), self.cpus or 1
        device = resolve_device(asked.device)
        jobs, threads = share(asked.jobs, asked.jobs_per_gpu, asked.trials, device, asked.memory)
        return jobs, self.cpus or threads

    def start(self, start: Start) -> RayEngine:
        if self.results == "collect" and start.seconds > _LONGEST:
            raise InputError(
                f"with results=collect a trial whose node dies starts over, and one of these takes "
                f"about {start.seconds / 3600:.0f} h; it is for trials of up to an hour, longer ones "
                "need a folder that all nodes see"
            )
        return RayEngine(self, start)


@dataclass
class _Running:
    """A task that was submitted. sent: files of its folder that went along; claim: on that folder,
    where the task itself cannot hold it."""

    key: Key
    folder: Path
    sent: list[str] = field(default_factory=list)
    claim: ExitStack = field(default_factory=ExitStack)
    cancelled: bool = False


class RayEngine:
    """A task for each trial; Ray decides where, and here it is noticed when one is lost."""

    def __init__(self, settings: Ray, start: Start) -> None:
        self.settings, self.slots, self.retries = settings, start.jobs, settings.retries
        self._per_gpu = int(start.jobs_per_gpu or 1)
        names = [name.strip() for name in settings.environment.split(",") if name.strip()]
        self._cluster: Cluster = (
            join_cluster(settings.address, names)
            if settings.address
            else start_cluster(start.jobs * max(1, settings.cpus))
        )
        self._mailbox = self._cluster.beside_driver(Mailbox)
        self._running: dict[Any, _Running] = {}
        self._tries: Counter[str] = Counter()
        self._told: list[tuple[str, Event]] = []

    def submit(self, message: Message) -> None:
        trial, folder = str(message["trial"]), Path(message["folder"])
        self._tries[trial] += 1
        running = _Running((trial, self._tries[trial]), folder)
        luggage = None
        if self.settings.results == "collect":
            try:
                running.claim.enter_context(store.claim(folder))
            except store.BusyError as error:
                self._told.append((trial, {"event": "busy", "holder": str(error.holder or "")}))
                return
            luggage = astuple(carried.pack(message))
            running.sent = list(carried.read(folder))
        needs = self._needs(message)
        if not self._cluster.fits(needs):
            told = f"no node of the cluster has {_shown(needs)}; it waits for one"
            self._told.append((trial, {"event": "queued", "job": told}))
        device = self.settings.device(message["settings"]["device"])
        message = {
            **message,
            "settings": {**message["settings"], "device": device},
            "code": code_here(),
        }
        task = self._cluster.task(run_trial, needs)
        self._running[task.remote(json.dumps(message), self._mailbox, running.key, luggage)] = (
            running
        )

    def _needs(self, message: Message) -> dict[str, float]:
        """By Ray's names of resources."""
        cuda = self.settings.device(message["settings"]["device"]) == "cuda"
        needs = {"CPU": float(message["settings"]["threads"])}
        if cuda:
            needs["GPU"] = 1 / self._per_gpu
        if self.settings.mem:
            needs["memory"] = self.settings.mem * 1e9
        return needs

    def poll(self, seconds: float) -> Iterator[tuple[str, Event]]:
        told, self._told = self._told, []
        yield from told
        ready = self._cluster.wait(list(self._running), 0 if told else seconds)
        # The letters of a task that ended arrived before its end.
        now = {running.key for running in self._running.values()}
        for key, text in self._cluster.get(self._mailbox.drain.remote()):
            if tuple(key) in now:
                yield key[0], json.loads(text)
        for reference in ready:
            running = self._running.pop(reference)
            with running.claim:
                event = self._last(reference, running)
            yield running.key[0], event

    def _last(self, reference: Any, running: _Running) -> Event:
        try:
            text, files = self._cluster.result(reference)
        except TaskFailed as error:
            return {"event": "failed", "error": f"the task of Ray failed: {error}"}
        except TaskLost as error:
            if running.cancelled:
                return {"event": "interrupted"}
            line = str(error).splitlines()[0]
            return {"event": "lost", "reason": f"the task of Ray ended: {line}", "log": str(error)}
        if files:
            carried.write(running.folder, files, running.sent)
        event: Event = json.loads(text)
        return event

    def stop(self, *, now: bool = False) -> None:
        """``now``: nothing is left to do, since Ray ends the tasks of a driver that is gone."""
        if now:
            return
        started = {tuple(key) for key in self._cluster.get(self._mailbox.stop.remote())}
        for reference, running in self._running.items():
            if running.key not in started:
                running.cancelled = True
                self._cluster.cancel(reference)

    def close(self) -> None:
        for reference, running in self._running.items():
            self._cluster.cancel(reference)
            running.claim.close()
        self._running.clear()
        self._cluster.close()


def _shown(needs: dict[str, float]) -> str:
    units = {"CPU": "CPUs", "GPU": "GPUs", "memory": "GB of memory"}
    amounts = {**needs, "memory": needs.get("memory", 0) / 1e9}
    return ", ".join(f"{amounts[name]:g} {units[name]}" for name in units if needs.get(name))
