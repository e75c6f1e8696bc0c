"""Heat map of the regret to the oracle, methods by test distributions."""

from __future__ import annotations

import math

from ltbench.report.figures import Drawing, new_figure, short_label
from ltbench.report.figures_rows import leading_rows
from ltbench.report.regret import oracles, regret
from ltbench.report.sections import Section
from ltbench.report.statistics import mean_of
from ltbench.report.style import COLUMN_WIDTH

_DARK = 0.55  # of the scale: above, white text is read better


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
    figure = new_figure(0.75 + 0.22 * len(rows), width)
    axes = figure.add_subplot()
    low, high = min(0.0, *present), max(1.0, *present)
    cells = [[math.nan if v is None else v for v in line] for line in values]
    image = axes.imshow(cells, cmap="cividis_r", vmin=low, vmax=high, aspect="auto")
    for y, line in enumerate(values):
        for x, value in enumerate(line):
            if value is None:
                continue
            dark = (value - low) / (high - low) > _DARK
            text = f"{value:.1f}".replace("-0.0", "0.0")
            axes.text(
                x, y, text, ha="center", va="center", fontsize=6, color="white" if dark else "black"
            )
    axes.set_xticks(range(len(tests)), [test.short for test in tests])
    axes.set_yticks(range(len(rows)), [short_label(row.label, 26) for row in rows])
    axes.grid(visible=False)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    bar = figure.colorbar(image, ax=axes, pad=0.02, fraction=0.05)
    bar.set_label("regret (points)")
    bar.outline.set_linewidth(0.4)
    return Drawing(
        name="regret",
        caption="Regret: top-1 accuracy of the oracle of the same trial, which knows the true test"
        f" prior, minus that of the method, in points, mean over draws and seeds.{left_out}",
        figure=figure,
        head=("method", "distribution", "regret"),
        data=tuple(
            (row.label, test.name, value)
            for row, line in zip(rows, values, strict=True)
            for test, value in zip(tests, line, strict=True)
        ),
    )
