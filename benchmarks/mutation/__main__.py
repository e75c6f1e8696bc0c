"""``python -m benchmarks.mutation --limit 500``: a piece of the sample, then score and survivors.

A fixed random sample of faults (:data:`SEED`), each written into a copy of ``ltbench`` in a temporary
folder and met by the tests of its module (``tests.json``). One process imports torch and pytest, and a
fork of it runs each mutant: seconds instead of tens of them. Lines of the output are finished mutants;
the same command goes on behind them.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.mutation.operators import Mutant, mutants

ROOT = Path(__file__).resolve().parents[2]
SEED = 20251130
SAMPLE = 200
TIMEOUT = 60


def sample(mapping: dict[str, list[str]]) -> list[tuple[str, Mutant]]:
    """The first of them are a random sample, too: a run that is cut short stands for all."""
    every = [
        (name, m) for name in sorted(mapping) for m in mutants((ROOT / name).read_text("utf-8"))
    ]
    return random.Random(SEED).sample(every, SAMPLE)


def run_mutant(copy: Path, name: str, source: str, tests: list[str]) -> str:
    """ "killed", "survived" or "timeout"; "broken" where not even pytest could be started."""
    (copy / name).write_text(source, encoding="utf-8")
    child = os.fork()
    if child == 0:
        _in_child(copy, tests)
    end = time.monotonic() + TIMEOUT
    while time.monotonic() < end:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            code = os.waitstatus_to_exitcode(status)
            return {0: "survived", 77: "broken"}.get(code, "killed")
        time.sleep(0.05)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "timeout"


def _in_child(copy: Path, tests: list[str]) -> None:
    """Never returns."""
    code = 77
    try:
        import pytest

        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 1)
            os.dup2(nowhere.fileno(), 2)
        sys.path.insert(0, str(copy))
        options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:randomly"]
        code = int(pytest.main([*options, *tests]))
        loaded = sys.modules.get("ltbench")
        if code == 0 and (loaded is None or not str(loaded.__file__).startswith(str(copy))):
            code = 77  # the checkout was tested, not the mutant
    except BaseException:
        code = 1
    finally:
        sys.stdout.flush()
        os._exit(code)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--limit", type=float, default=540, help="seconds of this piece")
    parser.add_argument("--output", type=Path, default=ROOT / "results/mutation.jsonl")
    parser.add_argument("--part", default="0/1", help="K/N: every N-th mutant from the K-th on")
    chosen = parser.parse_args()
    mapping = json.loads((Path(__file__).parent / "tests.json").read_text("utf-8"))
    picked = sample(mapping)
    chosen.output.parent.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    sound: set[str] = set()
    part, parts = map(int, chosen.part.split("/"))
    done = {(r["file"], r["number"]) for r in _records(chosen.output)}
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    os.chdir(ROOT)
    for module in (
        "torch",
        "numpy",
        "scipy.special",
        "scipy.stats",
        "hypothesis",
        "pytest",
        "sklearn.metrics",
    ):
        __import__(module)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        ignored = shutil.ignore_patterns("__pycache__")
        for name in ("ltbench", "methods", "protocols"):
            shutil.copytree(ROOT / name, copy / name, symlinks=True, ignore=ignored)
        for name, mutant in picked[part::parts]:
            if (name, mutant.number) in done:
                continue
            if time.monotonic() - start > chosen.limit:
                break
            if name not in sound:
                status = run_mutant(copy, name, (ROOT / name).read_text("utf-8"), mapping[name])
                if status != "survived":
                    sys.exit(f"the tests of {name} fail without any fault: {status}")
                sound.add(name)
            begun = time.monotonic()
            status = run_mutant(copy, name, mutant.source, mapping[name])
            shutil.copyfile(ROOT / name, copy / name)
            told = {k: getattr(mutant, k) for k in ("number", "line", "operator", "change")}
            seconds = round(time.monotonic() - begun, 1)
            line = {"file": name, **told, "status": status, "seconds": seconds}
            with chosen.output.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
    _tell(_records(chosen.output), len(picked))


def _records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(x) for x in path.read_text("utf-8").splitlines()] if path.exists() else []


def _tell(found: list[dict[str, Any]], of: int) -> None:
    killed = sum(r["status"] in ("killed", "timeout") for r in found)
    print(
        f"{len(found)} of {of} mutants run, {killed} killed ({100 * killed / max(1, len(found)):.0f} %)"
    )
    for r in found:
        if r["status"] in ("survived", "broken"):
            print(f"{r['status']}: {r['file']}:{r['line']} {r['operator']}: {r['change']}")


if __name__ == "__main__":
    main()
