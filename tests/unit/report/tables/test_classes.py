"""Single classes by name: all of few, the worst of many, and all of them in CSV."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from rich.console import Console

from ltbench.report.build import build_report
from ltbench.report.records.read import read_records
from ltbench.report.render.latex import render_latex
from ltbench.report.render.text import render_csv, render_markdown
from ltbench.report.rows.sections import build_sections
from ltbench.report.selection import Selection, select_columns
from ltbench.report.tables.classes import classes_table
from ltbench.report.tables.table import Table

from ..builder import Results, flat

MANY = {"counts": [2000 - 10 * c for c in range(30)]}
GROUPS = {"many": list(range(30)), "medium": [], "few": []}


def classes_of(root: Path) -> Table:
    (section,) = build_sections(read_records(root))[0]
    table = classes_table(section, "9.9.9")
    assert table is not None
    return table


def stored(table: Table) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(render_csv(table))))


def test_few_classes_are_all_there_with_their_images(tmp_path: Path) -> None:
    results = Results(tmp_path, images=40)
    for seed in range(2):
        results.add("ce", seed, flat(50), recall=lambda c, s: None if c == 3 else 80.0 - 10 * c + s)
        results.add("ce", seed, flat(60), strategy="em")  # not its own: the same classes again
        results.add("ce", seed, flat(70), strategy="oracle", oracle=True)
    table = classes_of(tmp_path)
    rows = stored(table)
    assert [row["method"] for row in rows] == ["ce"] * 4
    assert [row["train_images"] for row in rows] == ["100", "50", "20", "5"]
    assert {row["test_images"] for row in rows} == {"40"}
    assert [row["recall"] for row in rows] == ["80.5", "70.5", "60.5", ""]
    assert rows[0]["recall_n"] == rows[3]["n"] == "2"
    text = render_markdown(table)
    for row in rows:
        assert f"| {row['class_name']} |" in text
    assert "n/a: no test images" in text
    assert table.in_terminal


def test_of_many_classes_the_worst_are_printed_and_all_stored(tmp_path: Path) -> None:
    results = Results(tmp_path, groups=GROUPS, **MANY)  # type: ignore[arg-type]
    results.add("ce", 0, flat(50), recall=lambda c, s: float((c * 7) % 30))
    results.add("other", 0, flat(50), recall=lambda c, s: float(c))
    table = classes_of(tmp_path)
    recalls = [cell.mean for block in table.blocks for *_, cell in block.rows]  # type: ignore[union-attr]
    assert recalls == [*map(float, range(10)), *map(float, range(10))]
    assert "the other 20 classes are in the CSV file" in table.caption
    rows = stored(table)
    assert len(rows) == 60
    assert [row["recall"] for row in rows if row["method"] == "other"][-1] == "29.0"
    assert render_latex(table, "x").count("ce &") == 10
    chosen = select_columns(table, Selection(columns=("recall",)))
    assert len(stored(chosen)) == 60
    assert "train_images" not in stored(chosen)[0]


def test_long_lists_stay_off_the_terminal(tmp_path: Path) -> None:
    results = Results(tmp_path, groups=GROUPS, **MANY)  # type: ignore[arg-type]
    for method in "abcde":
        results.add(method, 0, flat(50))
    console = Console(width=100, file=io.StringIO())
    outcome = build_report(tmp_path, console=console, figures=False)
    printed = console.file.getvalue()  # type: ignore[attr-defined]
    assert "in the files only: Single classes on the uniform test set" in printed
    assert "Recall" not in printed
    (page,) = [path for path in outcome.files if path.name == "report.md"]
    assert "Single classes on the uniform test set" in page.read_text()
    assert "Single classes" in (outcome.output / "report.html").read_text()
