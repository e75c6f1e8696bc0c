"""The record of all 200: what was tried where, what became of it, and why survivors are left."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from benchmarks.mutation.operators import Mutant
from benchmarks.mutation.sample import ROOT, SEED

RECORD = ROOT / "results/published/reliability/mutation.json"


def write(picked: list[tuple[str, Mutant]], results: list[str | None], of: int) -> None:
    """Reasons are those of ``reasons.json``; a survivor without one stops it."""
    if None in results or "broken" in results:
        sys.exit("not all of the sample has been met: run it again without --record")
    reasons = _reasons()
    entries = []
    for (name, mutant), status in zip(picked, results, strict=True):
        entry = {"file": name, "line": mutant.line, "operator": mutant.operator}
        entry |= {"change": mutant.change, "status": status}
        if status == "survived":
            reason = reasons.get((name, mutant.operator, mutant.change))
            if reason is None:
                sys.exit(f"{name}:{mutant.line} survived ({mutant.change}), without a reason")
            entry["reason"] = reason
        entries.append(entry)
    counts = {s: results.count(s) for s in ("killed", "timeout", "survived")}
    head = {"seed": SEED, "of": of, "mutants": len(picked), **counts}
    lines = ",\n  ".join(
        json.dumps(e) for e in sorted(entries, key=lambda e: (str(e["file"]), int(e["line"])))
    )
    RECORD.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(head, indent=1)[:-2] + f',\n "each": [\n  {lines}\n ]\n}}\n'
    RECORD.write_text(text, encoding="utf-8")


def _reasons() -> dict[tuple[str, str, str], str]:
    """By file, operator and change."""
    each = json.loads((Path(__file__).parent / "reasons.json").read_text("utf-8"))
    return {(e["file"], e["operator"], e["change"]): e["reason"] for e in each}
