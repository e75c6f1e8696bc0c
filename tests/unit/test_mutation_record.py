"""The faults that are tried are faults, and the record of them tells of each what became of it."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RECORD = ROOT / "results/published/reliability/mutation.json"


pytestmark = pytest.mark.usefixtures("importable_benchmarks")


def test_nine_of_ten_faults_were_noticed_and_each_other_has_a_reason() -> None:
    from benchmarks.mutation.sample import SAMPLE, SEED, mapping

    record = json.loads(RECORD.read_text("utf-8"))
    each = record["each"]
    assert (record["seed"], record["mutants"], len(each)) == (SEED, SAMPLE, SAMPLE)
    assert {entry["file"] for entry in each} <= set(mapping())
    counts = Counter(entry["status"] for entry in each)
    assert set(counts) <= {"killed", "timeout", "survived"}
    assert {name: record[name] for name in ("killed", "timeout", "survived")} == {
        name: counts[name] for name in ("killed", "timeout", "survived")
    }
    assert (counts["killed"] + counts["timeout"]) / len(each) >= 0.9
    for entry in each:
        assert ("reason" in entry) == (entry["status"] == "survived")
        assert entry.get("reason", "told"), entry
