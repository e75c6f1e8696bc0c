"""Heat map of the regret to the oracle, methods by test distributions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.colors import LinearSegmentedColormap

from ltbench.report.figures.drawing import Drawing, new_figure, wrapped_labels
from ltbench.report.figures.kind import FigureKind
from ltbench.report.figures.rows import leading_rows
from ltbench.report.figures.style import COLOURS, COLUMN_WIDTH
from ltbench.report.rows.sections import Section
from ltbench.report.rows.summary import mean_of
from ltbench.report.statistics.regret import oracles, regret

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LOWEST = "#f3f0ef"
_HIGHEST = COLOURS[1]  # black on it has a contrast of 5 to 1, on all that is lighter more


def regret_figure(section: Section) -> Drawing | None:
    """Points behind the oracle of the same trial; every cell also prints its number."""
    tests = section.shifts
    known = oracles(section.everything)
    rows, left_out = leading_rows(
        [row for row in section.rows if any(regret(row, known, t.name) for t in tests)], section
    )
    if not rows or len(tests) < 2:
        return None
    values = [[mean_of(regret(row, known, t.name).values()) for t in tests] for row in rows]
    present = [v for line in values for v in line if v is not None]
    if not present:
        return None
    width = max(COLUMN_WIDTH, 0.9 + 0.36 * len(tests))
    names = wrapped_labels([row.label for row in rows], 28)
    tall = 0.26 if any("\n" in name for name in names) else 0.22
    figure = new_figure(0.75 + tall * len(rows), width)
    _heat_map(figure.add_subplot(), values, [test.short for test in tests], names)
    return Drawing(
        name="regret",
        caption="Regret: top-1 accuracy of the oracle of the same trial, which knows the true test"
        f" prior, minus that of the method, in points, mean over draws and seeds."
        f" It can be negative: with overconfident posteriors the oracle is no upper bound.{left_out}",
        figure=figure,
        head=("method", "distribution", "regret"),
        data=tuple(
            (row.label, test.name, value)
            for row, line in zip(rows, values, strict=True)
            for test, value in zip(tests, line, strict=True)
        ),
    )


def _heat_map(
    axes: Axes, values: Sequence[Sequence[float | None]], across: Sequence[str], down: Sequence[str]
) -> None:
    """Not seaborn's, which is longer to import than all figures take to draw."""
    present = [value for line in values for value in line if value is not None]
    mesh = axes.pcolormesh(
        np.ma.masked_invalid(np.array(values, dtype=np.float64)),  # what is not known stays empty
        vmin=min(0.0, *present),
        vmax=max(1.0, *present),
        cmap=LinearSegmentedColormap.from_list("regret", [_LOWEST, _HIGHEST]),
    )
    axes.set_xticks(np.arange(len(across)) + 0.5, across)
    axes.set_yticks(np.arange(len(down)) + 0.5, down, va="center")
    for y, line in enumerate(values):
        for x, value in enumerate(line):
            if value is not None:
                text = f"{value:.1f}".replace("-0.0", "0.0")
                axes.text(x + 0.5, y + 0.5, text, fontsize=6, ha="center", va="center")
    axes.invert_yaxis()
    axes.spines[:].set_visible(False)
    axes.grid(visible=False)
    axes.tick_params(length=0)
    figure = axes.get_figure()
    assert figure is not None
    bar = figure.colorbar(mesh, ax=axes, label="regret (points)", pad=0.02, fraction=0.05)
    bar.outline.set_linewidth(0)


FIGURES = (FigureKind(80, lambda section, looks: regret_figure(section)),)
