"""Which faults are tried: a fixed random sample of all there are, and what a finished one is known by."""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path

from benchmarks.mutation.operators import Mutant, mutants

ROOT = Path(__file__).resolve().parents[2]
SEED = 20251130
SAMPLE = 200

Mapping = dict[str, list[str]]


def mapping() -> Mapping:
    """The test files of each module, those that find most at least cost first."""
    found: Mapping = json.loads((Path(__file__).parent / "tests.json").read_text("utf-8"))
    return found


def sample(tests: Mapping) -> tuple[list[tuple[str, Mutant]], int]:
    """(the sample in random order, the number of faults it is from)."""
    every = [(name, m) for name in sorted(tests) for m in mutants((ROOT / name).read_text("utf-8"))]
    return random.Random(SEED).sample(every, SAMPLE), len(every)


def key(name: str, source: str, tests: list[str] | None) -> str:
    """Another fault or other text around it is another mutant; so are other tests, if they are given."""
    digest = hashlib.sha256(f"{name}\0{source}".encode())
    for test in tests or ():
        digest.update((ROOT / test).read_bytes())
    return digest.hexdigest()[:16]
