"""What a large study costs the process that drives it, and the shared folder: trials that only wait.

    python -m benchmarks.cluster --trials 10000 --nodes 100

The plan, the driver's loop, SLURM's engine and its files are the real ones. In place of a cluster a
thread starts and ends jobs as nodes become free, and writes the events that they would; a trial takes 1 to
60 seconds divided by ``--faster``: if they were over before the driver looks, it would have little to do.
Counted are the driver's processor time and its opens, writes and stats.
"""

from __future__ import annotations

import argparse
import heapq
import json
import os
import random
import sys
import tempfile
import threading
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ltbench.execute.engine import Start
from ltbench.execute.engines import slurm
from ltbench.execute.engines.slurm_job import SlurmJob
from ltbench.execute.plan import Plan
from ltbench.execute.prepare import prepare
from ltbench.execute.request import Request
from ltbench.execute.run import execute

METHODS = "ce,sade,ride,balanced-softmax"


class Cluster:
    """A queue whose jobs are lines in a file at known times."""

    kind, signal_delay = "job", 30.0

    def __init__(self, nodes: int, faster: float) -> None:
        self.nodes, self.faster = nodes, faster
        self.waiting: deque[tuple[str, SlurmJob]] = deque()
        self.running: list[tuple[float, str, SlurmJob]] = []
        self.known: set[str] = set()
        self.asked = 0
        self.worked = 0.0  # seconds of nodes
        self.random = random.Random(0)
        self.lock = threading.Lock()
        threading.Thread(target=self._work, daemon=True).start()

    def submit(self, calls: Sequence[SlurmJob]) -> list[str]:
        with self.lock:
            names = [f"1_{len(self.known) + i}" for i in range(len(calls))]
            self.known.update(names)
            self.waiting.extend(zip(names, calls, strict=True))
        return names

    def alive(self, jobs: Iterable[str], *, fresh: bool = False) -> set[str]:
        self.asked += 1
        with self.lock:
            return self.known & set(jobs)

    def why(self, job: str) -> tuple[str, bool]:
        return f"{job} is gone", False

    def ask_to_stop(self, jobs: Sequence[str]) -> None:
        pass

    def cancel(self, jobs: Sequence[str]) -> None:
        pass

    def _work(self) -> None:
        while True:
            with self.lock:
                self._step(time.monotonic())
            time.sleep(0.005)

    def _step(self, now: float) -> None:
        while self.running and self.running[0][0] <= now:
            _, name, job = heapq.heappop(self.running)
            _append(job, {"event": "trained", "seconds": 1.0}, {"event": "done"})
            self.known.discard(name)
        while self.waiting and len(self.running) < self.nodes:
            name, job = self.waiting.popleft()
            seconds = self.random.uniform(1, 60) / self.faster
            self.worked += seconds
            _append(job, {"event": "started", "no_locks": ""})
            heapq.heappush(self.running, (now + seconds, name, job))


def _append(job: SlurmJob, *events: dict[str, Any]) -> None:
    with open(job.trials[0].events, "a", encoding="utf-8") as file:
        file.writelines(json.dumps(event) + "\n" for event in events)


@contextmanager
def counted() -> Iterator[Counter[str]]:
    """What this thread asks of file systems."""
    counts: Counter[str] = Counter()
    thread, real, on = threading.get_ident(), os.stat, True

    def hear(name: str, arguments: tuple[Any, ...]) -> None:
        if on and threading.get_ident() == thread and name in ("open", "os.rename", "os.mkdir"):
            counts[name.removeprefix("os.")] += 1

    def stat(*arguments: Any, **more: Any) -> os.stat_result:
        counts["stat"] += threading.get_ident() == thread
        return real(*arguments, **more)

    sys.addaudithook(hear)
    os.stat = stat  # type: ignore[assignment]
    try:
        yield counts
    finally:
        os.stat, on = real, False


def measure(trials: int, nodes: int, faster: float, results: Path) -> dict[str, float]:
    began = time.thread_time()
    seeds = tuple(range(-(-trials // len(METHODS.split(",")))))
    plan: Plan = prepare(
        Request(methods=METHODS, protocol="digits-lt", seeds=seeds, results=results)
    )
    del plan.trials[trials:]
    planning = time.thread_time() - began
    cluster = Cluster(nodes, faster)
    slurm.open_queue = lambda asked, folder: cluster  # type: ignore[assignment]
    engine = slurm.SlurmEngine(
        slurm.Slurm(cluster="local", watch=1.0), Start(trials, trials, results.absolute(), 60.0)
    )
    engine.slots = trials  # as of a real cluster, which has a queue
    wall, own = time.monotonic(), time.thread_time()
    with counted() as counts:
        outcome = execute(plan, engine=engine)
    wall, own = time.monotonic() - wall, time.thread_time() - own
    assert len(outcome.finished) == trials, outcome.failures[:1]
    return {
        "trials": trials,
        "nodes": nodes,
        "plan: CPU seconds": planning,
        "wall seconds": wall,
        "wall seconds if the driver took no time": cluster.worked / nodes,
        "driver: CPU ms per trial": 1000 * own / trials,
        "driver: share of one core": own / wall,
        "calls of squeue": cluster.asked,
        **{f"{name} per second": count / wall for name, count in counts.items()},
        **{f"{name} per trial": count / trials for name, count in counts.items()},
        "files left per trial": sum(len(files) for _, _, files in os.walk(results)) / trials,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--nodes", type=int, default=100)
    parser.add_argument("--faster", type=float, default=12.0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(arguments.trials, arguments.nodes, arguments.faster, Path(folder))
    for name, value in found.items():
        print(f"{name:42} {value:12,.2f}")


if __name__ == "__main__":
    main()
