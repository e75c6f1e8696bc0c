"""Table of the accuracy at mixes of classes that a user stated."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from ltbench.report.rows.rows import Row
from ltbench.report.rows.sections import Section, TestSet
from ltbench.report.statistics.regret import mean_regret, oracles
from ltbench.report.tables.captions import caption, marked, row_notes
from ltbench.report.tables.images_told import images_told
from ltbench.report.tables.kind import TableKind
from ltbench.report.tables.marks import Marks, Pick
from ltbench.report.tables.order import Group, blocks_of, groups_by_mean, groups_of
from ltbench.report.tables.shift import LABEL, REGRET, SEEDS, at, columns_of, mean_over, seeds_of
from ltbench.report.tables.table import Table, Value

_MOST = 6  # classes of a mix that a caption lists


def mixes_table(section: Section, ltbench_version: str) -> Table | None:
    """Methods by mixes, and their regret there; by descending mean unless blocks were asked for."""
    tests = section.mixes
    if not tests:
        return None
    regrets = mean_regret(oracles(section.everything), tests)
    picks: list[Pick] = [at(test.name) for test in tests]
    columns = [*columns_of(tests)]
    known = any(regrets(row) for row in section.rows)
    if known:
        picks.append(regrets)
        columns.append(REGRET)
    marks = Marks(section.rows, picks, frozenset([len(picks) - 1] if known else []))
    groups: Sequence[Group] = groups_of(section.rows, section.group_by)
    if not section.group_by:
        groups = groups_by_mean(section.rows, mean_over(tests))

    def lines(row: Row) -> Iterator[tuple[Value, ...]]:
        cells = marks.cells(row)
        yield (marked(row), seeds_of(cells[: len(tests)]), *cells)

    what = "Top-1 accuracy (%) at mixes of classes as stated by the user, of"
    told = "".join(f" {test.short}: {shares_told(section, test)}." for test in tests)
    text = caption(section, what, section.rows, tests, ltbench_version) + told
    text += " Counts of a set are rounded to whole images." + images_told(section.rows, tests)
    return Table(
        name="mixes",
        title="Top-1 accuracy at stated mixes of classes",
        caption=text + "".join(column.explained for column in columns) + marks.caption(),
        columns=(LABEL, SEEDS, *columns),
        blocks=blocks_of(groups, lines),
        notes=(
            *row_notes(section, section.rows),
            *marks.notes(section.rows, tests[0].short, at(tests[0].name)),
        ),
    )


def stated_shares(section: Section, test: TestSet) -> tuple[float, ...] | None:
    """``(C,)`` the shares that define a mix; None where no record tells them."""
    for row in section.everything:
        for distribution in row.results.get(test.name, {}).values():
            shares = json.loads(distribution.definition).get("shares")
            if isinstance(shares, list) and len(shares) == len(section.class_names):
                return tuple(float(share) for share in shares)
    return None


def shares_told(section: Section, test: TestSet) -> str:
    """``"benign 95 %, malignant 5 %"``, the largest shares first; how many classes have none."""
    shares = stated_shares(section, test)
    if shares is None:
        return "its shares are not in the records"
    order = sorted(range(len(shares)), key=lambda c: (-shares[c], c))
    present = [c for c in order if shares[c] > 0]
    parts = [f"{section.class_names[c]} {100 * shares[c]:.3g} %" for c in present[:_MOST]]
    if len(present) > _MOST:
        parts.append(f"{len(present) - _MOST} more")
    absent = len(shares) - len(present)
    none = (
        f"; {absent} {'class' if absent == 1 else 'classes'} not named, share 0" if absent else ""
    )
    return ", ".join(parts) + none


TABLES = (TableKind(15, mixes_table),)
