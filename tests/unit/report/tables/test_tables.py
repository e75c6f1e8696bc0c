"""Tables and their four renderings: numbers, gaps, marks, escaping, widths."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path

import pytest
from rich.console import Console

from ltbench.report.records.read import read_records
from ltbench.report.render.latex import escape_latex, render_latex
from ltbench.report.render.terminal import print_table
from ltbench.report.render.text import escape_markdown, render_csv, render_markdown
from ltbench.report.rows.sections import build_sections
from ltbench.report.rows.summary import Summary
from ltbench.report.tables.all import build_tables
from ltbench.report.tables.table import Block, Column, Table, printed

from ..builder import Results, flat


def tables_of(root: Path) -> dict[str, Table]:
    (section,) = build_sections(read_records(root))[0]
    return {table.name: table for table in build_tables(section, "9.9.9")}


def csv_rows(table: Table) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(render_csv(table))))


def terminal(table: Table, width: int) -> str:
    console = Console(width=width, file=io.StringIO(), color_system=None)
    print_table(table, console)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert isinstance(text, str)
    return text


def test_main_table_of_five_seeds_by_hand(tmp_path: Path) -> None:
    results = Results(tmp_path)
    for seed in range(5):
        # draws 0 and 1: mean 49.5, 50.5, ... 53.5 over seeds
        results.add("ce", seed, lambda name, s, draw: 49.0 + s + draw * (name != "uniform"))
    table = tables_of(tmp_path)["main"]
    (row,) = csv_rows(table)
    assert float(row["forward10"]) == pytest.approx(51.5)
    half = 2.7764451052 * math.sqrt(2.5) / math.sqrt(5)
    assert float(row["forward10_half_width"]) == pytest.approx(half)
    assert row["forward10_n"] == row["n"] == "5"
    assert float(row["worst"]) == pytest.approx(51.0)  # the uniform cell
    assert float(row["mean"]) == pytest.approx((4 * 51.5 + 51.0) / 5)
    markdown = render_markdown(table)
    assert "| F10 | F2 | U | B2 | B10 | Mean | Worst |" in markdown
    assert "51.5 ±2.0" in markdown
    assert "n = 5" in table.caption
    assert "95 % t interval" in table.caption
    assert "2 draws" in table.caption
    assert "toy-lt version 1.0" in table.caption
    assert "ltbench 9.9.9" in table.caption


@pytest.mark.parametrize("seeds", [1, 2])
def test_no_interval_below_three_seeds(tmp_path: Path, seeds: int) -> None:
    results = Results(tmp_path)
    for seed in range(seeds):
        results.add("ce", seed, flat(50 + seed))
    table = tables_of(tmp_path)["main"]
    for text in (render_markdown(table), render_latex(table, "x"), terminal(table, 100)):
        assert "±" not in text
        assert r"$\pm$" not in text
    assert "o interval below three seeds" in table.caption
    assert csv_rows(table)[0]["n"] == str(seeds)


def test_diverged_trials_are_visible(tmp_path: Path) -> None:
    results = Results(tmp_path)
    results.add("ce", 0, flat(50))
    results.add("ce", 1, flat(60))
    results.fail("ce", 2)
    results.fail("ride", 0)
    table = tables_of(tmp_path)["main"]
    for text in (render_markdown(table), render_latex(table, "x"), terminal(table, 100)):
        assert "1/3 diverged" in text
        assert "1/1 diverged" in text
        assert "55.0" in text
    ce, ride = csv_rows(table)
    assert float(ce["uniform"]) == 55.0
    assert (ride["method"], ride["n"], ride["uniform"]) == ("ride*", "0", "")


def test_rows_that_know_the_prior_are_a_block_of_their_own(tmp_path: Path) -> None:
    results = Results(tmp_path)
    results.add("ce", 0, flat(50))
    results.add("ce", 0, flat(70), strategy="oracle", oracle=True)
    table = tables_of(tmp_path)["main"]
    assert [block.title for block in table.blocks] == [
        "not adapted to the test images",
        "knows the true test prior",
    ]
    assert [row[0] for row in table.blocks[1].rows] == ["ce+oracle"]
    assert "knows the true test prior" in render_latex(table, "x")


def test_empty_group_is_not_applicable(tmp_path: Path) -> None:
    groups = {"many": [0, 1], "medium": [2, 3], "few": []}
    results = Results(tmp_path, groups=groups)
    results.add("ride", 0, flat(50), experts=3, recall=lambda c, seed: None if c == 0 else 40.0)
    tables = tables_of(tmp_path)
    assert tables["groups"].blocks[0].rows[0][5] == "n/a"
    assert "n/a: the group has no class" in tables["groups"].caption
    assert tables["experts-groups"].blocks[0].rows[0][5] == "n/a"
    for table in tables.values():
        for text in (render_latex(table, "x"), render_markdown(table), render_csv(table)):
            assert "nan" not in text.lower()


def test_single_experts_once_per_training(tmp_path: Path) -> None:
    results = Results(tmp_path)
    results.add("ce", 0, flat(50))
    results.add("sade", 0, flat(60), experts=3, strategy="stability", label="sade")
    results.add("sade", 0, flat(55), experts=3, label="sade+none")
    tables = tables_of(tmp_path)
    rows = [row for block in tables["experts-shift"].blocks for row in block.rows]
    assert [row[:2] for row in rows] == [("sade", 1), ("sade", 2), ("sade", 3)]
    third = rows[2][3]
    assert isinstance(third, Summary)
    assert third.mean == 58.0
    assert len(tables["experts-groups"].blocks[0].rows) == 3


def test_weights_and_parts(tmp_path: Path) -> None:
    results = Results(tmp_path)
    results.add(
        "sade", 0, flat(60), experts=2, weights=lambda name, seed, draw: [0.2 + 0.2 * draw, 0.5]
    )
    tables = tables_of(tmp_path)
    first = csv_rows(tables["expert-weights"])[0]
    assert float(first["forward10"]) == pytest.approx(0.3)  # mean of draws 0.2 and 0.4
    assert "0.30" in render_markdown(tables["expert-weights"])
    assert [c.header for c in tables["partial"].columns[2:]] == [
        *("many-only", "medium-only", "few-only")
    ]


def test_missing_cells_and_no_mean_over_fewer_distributions(tmp_path: Path) -> None:
    Results(tmp_path, ratios=(10, 2)).add("ce", 0, flat(50))
    Results(tmp_path, ratios=(2,)).add("ride", 0, flat(60))
    _, ride = tables_of(tmp_path)["main"].blocks[0].rows
    assert ride[3] is None  # forward10
    assert ride[-2:] == (None, None)  # mean and worst
    assert "–" in render_markdown(tables_of(tmp_path)["main"])


def test_fewer_draws_are_noted(tmp_path: Path) -> None:
    Results(tmp_path, draws=4).add("ce", 0, flat(50))
    Results(tmp_path, draws=1).add("tent", 0, flat(50))
    assert "tent: 1 instead of 4 draws on some test sets" in tables_of(tmp_path)["main"].notes


def test_numbers_as_text() -> None:
    assert printed(Summary(-0.01, None, 1), 1).main == "0.0"
    assert printed(783856, 1).main == "783,856"
    assert printed(Summary(49.96, 0.04, 5), 1).main == "50.0"
    assert printed(None, 1).main == "–"


def test_latex_escapes_everything() -> None:
    assert escape_latex("a_b 5% & #1 {x} $y$ ~^\\") == (
        r"a\_b 5\% \& \#1 \{x\} \$y\$ \textasciitilde{}\textasciicircum{}\textbackslash{}"
    )
    assert escape_latex("é ñ τ 中 [") == r"\'{e} \~{n} \ensuremath{\tau} {[}U+4E2D{]} {[}"
    assert escape_latex("a\nb\\\\") == r"a b\textbackslash{}\textbackslash{}"


def test_markdown_escapes_everything() -> None:
    assert escape_markdown("a|b_c*d[e]<f>") == r"a\|b\_c\*d\[e\]\<f\>"
    assert "\n" not in escape_markdown("a\n| b |")


@pytest.mark.parametrize("width", [100, 70, 40])
def test_terminal_never_exceeds_the_width(tmp_path: Path, width: int) -> None:
    results = Results(tmp_path, ratios=(2, 5, 10, 25, 50))
    for seed in range(3):
        results.add("balanced-softmax", seed, flat(50 + seed))
        results.add("sade", seed, flat(50 - seed), experts=3, label="sade[tau=1]+" + "long" * 9)
    text = terminal(tables_of(tmp_path)["main"], width)
    assert max(len(line) for line in text.splitlines()) <= width
    numbers = [line for line in text.splitlines() if line.startswith("balanced-softmax")]
    assert sum(line.count("51.0") for line in numbers) == 13  # 11 distributions, mean, worst
    assert "±2.5" in text


def test_eleven_distributions_fit_into_100_columns(tmp_path: Path) -> None:
    results = Results(tmp_path, ratios=(2, 5, 10, 25, 50))
    for seed in range(3):
        results.add("balanced-softmax", seed, flat(50 + seed))
    lines = terminal(tables_of(tmp_path)["main"], 100).splitlines()
    assert sum(line.startswith("Method") for line in lines) == 1


def test_labels_are_no_markup(tmp_path: Path) -> None:
    Results(tmp_path).add("sade", 0, flat(50), label="sade[bold]")
    assert "sade[bold]" in terminal(tables_of(tmp_path)["main"], 100)


def test_rows_must_match_the_columns() -> None:
    with pytest.raises(ValueError, match="values in a row"):
        Table("x", "", "", (Column("a", "A"),), (Block(((1, 2),)),))
