"""A storm of kills: the same commands again and again until they get through, and the same bits.

    python -m benchmarks.storm --kills 200 --seconds 540

A life is a small study in an empty folder with an empty cache: images are decoded, two methods trained,
views rendered, logits stored, rows evaluated, and a report written. At a random moment SIGKILL meets the
command, the worker or all of their processes; the same command follows, until the study is done. Then
everything that has to be equal is compared with the study that nobody disturbed, bit for bit. Each kill
is a line of ``kills.jsonl``: the next piece goes on after it.

Moments are drawn in two ways, in turn: uniform over the time that the command takes, and within a phase,
found by the files that it is writing, so that short phases are met as often as long ones.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.storm_study import leftovers, outcome, write_study
from ltbench.files import write_json
from ltbench.version import __version__

ROOT = Path(__file__).parents[1]
KILLS_OF_A_LIFE = 6
PHASES: dict[str, tuple[int, tuple[str, ...], float]] = {
    "decoding": (0, ("cache/datasets/.building-*",), 0.02),
    "training": (0, ("results/*/*/*/starts.json",), 0.8),
    "checkpoint": (0, ("results/*/*/*/.checkpoint.*.tmp",), 0.003),
    "weights": (0, ("results/*/*/*/.weights.*.tmp", "results/*/*/*/.logits.*.tmp"), 0.02),
    "views": (0, ("cache/views/*/.*.tmp",), 0.1),
    "view logits": (0, ("cache/view-logits/*",), 0.05),
    "evaluation": (0, ("results/*/*/*/evaluations",), 0.4),
    "report": (1, ("results/report/*", "results/.report*", "results/report"), 3.0),
}
"""Of each the command that has it, the files that tell that it is under way, and the longest wait
in seconds after they were seen."""


@dataclass(frozen=True)
class Kill:
    """One kill. planned: the phase, or ``any``; whom: ``all``, ``parent`` or ``worker``; after: seconds
    since the command began; seen: the phases whose files were there."""

    life: int
    command: int
    planned: str
    whom: str
    after: float
    seen: list[str]


class Life:
    """A study in ``folder``, from nothing to its report, which may be of some rows only."""

    def __init__(self, folder: Path, number: int, rows: str | None = None) -> None:
        self.folder, self.number = folder, number
        self.commands = write_study(folder, rows)
        self.random = random.Random(number)

    def undisturbed(self) -> float:
        """Runs all commands; the seconds that the first one took."""
        began = time.monotonic()
        self._finish(0)
        seconds = time.monotonic() - began
        self._finish(1)
        return seconds

    def disturbed(self, most: int, seconds: float) -> Iterator[Kill]:
        """Up to ``most`` kills of commands that take ``seconds``, then the study to its end."""
        killed = 0
        for command in range(len(self.commands)):
            done = False
            while killed < most and not done:
                kill = self._begin_and_kill(command, seconds)
                done = kill is None
                if kill is not None:
                    killed += 1
                    yield kill
            if not done:
                self._finish(command)

    def _begin_and_kill(self, command: int, seconds: float) -> Kill | None:
        """None where the command ended before its moment came."""
        phases = [name for name, (of, _, _) in PHASES.items() if of == command]
        planned = self.random.choice(["any", *phases]) if self.random.random() < 0.8 else "any"
        whom = self.random.choice(["all", "all", "parent", "worker"]) if command == 0 else "all"
        moment = self.random.random()
        already = {name for name in phases if self._seen(name)}
        process = self._start(command)
        began = time.monotonic()
        due = began + moment * seconds if planned == "any" else None
        fresh = planned not in already  # else the phase has begun before this start
        while process.poll() is None:
            now = time.monotonic()
            if due is None and (now - began > 0.6 * seconds or fresh) and self._seen(planned):
                due = now + moment * PHASES[planned][2]
            if due is not None and now >= due and (whom != "worker" or _children(process.pid)):
                seen = [name for name in phases if self._seen(name)]
                _kill(process, whom)
                return Kill(self.number, command, planned, whom, round(now - began, 3), seen)
            time.sleep(0.001)
        self._check(process, command)
        return None

    def _seen(self, phase: str) -> bool:
        return any(True for glob in PHASES[phase][1] for _ in self.folder.glob(glob))

    def _start(self, command: int) -> subprocess.Popen[bytes]:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("LTBENCH_")}
        environment |= {
            "LTBENCH_CACHE": str(self.folder / "cache"),
            "LTBENCH_CHECKPOINT_SECONDS": "0",
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
        }
        with (self.folder / "output").open("wb") as output:
            return subprocess.Popen(
                [sys.executable, "-m", "ltbench", *self.commands[command]],
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def _finish(self, command: int) -> None:
        process = self._start(command)
        process.wait(300)
        self._check(process, command)

    def _check(self, process: subprocess.Popen[bytes], command: int) -> None:
        if process.returncode != 0:
            told = (self.folder / "output").read_text(errors="replace")
            raise AssertionError(
                f"command {self.commands[command]} ended with {process.returncode}:\n{told}"
            )


def _children(pid: int) -> list[int]:
    """All processes below ``pid``, through /proc."""
    found: list[int] = []
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (task / "children").read_text().split())
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [each for child in found for each in (child, *_children(child))]


def _kill(process: subprocess.Popen[bytes], whom: str) -> None:
    """Nobody of those that are meant can react; whoever is left ends by itself, and is waited for."""
    below = _children(process.pid)
    pids = {"all": [process.pid, *below], "parent": [process.pid], "worker": below[:1]}[whom]
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for pid in pids:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue
    process.wait(300)
    end = time.monotonic() + 60
    while any(map(_runs, below)):
        if time.monotonic() > end:
            raise AssertionError(f"after a kill of {whom}, processes were left: {below}")
        time.sleep(0.005)


def _runs(pid: int) -> bool:
    """Until its last thread is gone: the first is a zombie before the others let go of locks."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state != "Z" or len(os.listdir(f"/proc/{pid}/task")) > 1
    except (FileNotFoundError, ProcessLookupError):
        return False


