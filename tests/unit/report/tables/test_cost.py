"""Costs: a training is told once, MACs stand beside seconds."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

from ltbench.report.records.read import read_records
from ltbench.report.render.latex import render_latex
from ltbench.report.render.text import render_csv
from ltbench.report.rows.sections import build_sections
from ltbench.report.selection import Selection, select_rows
from ltbench.report.tables.all import build_tables
from ltbench.report.tables.table import Table, printed

from ..builder import Results, flat


def cost_of(root: Path, selection: Selection = Selection()) -> Table:  # noqa: B008 (frozen)
    sections = select_rows(build_sections(read_records(root))[0], selection)
    (table,) = [t for t in build_tables(sections[0], "9") if t.name == "cost"]
    return table


def shown(table: Table) -> list[list[tuple[str, str]]]:
    """Per block the label and the printed training time of each row."""
    place = [column.key for column in table.columns].index("training_seconds")
    return [
        [(str(row[0]), printed(row[place], 1).main) for row in block.rows] for block in table.blocks
    ]


def study(root: Path) -> None:
    results = Results(root, images=4)
    for seed in range(2):
        results.add("ce", seed, flat(50))
        results.add("ce", seed, flat(50), strategy="oracle", oracle=True)
        results.add("post-hoc", seed, flat(50), training="ce")
        results.add("middle", seed, flat(50), experts=2)
    results.add("ce", 0, flat(50), strategy="em")


def test_a_training_is_told_once(tmp_path: Path) -> None:
    study(tmp_path)
    table = cost_of(tmp_path)
    assert shown(table) == [
        [("ce", "10.0"), ("ce+oracle", "″"), ("post-hoc", "″")],
        [("ce+em", "10.0")],  # one of the two trials: another mean
        [("middle", "20.0")],
    ]
    assert table.caption.count("″: the training is that of the row above it") == 1
    assert "{''}" in render_latex(table, "x")
    rows = {row["method"]: row for row in csv.DictReader(io.StringIO(render_csv(table)))}
    assert {float(rows[name]["training_seconds"]) for name in ("ce", "ce+oracle")} == {10.0}


def test_blocks_that_were_asked_for_tell_each_training_once(tmp_path: Path) -> None:
    study(tmp_path)
    assert shown(cost_of(tmp_path, Selection(group_by="strategy"))) == [
        [("ce+em", "10.0")],
        [("ce", "10.0"), ("middle", "20.0"), ("post-hoc", "10.0")],
        [("ce+oracle", "10.0")],
    ]


def test_nothing_shared_nothing_explained(tmp_path: Path) -> None:
    results = Results(tmp_path)
    results.add("ce", 0, flat(50))
    results.add("sade", 0, flat(50))
    assert "″" not in cost_of(tmp_path).caption


def test_macs_stand_beside_seconds_and_are_not_made_up(tmp_path: Path) -> None:
    study(tmp_path / "with")
    Results(tmp_path / "without").add("ce", 0, flat(50))
    for root, expected in ((tmp_path / "with", "2.00"), (tmp_path / "without", "n/a")):
        table = cost_of(root)
        keys = [column.key for column in table.columns]
        place = keys.index("macs")
        assert keys[place + 1 : place + 3] == ["training_seconds", "evaluation_seconds"]
        assert printed(table.blocks[0].rows[0][place], 2).main == expected


def test_what_made_a_training_faster_stands_after_its_device(tmp_path: Path) -> None:
    study(tmp_path)
    assert "--speed" not in cost_of(tmp_path).caption
    path = next(tmp_path.glob("*/middle/0-*/trial.json"))
    record = json.loads(path.read_text())
    record["environment"] |= {"cuda_graph": True, "compile": False, "grouped_experts": True}
    path.write_text(json.dumps(record))
    table = cost_of(tmp_path)
    rows = {row["method"]: row["device"] for row in csv.DictReader(io.StringIO(render_csv(table)))}
    assert rows["middle"] == "cpu, cpu (graph+grouped)"  # the other seed is plain
    assert rows["ce"] == "cpu"
    assert (
        "After a device stands what made training faster there (words of --speed)." in table.caption
    )
