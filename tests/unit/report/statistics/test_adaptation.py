"""Gain, regret, errors of the prior and the collapse flag, from records with known numbers."""

from __future__ import annotations

import base64
import dataclasses
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ltbench.report.records.bits import unpacked
from ltbench.report.records.read import read_records
from ltbench.report.records.schema import Distribution, Draw
from ltbench.report.render.latex import render_latex
from ltbench.report.rows.sections import Section, build_sections
from ltbench.report.rows.summary import Summary
from ltbench.report.statistics.adaptation import collapsed, compare, comparisons
from ltbench.report.tables.adaptation import adaptation_table, exact_table
from ltbench.report.tables.table import Shown, Table

from ..builder import Results, flat


def packed(hits: Sequence[bool]) -> str:
    return base64.b64encode(np.packbits(np.array(hits, dtype=bool)).tobytes()).decode()


def distribution(hits: Sequence[bool], *top1: float, definition: str = "d") -> Distribution:
    """Draw k has accuracy ``top1[k]``; the bits are those of draw 0."""
    draws = tuple(Draw(number=k, n=len(hits), top1=value) for k, value in enumerate(top1))
    return Distribution(
        "uniform", "uniform", None, definition, draws, None, (), correct=packed(hits)
    )


def lost_and_won(lost: int, won: int, both: int = 20) -> tuple[Distribution, Distribution]:
    """(adapted, plain) of which plain alone is right on ``lost``, adapted alone on ``won`` images."""
    adapted = [False] * lost + [True] * won + [True] * both + [False] * 5
    plain = [True] * lost + [False] * won + [True] * both + [False] * 5
    return distribution(adapted, 50.0), distribution(plain, 50.0)


@pytest.mark.parametrize(
    ("lost", "won", "expected"),
    [
        (0, 0, False),
        (4, 0, False),  # 4 = 2 sqrt(4): not more than two standard errors
        (5, 0, True),
        (0, 50, False),
        (62, 38, True),  # 24 > 2 sqrt(100)
        (60, 40, False),
    ],
)
def test_collapsed_is_a_loss_of_more_than_two_standard_errors(
    lost: int, won: int, expected: bool
) -> None:
    assert collapsed(*lost_and_won(lost, won)) is expected


def test_the_standard_error_is_that_of_paired_images() -> None:
    """By simulation: where both are equally good, about one flag in 44 (one side of two errors)."""
    rng = np.random.default_rng(0)
    flags = []
    for _ in range(3000):
        plain, adapted = rng.random((2, 200)) < 0.7
        flags.append(collapsed(distribution(adapted, 0.0), distribution(plain, 0.0)))
    assert 0.012 < np.mean([bool(flag) for flag in flags]) < 0.032


def test_without_the_same_images_there_is_no_flag() -> None:
    adapted, plain = lost_and_won(30, 0)
    assert collapsed(adapted, None) is None
    assert collapsed(adapted, dataclasses.replace(plain, correct="")) is None
    assert collapsed(adapted, dataclasses.replace(plain, definition="other")) is None
    assert collapsed(adapted, distribution([True], 100.0)) is None


@pytest.mark.parametrize("text", ["AA==", "?", ""])
def test_bits_that_are_not_those_of_the_images_are_none(text: str) -> None:
    adapted, plain = lost_and_won(30, 0)
    assert collapsed(dataclasses.replace(adapted, correct=text), plain) is None
    assert unpacked("gA==", 2) is not None
    assert unpacked("gA==", 9) is None


def test_only_common_draws_are_compared() -> None:
    """A strategy that runs the network has draw 0 only and meets the others' draw 0."""
    adapted = distribution([True], 60.0)
    plain, oracle = distribution([True], 55.0, 10.0, 10.0), distribution([True], 63.0, 90.0)
    found = compare(adapted, plain, oracle)
    assert (found.adapted, found.plain, found.gain, found.regret) == (60.0, 55.0, 5.0, 3.0)
    alone = compare(adapted, None, None)
    assert (alone.adapted, alone.plain, alone.gain, alone.regret) == (60.0, None, None, None)


# -- from records --------------------------------------------------------------------------------


def edit(path: Path, change: Any) -> None:
    record = json.loads(path.read_text())
    for entry in record["distributions"].values():
        for draw in entry["draws"].values():
            change(draw)
        hits = round(entry["draws"]["0"]["top1"] / 100 * entry["draws"]["0"]["n"])
        bits = [i < hits for i in range(entry["draws"]["0"]["n"])]
        entry["correct"] = packed(bits)
    path.write_text(json.dumps(record))


