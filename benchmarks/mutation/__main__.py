"""``python -m benchmarks.mutation --limit 500``: a piece of the sample, then score and survivors.

A fixed random sample of faults, each written into a copy of ``ltbench`` in a temporary folder and met
by the tests of its module (``tests.json``). The same command goes on behind finished mutants, and meets
survivors again once their tests have changed. Once all are met ``--record`` writes the record, with
the reasons of survivors that stand in ``reasons.json``.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.mutation.operators import Mutant
from benchmarks.mutation.record import RECORD, write
from benchmarks.mutation.sample import ROOT, Mapping, key, mapping, sample
from benchmarks.mutation.server import copy_of_ltbench, meet, warm_up

Picked = list[tuple[str, Mutant]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--limit", type=float, default=540, help="seconds of this piece")
    parser.add_argument("--jobs", type=int, default=1, help="mutants at a time")
    parser.add_argument("--output", type=Path, default=ROOT / "results/mutation.jsonl")
    parser.add_argument("--record", action="store_true", help=f"write {RECORD.relative_to(ROOT)}")
    chosen = parser.parse_args()
    chosen.output.parent.mkdir(parents=True, exist_ok=True)
    os.chdir(ROOT)
    tests = mapping()
    picked, of = sample(tests)
    end = time.monotonic() + chosen.limit
    warm_up()
    fork = multiprocessing.get_context("fork")
    pieces = [
        fork.Process(target=_piece, args=(part, tests, chosen.output, end))
        for part in _parts(picked, chosen.jobs)
    ]
    for piece in pieces:
        piece.start()
    for piece in pieces:
        piece.join()
    results = _results(picked, tests, chosen.output)
    if chosen.record:
        write(picked, results, of)
    _tell(picked, results)
    sys.exit(any(piece.exitcode for piece in pieces))


def _parts(picked: Picked, jobs: int) -> list[Picked]:
    """All mutants of a file are met by one process: its tests are tried without a fault once."""
    files = sorted({name for name, _ in picked})
    return [[p for p in picked if files.index(p[0]) % jobs == job] for job in range(jobs)]


def _piece(part: Picked, tests: Mapping, output: Path, end: float) -> None:
    """Those that no test has met first, then survivors whose tests have changed."""
    known, statuses = _statuses(output), _results(part, tests, output)
    left = [pair for pair, status in zip(part, statuses, strict=True) if status is None]
    with tempfile.TemporaryDirectory() as folder:
        copy = copy_of_ltbench(Path(folder))
        for name, mutant in sorted(left, key=lambda p: known.get(key(*_fault(p))) == "survived"):
            if time.monotonic() > end:
                break
            plain = (ROOT / name).read_text("utf-8")
            sound = key(name, plain, tests[name])
            if known.get(sound) != "survived":
                known[sound] = meet(copy, name, plain, tests[name])
                if known[sound] != "survived":
                    told = (copy / "told.txt").read_text("utf-8", "replace")
                    sys.exit(f"the tests of {name} fail without any fault:\n{told}")
                _add(output, [sound], "survived")
            status = meet(copy, name, mutant.source, tests[name])
            keys = [key(name, mutant.source, None)]
            if status == "survived":
                keys.append(key(name, mutant.source, tests[name]))
            _add(output, keys, status)


def _fault(pair: tuple[str, Mutant]) -> tuple[str, str, None]:
    return pair[0], pair[1].source, None


def _add(output: Path, keys: list[str], status: str) -> None:
    with output.open("a", encoding="utf-8") as file:
        for each in keys:
            file.write(json.dumps({"key": each, "status": status}) + "\n")


def _statuses(output: Path) -> dict[str, str]:
    """By key, the last line of each."""
    if not output.exists():
        return {}
    lines = map(json.loads, output.read_text("utf-8").splitlines())
    return {line["key"]: line["status"] for line in lines}


def _results(picked: Picked, tests: Mapping, output: Path) -> list[str | None]:
    """The status of each, None where it is not met yet: once killed is killed; a survivor counts under
    the tests that there are now."""
    known = _statuses(output)
    found = []
    for name, mutant in picked:
        status = known.get(key(name, mutant.source, None))
        if status in (None, "survived", "broken"):
            status = known.get(key(name, mutant.source, tests[name]))
        found.append(status)
    return found


def _tell(picked: Picked, results: list[str | None]) -> None:
    met = [r for r in results if r is not None]
    killed = sum(r in ("killed", "timeout") for r in met)
    share = 100 * killed / max(1, len(met))
    print(f"{len(met)} of {len(picked)} mutants met, {killed} killed ({share:.1f} %)")
    for (name, m), status in zip(picked, results, strict=True):
        if status in ("survived", "broken"):
            print(f"{status}: {name}:{m.line} {m.operator}: {m.change}")


if __name__ == "__main__":
    main()
