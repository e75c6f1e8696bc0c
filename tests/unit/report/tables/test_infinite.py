"""Infinite losses are infinite on every way from the draws to the tables."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import ltbench
from ltbench.report.page.html import _sort_key
from ltbench.report.records.read import read_records
from ltbench.report.render.latex import render_latex
from ltbench.report.render.terminal import print_table
from ltbench.report.render.text import render_markdown
from ltbench.report.rows.sections import Section, build_sections
from ltbench.report.rows.summary import Summary, half_width, mean_of, summarise
from ltbench.report.tables.adaptation import adaptation_table
from ltbench.report.tables.uniform import groups_table

from ..builder import Results, flat

ABSENT: Any = object()


def with_losses(root: Path, label: str, losses: Sequence[Any], **more: Any) -> None:
    """One loss per seed: that of draw 0 of every set."""
    for seed, loss in enumerate(losses):
        path = Results(root).add("ce", seed, flat(50 + seed), strategy=label, **more)
        record = json.loads(path.read_text())
        for entry in record["distributions"].values():
            draw = entry["draws"]["0"]
            draw["prior_error"] = {"l1": 1.0, "kl": loss if loss is not ABSENT else 0.5}
            draw["nll"] = loss
            if loss is ABSENT:
                del draw["nll"]
        path.write_text(json.dumps(record))


def section_of(root: Path) -> Section:
    return build_sections(read_records(root))[0][0]


def test_one_infinite_seed_makes_the_mean_infinite_and_never_the_best(tmp_path: Path) -> None:
    with_losses(tmp_path, "none", [1.5, 1.6, 1.55, 1.5, 1.6])
    with_losses(tmp_path, "bbse", [None, None, None, None, 1.07])
    with_losses(tmp_path, "em", [1.9, 1.8, 1.9, 2.0, 1.9])
    table = groups_table(section_of(tmp_path), "1")
    assert table is not None
    place = next(i for i, column in enumerate(table.columns) if column.key == "nll")
    cells = {row[0]: row[place] for block in table.blocks for row in block.rows}
    assert cells["ce+bbse"] == Summary(math.inf, None, 5)
    assert isinstance(best := cells["ce"], Summary)
    assert best.best
    assert best.mean == pytest.approx(1.55)
    assert "ce+bbse: NLL infinite in 4 of 5 seeds (the uniform set)" in "\n".join(table.notes)
    shown = io.StringIO()
    print_table(table, Console(file=shown, width=200), caption=False)
    assert "ce+bbse: NLL infinite in 4 of 5 seeds (the uniform set)" in shown.getvalue()
    assert table.caption not in shown.getvalue()
    assert "| ∞ |" in render_markdown(table)
    assert r"$\infty$" in render_latex(table, "x")
    assert r"{$\infty$}" in render_latex(table, "x", siunitx=True)
    assert _sort_key(cells["ce+bbse"]) == "Infinity"


def test_a_loss_that_no_record_holds_is_not_measured(tmp_path: Path) -> None:
    with_losses(tmp_path, "none", [ABSENT, 1.5])
    frame = ltbench.load_results(tmp_path)
    uniform = frame[frame.distribution.eq("uniform")].set_index("seed").nll
    assert math.isnan(uniform[0])
    assert uniform[1] == 1.5
    table = groups_table(section_of(tmp_path), "1")
    assert table is not None
    assert not any("infinite" in note for note in table.notes)
    assert Summary(1.5, None, 1) in table.blocks[0].rows[0]


def test_load_results_keeps_infinity_from_draws_to_means(tmp_path: Path) -> None:
    with_losses(tmp_path, "none", [None])
    for draws in ("mean", "all", 0):
        frame = ltbench.load_results(tmp_path, draws=draws)
        shifted = frame[frame.distribution.eq("forward10")].nll.tolist()
        assert shifted == ([math.inf, 1.0] if draws == "all" else [math.inf])


def test_infinite_divergences_are_counted_per_test_set(tmp_path: Path) -> None:
    with_losses(tmp_path, "none", [1.0, 1.0])
    with_losses(tmp_path, "bbse", [None, 1.0])
    table = adaptation_table(section_of(tmp_path), "1")
    assert table is not None
    assert any("ce+bbse: Prior KL infinite in 1 of 2 seeds" in note for note in table.notes)


def test_statistics_of_infinite_values() -> None:
    assert mean_of([1.0, None, math.inf]) == math.inf
    assert half_width([1.0, 2.0, math.inf]) is None
    assert summarise([math.inf, None, 1.0]) == Summary(math.inf, None, 2)
