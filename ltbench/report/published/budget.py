"""Whether a section was trained for less than the published figures of its protocol."""

from __future__ import annotations

from ltbench.report.published.quoted import published_epochs
from ltbench.report.rows.sections import Section

SHORT = "short budget"


def epochs_of(section: Section) -> tuple[int, ...]:
    """Different numbers of epochs in its records, ascending."""
    found = {e.trial.cost.epochs for row in section.everything for e in row.evaluations}
    return tuple(sorted(epochs for epochs in found if epochs is not None))


def short_budget(section: Section) -> tuple[int, int] | None:
    """(least epochs here, published epochs) where here is less; None elsewhere.

    A protocol without published figures of a stated budget has nothing to fall short of.
    """
    epochs, published = epochs_of(section), published_epochs(section.key.protocol)
    if not epochs or published is None or epochs[0] >= published:
        return None
    return epochs[0], published
