"""Rows that stand on an estimated bias or on draw 0 alone are marked, footnoted and never break."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ltbench.report.frames.results import load_results
from ltbench.report.records.read import read_records
from ltbench.report.render.latex import render_latex
from ltbench.report.rows.sections import build_sections
from ltbench.report.tables.all import build_tables
from ltbench.report.tables.table import Table

from ..builder import Results, flat

FITTED: dict[str, Any] = {
    "kind": "fitted",
    "value": [[0.1, 0.2, 0.3, 0.4]] * 2,
    "error": [[0.1, 0.2, 0.3, 0.4], [0.2, 0.3, 0.4, 0.5]],
    "kappa": [0.25, 0.5],
    "kappa_error": [0.1, 0.2],
}
REFERENCE: dict[str, Any] = {
    "kind": "reference", "value": [[0.0] * 4] * 2, "error": None, "kappa": [1.0, 1.0],
    "kappa_error": None,
}  # fmt: skip


def tables_of(root: Path) -> dict[str, Table]:
    (section,) = build_sections(read_records(root))[0]
    return {table.name: table for table in build_tables(section, "9.9.9")}


def labels(table: Table) -> list[str]:
    return [str(row[0]) for block in table.blocks for row in block.rows]


def ride(root: Path, bias: dict[str, Any] | None, seeds: int = 1) -> Results:
    results = Results(root, draws=2)
    for seed in range(seeds):
        results.add("ride", seed, flat(50), experts=2)
        results.add("ride", seed, flat(60), experts=2, strategy="oracle", oracle=True, bias=bias)
    return results


def test_a_fitted_bias_is_marked_and_its_errors_stand_in_a_footnote(tmp_path: Path) -> None:
    ride(tmp_path, FITTED)
    main = tables_of(tmp_path)["main"]
    assert labels(main) == ["ride", "ride+oracle‡"]
    (note,) = [note for note in main.notes if note.startswith("‡")]
    assert "an estimate" in note
    assert "kappa 0.25 ± 0.10, 0.50 ± 0.20" in note
    assert "standard error of b 0.30 nats (median), 0.50 (largest); seed 0" in note
    assert r"ride+oracle$^{\ddagger}$" in render_latex(main, "main")


def test_several_seeds_are_averaged_in_the_footnote(tmp_path: Path) -> None:
    results = ride(tmp_path, FITTED, seeds=1)
    other = {**FITTED, "kappa": [0.75, 0.5], "kappa_error": [0.3, 0.2]}
    results.add("ride", 1, flat(61), experts=2, strategy="oracle", oracle=True, bias=other)
    (note,) = [n for n in tables_of(tmp_path)["main"].notes if n.startswith("‡")]
    assert "kappa 0.50 ± 0.20, 0.50 ± 0.20" in note
    assert "mean over 2 seeds" in note


def test_a_reference_is_called_unreliable(tmp_path: Path) -> None:
    ride(tmp_path, REFERENCE)
    (note,) = [n for n in tables_of(tmp_path)["main"].notes if n.startswith("‡")]
    assert "unreliable, excluded from regret" in note
    (kind,) = {e.bias_kind for e in read_records(tmp_path).evaluations if e.strategy == "oracle"}
    assert kind == "reference"  # what regret is to look at


def test_a_closed_form_needs_no_mark(tmp_path: Path) -> None:
    ride(tmp_path, {"kind": "closed-form"})
    main = tables_of(tmp_path)["main"]
    assert labels(main) == ["ride", "ride+oracle"]
    assert not any("‡" in note for note in main.notes)
    frame = load_results(tmp_path)
    assert dict(zip(frame.label, frame.bias_kind, strict=True)) == {
        "ride": "",
        "ride+oracle": "closed-form",
    }


@pytest.mark.parametrize(
    ("bias", "reason"),
    [
        ({"kind": "guessed"}, "bias.kind is 'guessed'"),
        ({}, "bias.kind is missing"),
        ({**FITTED, "kappa": [0.5]}, "bias.kappa has 1 elements, not 2"),
        ({**FITTED, "error": [[1, 2]] * 2}, "has 2 elements, not 4"),
        ({**FITTED, "kappa_error": [-1, 0]}, "outside its range"),
    ],
)
def test_a_damaged_block_is_unreadable_not_silent(
    tmp_path: Path, bias: dict[str, Any], reason: str
) -> None:
    ride(tmp_path, bias)
    (bad,) = read_records(tmp_path).unreadable
    assert reason in bad.reason


def test_rows_of_draw_0_are_set_beside_draw_0_of_the_others(tmp_path: Path) -> None:
    def by_draw(name: str, seed: int, draw: int) -> float:
        return 40.0 + 10 * draw

    Results(tmp_path, draws=3).add("ce", 0, by_draw)
    first = Results(tmp_path, draws=1)
    first.add("ce", 0, flat(45), strategy="tent", first_draw_only=True)
    tables = tables_of(tmp_path)
    main = tables["main"]
    assert labels(main) == ["ce", "ce+tent§"]
    assert any(n.startswith("§ ce+tent: draw 0 only") for n in main.notes)
    assert not any("instead of" in n for n in main.notes)  # said once is enough
    ce, tent = tables["first-draw"].blocks[0].rows
    assert [cell.mean for cell in ce[2:]] == [40.0] * 5  # type: ignore[union-attr]
    assert [cell.mean for cell in tent[2:]] == [45.0] * 5  # type: ignore[union-attr]
    assert [c.mean for c in main.blocks[0].rows[0][3:5]] == [50.0, 50.0]  # type: ignore[union-attr]
    assert r"ce+tent$^{\S}$" in render_latex(main, "main")


def test_without_such_rows_there_is_no_such_table(tmp_path: Path) -> None:
    Results(tmp_path, draws=3).add("ce", 0, flat(40))
    assert "first-draw" not in tables_of(tmp_path)
