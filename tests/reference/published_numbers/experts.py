"""Tables of single experts: a strategy does not change them, so that one row of a training is shown."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .accuracy import Cells, counted
from .records import GROUPS, Row, Section
from .student import cell, mean


def one_row_each(section: Section, size: Callable[[Row], Any]) -> list[Row]:
    """Of each training with several experts the row of the largest ``size``, of equal ones the first."""
    chosen: dict[str, Row] = {}
    for row in section.rows.values():
        best = chosen.get(row.training)
        if row.experts > 1 and (best is None or size(row) > size(best)):
            chosen[row.training] = row
    return list(chosen.values())


def most_records(row: Row) -> tuple[int, int, int]:
    """Seeds, then draws, then the shorter label."""
    draws = sum(len(d["draws"]) for e in row.seeds.values() for d in e["distributions"].values())
    return len(row.seeds), draws, -len(row.label)


def experts_shift(section: Section) -> Cells:
    table: Cells = {}
    for row in one_row_each(section, most_records):
        for k in range(row.experts):
            cells = {name: cell(of_expert(row, name, "expert_top1", k)) for name in section.shifts}
            table[row.label, str(k + 1)] = counted(cells, cells)
    return table


def expert_weights(section: Section) -> Cells:
    table: Cells = {}
    for row in section.rows.values():
        found = {n: of_expert(row, n, "expert_weights", 0) for n in section.shifts}
        for k in range(row.experts) if any(found.values()) else ():
            cells = {n: cell(of_expert(row, n, "expert_weights", k)) for n in section.shifts}
            table[row.label, str(k + 1)] = counted(cells, cells)
    return table


def of_expert(row: Row, name: str, key: str, k: int) -> list[float]:
    """Of each seed the mean over draws."""
    found = [[d.get(key) for d in one["draws"].values()] for one in row.sets(name).values()]
    known = [[values[k] for values in draws if values is not None] for draws in found]
    return [mean(values) for values in known if values]


def experts_groups(section: Section) -> Cells:
    """Recalls of each expert alone; group means are taken from its recalls by class."""
    table: Cells = {}
    for row in one_row_each(section, most_records):
        members = row.first["groups"]
        for k in range(row.experts):
            found = [one["draws"]["0"]["experts"][k] for one in row.sets("uniform").values()]
            cells = {}
            for g in GROUPS[:3]:
                recalls = [[own["per_class"][c] for c in members[g]] for own in found]
                cells[g] = cell([mean(values) for values in recalls if values])
            cells["all"] = cell([mean(own["per_class"]) for own in found])
            table[row.label, str(k + 1)] = counted(cells, cells)
    return table


def stability(section: Section) -> Cells:
    """Cosine similarity of class probabilities on two views, where a strategy measured it."""

    def measured(row: Row) -> tuple[bool, int, int, str]:
        known = any(_agreement(one) for one in row.sets("uniform").values())
        reverse = "".join(chr(0x10FFFF - ord(letter)) for letter in row.label)  # the first wins
        return known, len(row.seeds), -len(row.label), reverse

    table: Cells = {}
    for row in one_row_each(section, measured):
        found = [a for one in row.sets("uniform").values() if (a := _agreement(one))]
        for k in range(row.experts) if found else ():
            cells = {g: cell([own[k][g] for own in found if own[k][g] is not None]) for g in GROUPS}
            table[row.label, str(k + 1)] = counted(cells, cells)
    return table


def _agreement(one: Any) -> Any:
    return (one["draws"]["0"].get("agreement") or {}).get("experts")
