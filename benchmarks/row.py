"""A row of the comparison: what was timed, the ratios, and what had to be equal."""

from __future__ import annotations

from dataclasses import dataclass, field

from benchmarks.timing import Spread


@dataclass
class Row:
    """``measured``: name to (unit, spread); ``ratios``: name to spread; a goal names one of either.

    ``checks`` states what was compared besides time, each with its outcome; ``notes`` which part was
    timed on a sample and extrapolated, and whatever else a reader must know.
    """

    name: str
    title: str
    measured: dict[str, tuple[str, Spread]] = field(default_factory=dict)
    ratios: dict[str, Spread] = field(default_factory=dict)
    checks: dict[str, bool] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    """What could not be measured here, and why."""
