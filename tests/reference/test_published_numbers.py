"""Every numeric cell of the published tables, computed a second time from the records.

No logits are published, so that the second computation starts from what the records hold:

- top-1 and macro accuracy of draw 0, recalls by class and group means: from the bits of draw 0;
- accuracies re-weighted to the realised counts: of fixed predictors from these recalls, of adapted
  ones (and for draws after the first) from the stored numbers of a draw, as are NLL, ECE, Brier score,
  top-5, accuracies and weights of single experts, agreement of views, and errors of estimated priors;
- all means over draws and seeds, group means of experts, intervals, tests, bold print, bootstraps,
  variance components, regrets, gains, interquartile means and ranks: from these.

Tables of costs, of equal cost and of quoted figures are not covered: they hold no score of their own.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from ltbench.report.records.read import Records, read_records
from ltbench.report.render.text import render_csv
from ltbench.report.rows.sections import Section as Reported
from ltbench.report.rows.sections import build_sections
from ltbench.report.rows.summary import Summary
from ltbench.report.tables.all import build_tables
from ltbench.report.tables.overview import build_overview, overview_table
from ltbench.report.tables.table import Table

from .published_numbers import accuracy, adapted, experts, uncertainty
from .published_numbers.overall import overall
from .published_numbers.records import Section, read_folder, recount

PUBLISHED = Path(__file__).resolve().parents[2] / "results/published"
KEYS = ("method", "second", "test", "group", "expert", "class_name")
NOT_NUMBERS = {"parameters", "block", *KEYS}
LEFT_OUT = {"cost", "equal-cost", "quoted"}
TABLES: dict[str, Callable[[Section], accuracy.Cells]] = {
    "main": accuracy.main,
    "first-draw": accuracy.first_draw,
    "groups": accuracy.groups,
    "partial": accuracy.partial,
    "families": accuracy.families,
    "classes": accuracy.classes,
    "experts-groups": experts.experts_groups,
    "experts-shift": experts.experts_shift,
    "expert-weights": experts.expert_weights,
    "stability": experts.stability,
    "adaptation": adapted.adaptation,
    "exact": adapted.exact,
    "priors": adapted.priors,
    "pairs": uncertainty.pairs,
    "test-images": uncertainty.test_images,
}
# Records are added on purpose: these are the numbers compared in tables, those in bold, and those of
# draw 0 that were counted again from its bits.
EXPECTED = {
    "cifar100-lt": (12334, 0, 6992),
    "cifar100-lt-frozen": (14455, 30, 6707),
    "cifar100-lt-short": (9134, 0, 3564),
    "digits-lt": (7216, 353, 4750),
}


@cache
def records() -> Records:
    return read_records(PUBLISHED)


@cache
def sections_of_all() -> list[Reported]:
    return build_sections(records())[0]


@cache
def reported() -> dict[str, dict[str, tuple[Reported, dict[str, Table]]]]:
    """By protocol and variant."""
    found: dict[str, dict[str, tuple[Reported, dict[str, Table]]]] = {}
    for section in sections_of_all():
        tables = {table.name: table for table in build_tables(section, "")}
        found.setdefault(section.key.protocol, {})[section.key.variant] = (section, tables)
    return found


@cache
def recomputed(protocol: str) -> tuple[dict[str, Section], list[tuple[str, float, float]]]:
    sections = read_folder(PUBLISHED / protocol)
    return sections, [pair for section in sections.values() for pair in recount(section)]


def compare(table: Table, expected: accuracy.Cells) -> int:
    """How many numbers of the table's CSV file, all of them equal, were compared."""
    lines = list(csv.DictReader(io.StringIO(render_csv(table))))
    compared, met = 0, []
    for line in lines:
        values = dict(line)
        key = (values["method"].rstrip("*‡§"), *(values[k] for k in KEYS[1:] if k in values))
        key = tuple(part.rstrip("*‡§") for part in key)
        met.append(key)
        numbers = {k: v for k, v in values.items() if k not in NOT_NUMBERS}
        flat = _flat(expected[key])
        assert {k for k, v in numbers.items() if v} == flat.keys(), (table.name, key)
        for column, value in flat.items():
            where = f"{table.name} {key} {column}: {numbers[column]} is not {value}"
            assert math.isclose(float(numbers[column]), value, rel_tol=1e-8, abs_tol=1e-9), where
        compared += len(flat)
    assert sorted(met) == sorted(expected), table.name
    return compared


def _flat(line: dict[str, Any]) -> dict[str, float]:
    """Columns of the CSV file that hold a number."""
    found: dict[str, float] = {}
    for column, value in line.items():
        if isinstance(value, tuple):
            names = (column, f"{column}_half_width", f"{column}_n")
            found |= {k: v for k, v in zip(names, value, strict=True) if v is not None}
        elif value is not None:
            found[column] = value
    return found


def bold_of(table: Table) -> dict[str, set[str]]:
    return {
        column.key: {
            str(row[0]).rstrip("*‡§")
            for block in table.blocks
            for row in block.rows
            if isinstance(cell := row[place], Summary) and cell.best
        }
        for place, column in enumerate(table.columns)
    }


@pytest.mark.parametrize("protocol", sorted(EXPECTED))
def test_every_number_of_the_tables(protocol: str) -> None:
    sections, _ = recomputed(protocol)
    assert sections.keys() == reported()[protocol].keys()
    compared = bold = 0
    for variant, section in sections.items():
        tables = dict(reported()[protocol][variant][1])
        for name in LEFT_OUT:
            tables.pop(name, None)
        expected = {name: made for name, make in TABLES.items() if (made := make(section))}
        marked = {
            "main": uncertainty.bold_columns(
                section.rows.values(), accuracy.main_columns(section), ["regret"]
            ),
            "groups": uncertainty.bold_columns(
                section.rows.values(), accuracy.group_columns(section), ["nll", "ece", "brier"]
            ),
        }
        together, marked["seeds-and-images"] = uncertainty.seeds_and_images(section)
        if together:
            expected["seeds-and-images"] = together
        assert tables.keys() == expected.keys()
        compared += sum(compare(tables[name], cells) for name, cells in expected.items())
        for name in marked.keys() & tables.keys():
            found = bold_of(tables[name])
            for column, labels in marked[name].items():
                assert found[column] == labels, (name, column)
                bold += len(labels)
    assert (compared, bold) == EXPECTED[protocol][:2]


@pytest.mark.parametrize("protocol", sorted(EXPECTED))
def test_what_draw_0_says_is_what_its_bits_say(protocol: str) -> None:
    _, pairs = recomputed(protocol)
    for where, stored, counted in pairs:
        assert math.isclose(stored, counted, rel_tol=1e-12, abs_tol=1e-12), where
    assert len(pairs) == EXPECTED[protocol][2]


def test_every_number_of_the_table_over_all_protocols() -> None:
    """Of sections on the same images the one of the full budget stands."""
    found = build_overview(sections_of_all())
    assert found is not None
    chosen = ["cifar100-lt", "digits-lt"]
    assert [section.key.protocol for section in found.sections] == chosen
    sections = [recomputed(protocol)[0][""] for protocol in chosen]
    assert compare(overview_table(found, ""), overall(sections)) == 14 * 4


def test_every_published_protocol_is_compared() -> None:
    assert reported().keys() == EXPECTED.keys()
