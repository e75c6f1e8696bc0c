"""The table over all protocols: interquartile means and mean ranks by their definitions."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .accuracy import Cells
from .records import Section
from .student import mean


def overall(sections: Sequence[Section]) -> Cells:
    """Of the rows that every section has under every distribution and that do not know the prior."""
    labels = [
        label
        for label, row in sections[0].rows.items()
        if not row.knows_prior and all(label in section.rows for section in sections)
    ]
    ranks = [_ranks({x: _mean(section, x) for x in labels}) for section in sections]
    table: Cells = {}
    for label in labels:
        settings = [
            list(section.rows[label].draws(name, "top1").values())
            for section in sections
            for name in section.shifts
        ]
        n = min(len(values) for values in settings)
        assert n < 3, "an interval is expected"
        table[label,] = {
            "n": float(n),
            "iqm": (interquartile_mean(settings), None, n),
            "rank": (mean([own[label] for own in ranks]), None, None),
        }
    return table


def interquartile_mean(settings: Sequence[Sequence[float]]) -> float:
    """Runs repeated until each setting has as many; a quarter of them cut at either end."""
    most = math.lcm(*(len(values) for values in settings))
    runs = sorted(v for values in settings for v in values for _ in range(most // len(values)))
    cut = len(runs) // 4
    return mean(runs[cut : len(runs) - cut])


def _mean(section: Section, label: str) -> float:
    row = section.rows[label]
    return mean([mean(list(row.draws(name, "top1").values())) for name in section.shifts])


def _ranks(means: dict[str, float]) -> dict[str, float]:
    """1 the best; equal ones share: those above, and half of those beside it."""
    rounded = {label: round(m, 9) for label, m in means.items()}
    return {
        label: 1
        + sum(o > m for o in rounded.values())
        + (sum(o == m for o in rounded.values()) - 1) / 2
        for label, m in rounded.items()
    }