def section_of(root: Path, kl: float | None = 0.5) -> Section:
    """Two seeds of sade (adapted: 40 + seed, none: 50, oracle: 60) with 1000 images a draw."""
    results = Results(root)
    common: dict[str, Any] = {"training": "sade", "experts": 3}
    for seed in range(2):
        rows = [
            results.add(
                "sade", seed, flat(40 + seed), strategy="stability", label="sade", **common
            ),
            results.add("sade", seed, flat(50), strategy="none", label="sade+none", **common),
            results.add("sade", seed, flat(60), strategy="oracle", oracle=True, **common),
        ]
        for path in rows:
            edit(path, lambda draw: draw.update(n=1000, exact={"top1": 47.0, "se": 0.5}))
        edit(rows[0], lambda draw: draw.update(prior_error={"l1": 0.2, "kl": kl}))
    results.add("ce", 0, flat(30))
    return build_sections(read_records(root))[0][0]


def table_of(table: Table | None) -> dict[tuple[object, object], dict[str, Any]]:
    assert table is not None
    found = {}
    for block in table.blocks:
        for row in block.rows:
            named = {c.key: v for c, v in zip(table.columns, row, strict=True)}
            found[row[0], row[1]] = {
                k: v.mean if isinstance(v, Summary) else v for k, v in named.items()
            }
    return found


def test_the_table_holds_gain_regret_errors_and_flags(tmp_path: Path) -> None:
    table = table_of(adaptation_table(section_of(tmp_path), "1"))
    assert [key[1] for key in table] == ["F10", "U", "B10", "all 5"]  # sade only, not ce nor oracle
    row = table["sade", "U"]
    assert (row["unadapted"], row["adapted"], row["gain"], row["regret"]) == (50, 40.5, -9.5, 19.5)
    assert (row["prior_l1"], row["prior_kl"]) == (pytest.approx(0.2), 0.5)
    assert row["collapsed"] == Shown("2/2", 2, 2)
    assert table["sade", "all 5"]["collapsed"] == Shown("10/10", 10, 10)


def test_rows_that_a_selection_hides_stay_references(tmp_path: Path) -> None:
    section = section_of(tmp_path)
    shown = tuple(row for row in section.rows if row.label == "sade")
    hidden = tuple(row for row in section.rows if row.label != "sade")
    row = table_of(adaptation_table(dataclasses.replace(section, rows=shown, hidden=hidden), "1"))
    assert (row["sade", "U"]["gain"], row["sade", "U"]["regret"]) == (-9.5, 19.5)


def test_an_infinite_divergence_is_shown_as_such(tmp_path: Path) -> None:
    table = adaptation_table(section_of(tmp_path, kl=None), "1")
    row = table_of(table)["sade", "U"]
    assert row["prior_kl"] == math.inf
    assert row["prior_l1"] == pytest.approx(0.2)
    assert table is not None
    assert r"$\infty$" in render_latex(table, "label")


def test_another_trial_is_no_partner(tmp_path: Path) -> None:
    results = Results(tmp_path)
    results.add("sade", 0, flat(40), strategy="stability", label="sade", experts=3)
    results.add("sade", 0, flat(50), label="sade+none", hyper={"tau": 1}, experts=3)
    section = build_sections(read_records(tmp_path))[0][0]
    row = next(row for row in section.rows if row.label == "sade")
    assert comparisons(row, section, {}, "uniform")[0].plain is None


def test_records_of_before_are_still_read(tmp_path: Path) -> None:
    """Without bits, exact accuracies and errors of priors: the rest is shown."""
    results = Results(tmp_path)
    results.add("sade", 0, flat(40), strategy="stability", label="sade", experts=3)
    results.add("sade", 0, flat(50), label="sade+none", experts=3)
    section = build_sections(read_records(tmp_path))[0][0]
    row = table_of(adaptation_table(section, "1"))["sade", "U"]
    assert (row["gain"], row["prior_l1"], row["collapsed"]) == (-10, None, None)
    assert exact_table(section, "1") is None


def test_exact_accuracies_have_a_table(tmp_path: Path) -> None:
    table = exact_table(section_of(tmp_path), "1")
    assert table is not None
    rows = [row for block in table.blocks for row in block.rows]
    assert {row[0] for row in rows} == {"sade", "sade+none", "sade+oracle"}
    assert all(cell.mean == 47.0 for row in rows for cell in row[2:-1] if isinstance(cell, Summary))
    assert [row[-1].mean for row in rows if isinstance(row[-1], Summary)] == [0.5] * 3


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda e: e["draws"]["0"].update(exact={"top1": 1.0}), "exact.se is missing"),
        (lambda e: e["draws"]["0"].update(prior_error={"kl": 1.0}), "prior_error.l1 is missing"),
        (lambda e: e["draws"]["0"].update(prior_error={"l1": math.nan}), "l1 is nan"),
    ],
)
def test_damaged_fields_are_listed(tmp_path: Path, change: Any, reason: str) -> None:
    path = Results(tmp_path).add("ce", 0, flat(30))
    edit(path, lambda draw: draw.update(n=1000))
    record = json.loads(path.read_text())
    change(record["distributions"]["uniform"])
    path.write_text(json.dumps(record))
    (bad,) = read_records(tmp_path).unreadable
    assert reason in bad.reason
