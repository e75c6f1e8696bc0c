"""How a training ends without a result: the ``status`` of ``failed.json``."""

from __future__ import annotations

ENDINGS = {
    "diverged": "loss, weights or logits became NaN or infinite",
    "oom": "memory, of the device or of the machine, was not enough",
    "timeout": "it ran longer than --timeout",
    "failed": "any other error",
    "interrupted": "it was stopped and goes on with the same command",
}
"""In the order in which a report counts them. The same command tries all of them again."""
