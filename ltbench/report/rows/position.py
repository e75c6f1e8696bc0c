"""Where a test distribution stands on the spectrum from forward to backward."""

from __future__ import annotations

import math

from ltbench.report.rows.sections import TestSet


def position(test: TestSet) -> float:
    """``-log ratio`` for forward, 0 for uniform, ``+log ratio`` for backward."""
    if test.kind == "uniform" or test.ratio is None:
        return 0.0
    distance = math.log(test.ratio)
    return -distance if test.kind == "forward" else distance
