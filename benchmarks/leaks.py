"""Whether handles, threads and memory of the driver and of its worker grow over many tiny trials.

    python -m benchmarks.leaks --trials 1000

Everything is real: the driver's loop, the local engine, one worker process that trains and evaluates each
trial in turn (an epoch on a few digits, so that hundreds of trials fit into minutes). Counted are open
files, threads and resident memory of both processes after every hundredth of the trials.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from pathlib import Path
from typing import Any

from ltbench.execute.plan import PlannedTrial
from ltbench.execute.prepare import prepare
from ltbench.execute.request import Request
from ltbench.execute.run import execute
from ltbench.files import write_json

SMALL = (
    "recipe.epochs=1", "train.max_count=20", "train.imbalance=5", "groups.many_above=12",
    "groups.few_below=6", "test.ratios=2", "test.draws=1",
)  # fmt: skip


def counts_of(pid: int) -> dict[str, float]:
    """Open files, threads and resident MiB of a process, through /proc."""
    status = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
    )
    return {
        "files": len(os.listdir(f"/proc/{pid}/fd")),
        "threads": int(status["Threads"]),
        "MiB": round(int(status["VmRSS"].split()[0]) / 1024, 1),
    }


def measure(trials: int, results: Path) -> dict[str, Any]:
    """Runs them all; the counts of both processes along the way, and how much they grew from the first
    tenth, in which caches fill, to the end."""
    overrides = dict(word.split("=") for word in SMALL)
    plan = prepare(
        Request(
            methods="ce",
            protocol="digits-lt",
            seeds=tuple(range(trials)),
            results=results,
            jobs=1,
            overrides={key: json.loads(value) for key, value in overrides.items()},
        )
    )
    done, rows = 0, []
    began = time.monotonic()
    every = max(1, trials // 20)

    def listen(planned: PlannedTrial, event: dict[str, Any]) -> None:
        nonlocal done
        if event["event"] != "done":
            return
        done += 1
        if done % every == 0:
            (worker,) = _children(os.getpid())
            rows.append(
                {
                    "trials": done,
                    "seconds": round(time.monotonic() - began, 1),
                    "driver": counts_of(os.getpid()),
                    "worker": counts_of(worker),
                }
            )

    outcome = execute(plan, listen=listen)
    assert len(outcome.finished) == trials, outcome.failures[:1]
    first, last = next(row for row in rows if row["trials"] >= trials / 10), rows[-1]
    return {
        "trials": trials,
        "machine": f"{os.cpu_count()} CPUs, Python {platform.python_version()}",
        "growth from the first tenth to the end": {
            who: {what: round(last[who][what] - first[who][what], 1) for what in first[who]}
            for who in ("driver", "worker")
        },
        "rows": rows,
    }


def _children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.leaks", description=__doc__)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--output", type=Path, help="where it is written, as JSON")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(asked.trials, Path(folder))
    for row in found["rows"]:
        print(row)
    print(json.dumps(found["growth from the first tenth to the end"], indent=1))
    if asked.output:
        write_json(asked.output, found)


if __name__ == "__main__":
    main()
