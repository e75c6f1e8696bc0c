"""The main table: blocks, order by mean, what is bold, what is underlined, and what its caption says."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from ltbench.report.page.html import render_html
from ltbench.report.page.part import Part
from ltbench.report.records.read import read_records
from ltbench.report.render.latex import render_latex
from ltbench.report.render.macros import render_macros
from ltbench.report.render.terminal import print_table
from ltbench.report.render.text import render_csv, render_markdown
from ltbench.report.rows.sections import build_sections
from ltbench.report.rows.summary import Summary
from ltbench.report.selection import Selection, select_columns, select_rows
from ltbench.report.tables.all import build_tables
from ltbench.report.tables.table import Table

from ..builder import Results, flat


def main_of(root: Path, selection: Selection = Selection()) -> Table:  # noqa: B008 (frozen)
    sections = select_rows(build_sections(read_records(root))[0], selection)
    (table,) = [t for t in build_tables(sections[0], "9") if t.name == "main"]
    return table


def study(root: Path, seeds: int = 1) -> Results:
    """Two rows that do not adapt, two that do, an oracle, and a training that failed."""
    results = Results(root)
    for seed in range(seeds):
        wobble = (0.0, 0.3, -0.3, 0.1)[seed]
        results.add("a", seed, flat(50 + wobble))
        results.add("b", seed, flat(60 - wobble))
        results.add("a", seed, flat(70 + wobble), strategy="em")
        results.add("b", seed, flat(75 - wobble), strategy="em")
        results.add("a", seed, flat(90), strategy="oracle", oracle=True)
    results.fail("c", 0)
    return results


def shown(table: Table) -> list[tuple[str, list[str]]]:
    return [(block.title, [str(row[0]) for row in block.rows]) for block in table.blocks]


def marked(table: Table, mark: str) -> list[tuple[str, str]]:
    """(row, column) of the cells that have ``mark``, "best" or "highest"."""
    return [
        (str(row[0]), column.key)
        for block in table.blocks
        for row in block.rows
        for value, column in zip(row, table.columns, strict=True)
        if isinstance(value, Summary) and getattr(value, mark)
    ]


def test_kinds_of_rows_stand_apart_and_each_falls_by_its_mean(tmp_path: Path) -> None:
    study(tmp_path)
    assert shown(main_of(tmp_path)) == [
        ("not adapted to the test images", ["b", "a", "c*"]),  # without a mean: last
        ("adapted to the test images", ["b+em", "a+em"]),
        ("knows the true test prior", ["a+oracle"]),
    ]
    chosen = Selection(group_by="method")
    assert shown(main_of(tmp_path, chosen)) == [
        ("a", ["a", "a+em"]),
        ("b", ["b", "b+em"]),
        ("c", ["c*"]),
        ("knows the true test prior", ["a+oracle"]),
    ]
    assert shown(main_of(tmp_path, Selection(methods=("a", "b")))) == [
        ("not adapted to the test images", ["b", "a"]),
        ("adapted to the test images", ["b+em", "a+em"]),
        ("knows the true test prior", ["a+oracle"]),
    ]


def test_one_kind_of_rows_needs_no_heading(tmp_path: Path) -> None:
    results = Results(tmp_path)
    results.add("a", 0, flat(50))
    results.add("b", 0, flat(60))
    assert shown(main_of(tmp_path)) == [("", ["b", "a"])]


@pytest.mark.parametrize("seeds", [1, 2])
def test_below_three_seeds_the_best_mean_of_a_block_is_underlined(
    tmp_path: Path, seeds: int
) -> None:
    study(tmp_path, seeds)
    table = main_of(tmp_path)
    assert marked(table, "best") == []
    assert marked(table, "highest") == [("b", "mean"), ("b+em", "mean")]
    assert table.caption.count("Underlined: the highest of its block, which may be chance.") == 1
    assert table.caption.count("Nothing is bold: no two methods share three seeds") == 1
    without = select_columns(table, Selection(columns=("U",)))
    assert "nderlined" not in without.caption
    assert marked(without, "highest") == []


def test_no_underline_where_it_would_say_nothing(tmp_path: Path) -> None:
    results = Results(tmp_path)
    for method, value in (("a", 50), ("b", 50), ("c", 40)):
        results.add(method, 0, flat(value), strategy="em" if method == "c" else "none")
    table = main_of(tmp_path)  # two equal ones, and one alone
    assert marked(table, "highest") == []
    assert "nderlined" not in table.caption


def test_bold_where_rows_can_be_told_apart(tmp_path: Path) -> None:
    study(tmp_path, 4)
    table = main_of(tmp_path)
    assert marked(table, "highest") == []
    assert ("b+em", "mean") in marked(table, "best")
    assert ("b", "mean") not in marked(table, "best")
    assert "Bold: the best of a column" in table.caption
    assert "nderlined" not in table.caption
    assert "none where that is every row" not in table.caption


def test_nothing_is_bold_where_everything_would_be(tmp_path: Path) -> None:
    results = Results(tmp_path)
    for seed in range(4):
        results.add("a", seed, flat(50 + seed))
        results.add("b", seed, flat(53 - seed))
    table = main_of(tmp_path)
    assert marked(table, "best") == marked(table, "highest") == []
    assert table.caption.count("Nothing is bold: no row can be told from the best") == 1
    assert "Bold:" not in table.caption


def test_a_column_in_which_all_tie_has_no_bold_beside_one_that_has(tmp_path: Path) -> None:
    results = Results(tmp_path)
    for seed in range(4):
        results.add("a", seed, lambda n, s, d: 50.0 + s)
        results.add("b", seed, lambda n, s, d: (70.0 if n == "backward10" else 53.0 - 2 * s) + s)
    table = main_of(tmp_path)
    assert {column for _, column in marked(table, "best")} == {"backward10", "mean"}
    assert "; none where that is every row of the column." in table.caption


def test_every_format_underlines(tmp_path: Path) -> None:
    study(tmp_path)
    table = main_of(tmp_path)
    assert "| <ins>60.0</ins> |" in render_markdown(table)
    assert r" & \underline{60.0} & " in render_latex(table, "x")
    assert r" & {\underline{60.0}} & " in render_latex(table, "x", siunitx=True)
    assert "}{\\underline{60.0}}" in render_macros([table], "x")
    csv = render_csv(table)
    assert "60.0" in csv
    assert "nderline" not in csv
    console = Console(
        width=200, file=io.StringIO(), force_terminal=True, color_system="standard", _environ={}
    )
    print_table(table, console)
    assert "\x1b[4m60.0\x1b[0m" in console.file.getvalue()  # type: ignore[attr-defined]
    page = render_html([Part("x", "x", (table,), ())], [], [], "9", {})
    assert "<u>60.0</u>" in page


def test_macros_of_labels_without_letters_do_not_follow_the_accuracy(tmp_path: Path) -> None:
    def names(root: Path, first: float, second: float) -> list[str]:
        results = Results(root)
        results.add("中", 0, flat(first))
        results.add("文", 0, flat(second))
        text = render_macros([main_of(root)], "x")
        return [line for line in text.splitlines() if "Uniform" in line]

    one, two = r"\newcommand{\XMainUniformRowOne}", r"\newcommand{\XMainUniformRowTwo}"
    assert set(names(tmp_path / "a", 40, 60)) == {one + "{40.0}", two + "{60.0}"}
    assert set(names(tmp_path / "b", 60, 40)) == {one + "{60.0}", two + "{40.0}"}
