"""Events at a rate that a network carries."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from ltbench.execute.engine import Event

SECONDS = 0.5
"""Between two events of how far a stage, or the training, is; its last one is always told."""


def bounded(
    emit: Callable[[Event], None], clock: Callable[[], float] = time.monotonic
) -> Callable[[Event], None]:
    """``emit`` without most of the ``stage`` and ``epoch`` events of a fast trial."""
    last: dict[str, float] = {}

    def tell(event: Event) -> None:
        kind = event["event"]
        if kind in ("stage", "epoch"):
            done, total = ("done", "total") if kind == "stage" else ("epoch", "epochs")
            now = clock()
            if event[done] < event[total] and now - last.get(kind, -math.inf) < SECONDS:
                return
            last[kind] = now
        emit(event)

    return tell
