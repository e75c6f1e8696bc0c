"""What strategies say of failures stands in a note of the tables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ltbench.report.records.read import read_records
from ltbench.report.rows.sections import build_sections
from ltbench.report.tables.all import build_tables

from ..builder import Results, flat


def notes(
    root: Path, found: Any, where: tuple[str, ...] = ("forward10", "uniform")
) -> dict[str, str]:
    """By table; ``found`` stands in draw 0 of two test sets of the first of two seeds."""
    for seed in range(2):
        Results(root).add("ce", seed, flat(50))
        path = Results(root).add(
            "ce", seed, flat(50), strategy="em", prior=lambda n, s, d: [0.25] * 4
        )
        record = json.loads(path.read_text())
        for name in where if seed == 0 else ():
            record["distributions"][name]["draws"]["0"]["diagnostics"] = found
        path.write_text(json.dumps(record))
    section = build_sections(read_records(root))[0][0]
    return {table.name: "\n".join(table.notes) for table in build_tables(section, "1")}


@pytest.mark.parametrize(
    ("found", "text"),
    [
        ({"converged": False, "iterations": 1000}, "did not converge before its limit"),
        ({"converged": True, "calibrated": False}, "stopped calibrating at its limit"),
        ({"failed": True}, "found no estimate and fell back to the training prior"),
    ],
)
def test_failures_are_told_with_every_table_of_the_row(
    tmp_path: Path, found: Any, text: str
) -> None:
    by_table = notes(tmp_path, found)
    for name in ("main", "groups", "partial", "adaptation", "priors"):
        line = next(line for line in by_table[name].splitlines() if text in line)
        assert line.startswith("ce+em: ")
        assert line.endswith("in 2 of 24 draws (1 of 2 seeds; F10, U)")


@pytest.mark.parametrize(
    ("found", "text"),
    [
        ({"clipped": 2, "rank": 4, "failed": False}, "set negative weights to 0"),
        ({"clipped": 0, "rank": 3, "failed": False}, "(singular: rank below 4)"),
        ({"at_limit": True}, "stopped at the end of the range"),
        ({"chosen": "em[strength=1]"}, "took a fall-back (EM)"),
    ],
)
def test_details_are_told_with_the_tables_on_adaptation(
    tmp_path: Path, found: Any, text: str
) -> None:
    by_table = notes(tmp_path, found)
    assert text in by_table["adaptation"]
    assert text in by_table["priors"]
    assert text not in by_table["main"]


@pytest.mark.parametrize(
    "found",
    [
        {"converged": True, "failed": False, "clipped": 0, "rank": 4, "at_limit": False},
        {"converged": [False], "failed": "no", "rank": "full", "chosen": 3},  # a plugin's own
        ["a", "list"],
        None,
    ],
)
def test_nothing_is_told_where_nothing_is_wrong(tmp_path: Path, found: Any) -> None:
    assert not any("ce+em: " in text for text in notes(tmp_path, found).values())


def test_one_is_not_true(tmp_path: Path) -> None:
    """Draws that tell the same are counted together, but no number with a truth value."""
    results = Results(tmp_path)
    path = results.add("ce", 0, flat(50), strategy="em", prior=lambda n, s, d: [0.25] * 4)
    record = json.loads(path.read_text())
    for name, failed in {"forward10": 1, "forward2": True, "uniform": 1.0}.items():
        record["distributions"][name]["draws"]["0"]["diagnostics"] = {"failed": failed}
    path.write_text(json.dumps(record))
    (row,) = build_sections(read_records(tmp_path))[0][0].rows
    assert row.told_where(lambda told: told.failed is True) == {("forward2", 0): 1}
    assert row.told_where().total() == 12  # all draws tell something


def test_a_number_of_any_size_may_be_told(tmp_path: Path) -> None:
    assert "singular" not in notes(tmp_path, {"clipped": 1, "rank": 10**30})["priors"]
