"""A group that holds all classes: its number is that of all, or the caption says why not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ltbench.report.records.read import read_records
from ltbench.report.rows.sections import build_sections
from ltbench.report.tables.shift import partial_table
from ltbench.report.tables.table import Table
from ltbench.report.tables.uniform import groups_table

from ..builder import Results, flat

ALL_FEW = {"many": [], "medium": [], "few": [0, 1, 2, 3]}


def told(root: Path, few: float, whole: float) -> Table:
    """The table of groups where a record tells these two numbers."""
    Results(root, groups=ALL_FEW, images=40).add("ce", 0, flat(50))
    for path in root.rglob("evaluations/*.json"):
        record = json.loads(path.read_text())
        uniform = record["distributions"]["uniform"]
        for place in (uniform, *uniform["draws"].values()):
            if "groups" in place:
                place["groups"] |= {"many": None, "medium": None, "few": few, "all": whole}
        path.write_text(json.dumps(record))
    (section,) = build_sections(read_records(root))[0]
    table = groups_table(section, "0")
    assert table is not None
    return table


def cells(table: Table) -> list[float]:
    """Few and All of the only row."""
    line = table.blocks[0].rows[0]
    keys = [column.key for column in table.columns]
    return [line[keys.index(key)].mean for key in ("few", "all")]  # type: ignore[union-attr]


def test_equal_but_for_the_last_bit_prints_alike(tmp_path: Path) -> None:
    few, whole = 56.250000000000007, 56.25
    assert f"{few:.1f}" != f"{whole:.1f}"
    table = told(tmp_path, few, whole)
    assert cells(table) == [56.25, 56.25]
    assert "share of images" not in table.caption


def test_records_that_count_images_are_explained(tmp_path: Path) -> None:
    table = told(tmp_path, 48.0, 56.25)
    assert cells(table) == [48.0, 56.25]
    assert "there All is the share of images" in table.caption


@pytest.mark.parametrize("groups", [ALL_FEW, None])
def test_a_partial_set_of_all_classes_is_explained(
    tmp_path: Path, groups: dict[str, list[int]] | None
) -> None:
    Results(tmp_path, groups=groups, images=40).add("ce", 0, flat(50))
    (section,) = build_sections(read_records(tmp_path))[0]
    table = partial_table(section, "0")
    assert table is not None
    assert ("few-only holds all classes, as uniform does" in table.caption) == (groups is ALL_FEW)
