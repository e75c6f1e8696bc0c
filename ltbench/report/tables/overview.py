"""Over all protocols together: interquartile means, mean ranks, profiles, critical difference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ltbench.report.rows.rows import Row
from ltbench.report.rows.same_images import by_images
from ltbench.report.rows.sections import Section
from ltbench.report.rows.strictness import epochs
from ltbench.report.rows.summary import Summary
from ltbench.report.statistics.aggregate import SMALLEST_BLOCKS, Interval, iqm, mean_ranks
from ltbench.report.tables.captions import footnotes, marked, seeds_text
from ltbench.report.tables.shift import at
from ltbench.report.tables.table import Block, Column, Shown, Table, Value

FOLDER = "overall"


@dataclass(frozen=True)
class Overview:
    """Methods that every chosen section has under every of its distributions.

    ``rows[label]`` holds a row per section, ``scores[label]`` an array over seeds per setting
    (section and distribution), ``blocks`` ``(N, K)`` the mean of each label (columns, in order) per
    section.
    """

    sections: tuple[Section, ...]
    left_out: tuple[Section, ...]
    rows: Mapping[str, tuple[Row, ...]]
    scores: Mapping[str, tuple[NDArray[np.float64], ...]]
    blocks: NDArray[np.float64]


def build_overview(sections: Sequence[Section]) -> Overview | None:
    """``None`` where there are not two data sets with two methods in common.

    Sections on the same test images are no independent evidence, nor are those on an encoder's features of
    them: of those the one with the largest budget stands, then the one without a variant.
    """
    grouped = by_images([s for s in sections if s.key.mode == "clean" and s.shifts])
    chosen = tuple(sorted((min(group, key=_preference) for group in grouped), key=lambda s: s.key))
    if len(chosen) < 2:
        return None
    found: dict[str, tuple[NDArray[np.float64], ...]] = {}
    rows: dict[str, tuple[Row, ...]] = {}
    for row in chosen[0].rows:
        alike = [other for section in chosen for other in section.rows if other.label == row.label]
        if row.uses_true_prior or len(alike) < len(chosen):
            continue
        scores = _scores(alike, chosen)
        if scores is not None:
            found[row.label] = scores
            rows[row.label] = tuple(alike)
    if len(found) < 2:
        return None
    blocks = np.array([_block_means(scores, chosen) for scores in found.values()]).T
    rest = tuple(s for s in sections if s not in chosen)
    return Overview(chosen, rest, rows, found, blocks)


def _preference(section: Section) -> tuple[int, bool, object]:
    return (-max(epochs(section), default=0), bool(section.key.variant), section.key)


def _scores(
    rows: Sequence[Row], chosen: Sequence[Section]
) -> tuple[NDArray[np.float64], ...] | None:
    settings = []
    for row, section in zip(rows, chosen, strict=True):
        for test in section.shifts:
            values = [v for v in at(test.name)(row).values() if v is not None]
            if not values:
                return None
            settings.append(np.array(values))
    return tuple(settings)


def _block_means(scores: Sequence[NDArray[np.float64]], chosen: Sequence[Section]) -> list[float]:
    means, start = [], 0
    for section in chosen:
        stop = start + len(section.shifts)
        means.append(float(np.mean([values.mean() for values in scores[start:stop]])))
        start = stop
    return means


def overview_table(overview: Overview, ltbench_version: str) -> Table:
    """Interquartile mean with its interval, and mean rank over the data sets."""
    ranks = dict(zip(overview.scores, mean_ranks(overview.blocks), strict=True))
    found = {label: iqm(scores) for label, scores in overview.scores.items()}
    lines = [
        (
            marked(*overview.rows[label]),
            _seeds(scores),
            _cell(found[label], scores),
            Summary(float(ranks[label]), None, 0),
        )
        for label, scores in sorted(overview.scores.items(), key=lambda item: -found[item[0]].value)
    ]
    names = "; ".join(section.title for section in overview.sections)
    count = sum(len(section.shifts) for section in overview.sections)
    few = (
        ""
        if len(overview.sections) >= SMALLEST_BLOCKS
        else f" No critical difference below {SMALLEST_BLOCKS} independent data sets."
    )
    return Table(
        name="overall",
        title="All protocols together",
        caption="Interquartile mean (IQM) of top-1 accuracy (%) over the seeds"
        f" ({seeds_text(len(values) for scores in overview.scores.values() for values in scores)}) of"
        f" {count} test label distributions of {len(overview.sections)} data sets ({names}):"
        " the mean of the middle half of all runs, every distribution with equal weight,"
        " whatever its number of seeds; ± is"
        " half the length of the 95 % percentile interval of a bootstrap over seeds inside each"
        " distribution (10,000 resamples), none below three seeds. Rank: mean over the data sets"
        f" of the rank in the mean over distributions, 1 the best. n: seeds, a span where"
        f" distributions differ in it.{few} Rows without a result"
        f" somewhere and rows that know the true prior are left out. ltbench {ltbench_version}.",
        columns=(
            Column("method", "Method", text=True),
            Column("n", "n", plain=True),
            Column("iqm", "IQM"),
            Column("rank", "Rank", digits=2),
        ),
        blocks=(Block(tuple(lines)),),
        notes=_notes(overview),
    )


def _notes(overview: Overview) -> tuple[str, ...]:
    """The footnotes of the rows, each with its section; and the sections that are left out."""
    notes = []
    for place, section in enumerate(overview.sections):
        rows = [rows[place] for rows in overview.rows.values()]
        notes += [f"{note} ({section.title})" for note in footnotes(section, rows)]
    notes += [f"left out, {_reason(section)}: {section.title}" for section in overview.left_out]
    return tuple(notes)


def _reason(section: Section) -> str:
    if section.key.mode != "clean":
        return f"evaluation mode {section.key.mode}"
    if not section.shifts:
        return "without forward, uniform or backward test sets"
    return "on the same test images as another"


def _seeds(scores: Sequence[NDArray[np.float64]]) -> Value:
    sizes = sorted({len(values) for values in scores})
    return sizes[0] if len(sizes) == 1 else Shown(f"{sizes[0]}–{sizes[-1]}", sizes[0])


def _cell(interval: Interval, scores: Sequence[NDArray[np.float64]]) -> Summary:
    n = min(len(values) for values in scores)
    if interval.low is None or interval.high is None:
        return Summary(interval.value, None, n)
    return Summary(interval.value, (interval.high - interval.low) / 2.0, n)