def storm(
    folder: Path,
    kills: int,
    seconds: float = float("inf"),
    tell: Callable[[str], None] = lambda line: None,
    rows: str | None = None,
) -> dict[str, Any]:
    """Goes on with the storm in ``folder`` until ``kills`` are done or ``seconds`` have passed, at the end
    of a life; what came of it so far. Raises ``AssertionError`` where a life ends otherwise. rows: of the
    report, all of them by default."""
    began = time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    calm = folder / "calm.json"
    if not calm.exists():
        life = Life(_empty(folder / "life"), -1, rows)
        took = life.undisturbed()
        write_json(calm, {"seconds": took, "outcome": outcome(life.folder)})
    expected = json.loads(calm.read_text())
    record = folder / "kills.jsonl"
    done = [json.loads(line) for line in record.read_text().splitlines()] if record.exists() else []
    number = 1 + max((kill["life"] for kill in done), default=-1)
    while len(done) < kills and time.monotonic() - began < seconds:
        life = Life(_empty(folder / "life"), number, rows)
        most = min(KILLS_OF_A_LIFE, kills - len(done))
        found = [asdict(kill) for kill in life.disturbed(most, expected["seconds"])]
        check(life.folder, expected["outcome"])
        with record.open("a") as file:  # only kills of a life whose end was right
            file.writelines(f"{json.dumps(kill)}\n" for kill in found)
        done += found
        number += 1
        tell(f"{len(done)} of {kills} kills, {number} lives, all as undisturbed")
    shutil.rmtree(folder / "life", ignore_errors=True)
    return summary(done, number, len(expected["outcome"]))


def check(folder: Path, expected: dict[str, str]) -> None:
    """Raises ``AssertionError`` naming the files that differ from the undisturbed study."""
    found = outcome(folder)
    differ = sorted(
        name for name in found.keys() | expected if found.get(name) != expected.get(name)
    )
    assert not differ, f"{folder}: differ from the undisturbed study: {differ}"
    assert not leftovers(folder), f"{folder}: left behind: {leftovers(folder)}"


def summary(kills: list[dict[str, Any]], lives: int, files: int) -> dict[str, Any]:
    """Counts of ``kills``, by moment and by whom they met."""
    return {
        "version": __version__,
        "kills": len(kills),
        "lives": lives,
        "files_compared_in_each": files,
        "lives_that_ended_otherwise": 0,  # the first one raises
        "planned": dict(sorted(Counter(kill["planned"] for kill in kills).items())),
        "whom": dict(sorted(Counter(kill["whom"] for kill in kills).items())),
        "command": dict(
            sorted(Counter(("run", "report")[kill["command"]] for kill in kills).items())
        ),
    }


def _empty(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.storm", description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=540, help="of this piece (default 540)")
    parser.add_argument("--folder", type=Path, default=Path("results/storm"))
    parser.add_argument("--output", type=Path, help="where the counts are written, as JSON")
    asked = parser.parse_args()
    found = storm(asked.folder, asked.kills, asked.seconds, lambda line: print(line, flush=True))
    print(json.dumps(found, indent=1))
    if found["kills"] < asked.kills:
        print("the same command goes on")
    elif asked.output:
        write_json(asked.output, found)


if __name__ == "__main__":
    main()
