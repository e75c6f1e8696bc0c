"""What the page computes accuracies at any mix of classes from: hits per class, exactly."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ltbench.report.figures.style import Look
from ltbench.report.rows.sections import Section
from ltbench.report.rows.summary import SMALLEST_N, t_quantile
from ltbench.report.statistics.binned import SHOWN_CLASSES
from ltbench.report.statistics.mix import FixedRow, fixed_rows

_WHOLE = 1e-6  # of an image


def mix_data(section: Section, looks: Mapping[str, Look]) -> dict[str, object] | None:
    """Classes with their training counts, and of every row that does not adapt the hits of each seed.

    ``sizes``: test images of each class; ``hits``: how many of them are right, whole numbers, of which
    recalls come without rounding. Where records do not tell the images, ``sizes`` is None and hits are
    recalls. ``t``: quantile for an interval over seeds, None below three seeds. None where there is no
    such row, and of thousands of classes, which would be most of the page; `ltbench decide` has them.
    """
    rows = fixed_rows(section) if len(section.class_names) <= SHOWN_CLASSES else []
    if not rows:
        return None
    return {
        "names": list(section.class_names),
        "train": list(section.train_counts),
        "rows": [_row(one, looks[one.row.label]) for one in rows],
    }


def _row(one: FixedRow, look: Look) -> dict[str, object]:
    n = len(one.seeds)
    sizes = None if one.sizes is None else [int(size) for size in one.sizes]
    return {
        "label": one.row.label,
        "colour": look.colour,
        "marker": look.marker,
        "dashes": [] if isinstance(look.line, str) else list(look.line[1]),
        "t": round(t_quantile(n), 6) if n >= SMALLEST_N else None,
        "sizes": sizes,
        "hits": [_hits(recalls, one.sizes) for recalls in one.recalls],
    }


def _hits(
    recalls: NDArray[np.float64], sizes: NDArray[np.float64] | None
) -> list[int | float | None]:
    """A mean over draws need not be whole; it keeps what it has."""
    found: list[int | float | None] = []
    for hits in (recalls if sizes is None else recalls * sizes).tolist():
        if np.isnan(hits):
            found.append(None)
        else:
            whole = sizes is not None and abs(hits - round(hits)) < _WHOLE
            found.append(round(hits) if whole else hits)
    return found
