"""Oracles that do worse than the same method without a prior: the bias must be wrong."""

from __future__ import annotations

from collections.abc import Sequence

from ltbench.report.records.names import is_shift
from ltbench.report.rows.rows import Row
from ltbench.report.rows.summary import mean_of

FAR_BELOW = 5.0
"""Points on one test distribution, and half of them on average, that are too many for chance."""


def oracle_notes(rows: Sequence[Row], kinds: dict[str, str]) -> list[str]:
    """One line for each oracle far below ``none`` of the same training. kinds: by test set."""
    notes = []
    for oracle in rows:
        if oracle.strategy != "oracle":
            continue
        for plain in rows:
            same = (plain.method, plain.training, plain.recipe) == (
                oracle.method,
                oracle.training,
                oracle.recipe,
            )
            if plain.strategy == "none" and same:
                losses = _losses(plain, oracle, kinds)
                average = mean_of(losses.values()) if losses else None
                worst = max(losses, key=lambda name: losses[name], default="")
                if average is not None and average > FAR_BELOW / 2 and losses[worst] > FAR_BELOW:
                    notes.append(
                        f"{oracle.label} is {losses[worst]:.1f} points below {plain.label} on {worst}: "
                        "the bias that is stated for the logits, or the logits themselves, cannot be "
                        "right, and all that reasons about priors is in doubt"
                    )
    return notes


def _losses(plain: Row, oracle: Row, kinds: dict[str, str]) -> dict[str, float]:
    found = {}
    for name in plain.results:
        before, after = (mean_of(row.top1(name).values()) for row in (plain, oracle))
        if is_shift(kinds.get(name, "")) and before is not None and after is not None:
            found[name] = before - after
    return found
