"""Two classes: sensitivity and specificity, at the argmax and at a threshold of the hold-out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ltbench.report.records.read import read_records
from ltbench.report.rows.sections import build_sections
from ltbench.report.tables.binary import binary_table
from ltbench.report.tables.table import Table

from ..builder import Results, flat, with_arrays
from .test_classes import stored

NO_GROUPS = {"many": [0, 1], "medium": [], "few": []}
AREAS = (np.array([0.9, 0.9]), np.array([0.4, 0.8]))
ARGMAX, CHOSEN = np.array([[18, 2], [5, 15]]), np.array([[16, 4], [1, 19]])


def table_of(root: Path) -> Table | None:
    (section,) = build_sections(read_records(root))[0]
    return binary_table(section, "9.9.9")


def fill(root: Path, counts: tuple[int, ...], holdout: bool) -> None:
    results = Results(root, counts=counts, groups=NO_GROUPS, parts=False)
    for seed in range(2):
        record = results.add("ce", seed, flat(50))
        chosen = {"uniform": (np.array([0.2 + 0.1 * seed]), CHOSEN)} if holdout else None
        with_arrays(record, {"uniform": (ARGMAX, *AREAS)}, thresholds=chosen)


@pytest.mark.parametrize("first_is_rare", [False, True])
def test_the_rarer_class_is_the_positive_one(tmp_path: Path, first_is_rare: bool) -> None:
    fill(tmp_path, (5, 100) if first_is_rare else (100, 5), holdout=True)
    table = table_of(tmp_path)
    assert table is not None
    (row,) = stored(table)
    told = [
        float(row[key])
        for key in (
            *("sensitivity", "specificity", "average_precision"),
            *("sensitivity_at_threshold", "specificity_at_threshold", "threshold"),
        )
    ]
    expected = [75.0, 90.0, 80.0, 95.0, 80.0, 0.25]
    if first_is_rare:
        expected = [90.0, 75.0, 40.0, 80.0, 95.0, 0.25]
    assert told == pytest.approx(expected)
    assert table.title.startswith(
        "Two classes: class 0" if first_is_rare else "Two classes: class 1"
    )


def test_without_a_hold_out_there_is_no_threshold(tmp_path: Path) -> None:
    fill(tmp_path, (100, 5), holdout=False)
    table = table_of(tmp_path)
    assert table is not None
    assert [column.key for column in table.columns][-1] == "average_precision"
    assert "Youden" not in table.caption


def test_more_classes_and_records_without_counts_have_no_such_table(tmp_path: Path) -> None:
    Results(tmp_path / "two", counts=(9, 5), groups=NO_GROUPS, parts=False).add("ce", 0, flat(50))
    assert table_of(tmp_path / "two") is None
    record = Results(tmp_path / "four").add("ce", 0, flat(50))
    with_arrays(record, {"uniform": (np.eye(4, dtype=int), np.ones(4), np.ones(4))})
    assert table_of(tmp_path / "four") is None
