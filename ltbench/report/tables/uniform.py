"""Tables on the uniform test set: many, medium, few and all classes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ltbench.report.records.schema import GROUPS, Recalls
from ltbench.report.rows.rows import Row
from ltbench.report.rows.sections import Section
from ltbench.report.rows.summary import summarise, tied
from ltbench.report.tables.captions import caption, marked, row_notes
from ltbench.report.tables.experts import trained_once
from ltbench.report.tables.infinite import infinite_notes
from ltbench.report.tables.kind import TableKind
from ltbench.report.tables.marks import Marks, Pick
from ltbench.report.tables.shift import (
    EXPERT,
    LABEL,
    PARAMETERS,
    SEEDS,
    at,
    blocks,
    seeds_of,
)
from ltbench.report.tables.table import NOT_APPLICABLE, Block, Column, Table, Value

NLL = Column("nll", "NLL", digits=2)
ECE = Column("ece", "ECE", digits=3)
BRIER = Column("brier", "Brier", digits=3)
TOP5 = Column("top5", "Top-5")
_MORE_THAN_FIVE = 6  # classes from which on the five highest scores can miss the label


def recalls_of(row: Row, uniform: str, expert: int | None = None) -> dict[int, Recalls]:
    """Recalls per seed: of the whole method, or of one expert alone."""
    found: dict[int, Recalls] = {}
    for seed, distribution in sorted(row.results.get(uniform, {}).items()):
        if expert is None and distribution.recalls is not None:
            found[seed] = distribution.recalls
        elif expert is not None and expert < len(distribution.experts):
            found[seed] = distribution.experts[expert]
    return found


def groups_table(section: Section, ltbench_version: str) -> Table | None:
    """Methods by class groups, with the quality of their probabilities."""
    uniform = section.uniform
    if uniform is None or not any(recalls_of(row, uniform) for row in section.rows):
        return None
    measured = (*GROUPS, "all")
    picks: list[Pick] = [_group(uniform, name) for name in measured]
    nll = at(uniform, lambda draw: draw.nll)
    picks += [nll, at(uniform, lambda draw: draw.ece)]
    quality = [NLL, ECE]
    lower = {4, 5}
    # Records of before these were measured get no empty column.
    brier, top5 = at(uniform, lambda draw: draw.brier), at(uniform, lambda draw: draw.top5)
    if _measured(section, brier):
        lower.add(len(picks))
        picks.append(brier)
        quality.append(BRIER)
    if len(section.class_names) >= _MORE_THAN_FIVE and _measured(section, top5):
        picks.append(top5)
        quality.append(TOP5)
    marks = Marks(section.rows, picks, lower=frozenset(lower))

    def lines(row: Row) -> Iterator[tuple[Value, ...]]:
        known = bool(recalls_of(row, uniform))
        found = marks.cells(row)
        cells: list[Value] = [_or_not_applicable(cell, known) for cell in found[: len(measured)]]
        yield (marked(row), row.parameters, seeds_of(cells), *cells, *found[len(measured) :])

    what = "Accuracy (%) on the uniform test set by class group (mean recall of its classes) of"
    return Table(
        name="groups",
        title="Many, medium and few-shot classes on the uniform test set",
        caption=caption(section, what, section.rows, (), ltbench_version)
        + _explain(recalls_of(row, uniform) for row in section.rows)
        + " NLL in nats; ECE: expected calibration error, 15 equal bins, in [0, 1]"
        + (
            "; Brier: sum over classes of squared errors, in [0, 2]; all"
            if BRIER in quality
            else "; both"
        )
        + " lower is better."
        + (" Top-5: the label is among the five highest scores (%)." if TOP5 in quality else "")
        + marks.caption(),
        columns=(LABEL, PARAMETERS, SEEDS, *group_columns(section), *quality),
        blocks=blocks(section, lines),
        notes=(
            *infinite_notes(section.rows, "NLL", {"the uniform set": nll}),
            *row_notes(section, section.rows),
            *marks.notes(section.rows, "All", _group(uniform, "all")),
        ),
    )


def _measured(section: Section, pick: Pick) -> bool:
    return any(value is not None for row in section.rows for value in pick(row).values())


def _group(uniform: str, name: str) -> Pick:
    return lambda row: {
        seed: found.groups.get(name) for seed, found in recalls_of(row, uniform).items()
    }


def _or_not_applicable(cell: Value, known: bool) -> Value:
    """No number although there are records: the group has no class or none with test images."""
    return NOT_APPLICABLE if cell is None and known else cell


def expert_groups_table(section: Section, ltbench_version: str) -> Table | None:
    """Single experts by class groups: the evidence that experts differ in skill."""
    uniform = section.uniform
    if uniform is None:
        return None
    rows = trained_once(section.rows, lambda row: bool(recalls_of(row, uniform, 0)))
    if not rows:
        return None

    def lines(row: Row) -> Iterator[tuple[Value, ...]]:
        for expert in range(row.experts):
            cells = _cells(section, recalls_of(row, uniform, expert))
            yield (marked(row), expert + 1, seeds_of(cells), *cells)

    what = "Accuracy (%) of each expert alone on the uniform test set by class group of"
    return Table(
        name="experts-groups",
        title="Each expert alone on the uniform test set",
        caption=caption(section, what, rows, (), ltbench_version)
        + _explain(recalls_of(row, uniform, 0) for row in rows),
        columns=(LABEL, EXPERT, SEEDS, *group_columns(section)),
        blocks=tuple(Block(tuple(lines(row))) for row in rows),
        notes=row_notes(section, rows),
    )


def group_columns(section: Section, digits: int = 1) -> tuple[Column, ...]:
    named = [Column(g, f"{g.capitalize()} ({len(section.groups[g])})", digits) for g in GROUPS]
    return (*named, Column("all", "All", digits))


def _cells(section: Section, recalls: dict[int, Recalls]) -> list[Value]:
    cells: list[Value] = []
    for group in (*GROUPS, "all"):
        cell = summarise(found.groups.get(group) for found in recalls.values())
        cells.append(_or_not_applicable(cell, bool(recalls)))
    return cells


def _explain(recalls: Iterable[dict[int, Recalls]]) -> str:
    text = " In brackets: number of classes."
    found = [one for seeds in recalls for one in seeds.values()]
    if any(one.groups.get(g) is None for one in found for g in GROUPS):
        text += " n/a: the group has no class with test images."
    if any(map(_is_by_image, found)):
        text += (
            " One group holds all classes, which differ in size on this set: there All is the share of"
            " images, the group the mean recall of its classes."
        )
    return text


def _is_by_image(found: Recalls) -> bool:
    """Whether one group holds all classes and All has another number: records of a uniform set that
    was not made uniform."""
    present = [value for g in GROUPS if (value := found.groups.get(g)) is not None]
    whole = found.groups.get("all")
    return len(present) == 1 and whole is not None and not tied(present[0], whole)


TABLES = (
    TableKind(30, groups_table),
    TableKind(40, expert_groups_table),
)
