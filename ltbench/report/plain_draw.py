"""A draw as ltbench writes it, read at once: most of a large results folder is draws.

Whatever is not plainly right is left to the careful reading, which says what is wrong and where.
"""

from __future__ import annotations

import math
from typing import Any

from ltbench.report.schema import Draw

_NO_NUMBER = object()


def plain_draw(number: str, raw: object, experts: int, classes: int) -> Draw | None:
    """None where anything is unusual."""
    if not (isinstance(raw, dict) and number.isascii() and number.isdecimal()):
        return None
    n = raw.get("n")
    if type(n) is not int or not 0 <= n < 2**62 or type(raw.get("top1")) is not float:
        return None
    error, exact = raw.get("prior_error"), raw.get("exact")
    if not all(block is None or isinstance(block, dict) for block in (error, exact)):
        return None
    numbers = [
        _number(raw.get("top1"), 100.0),
        _number(raw.get("macro"), 100.0),
        _number(raw.get("nll"), math.inf),
        _number(raw.get("ece"), 100.0),
        _number(error.get("l1") if error else None, math.inf),
        _number(error.get("kl") if error else None, math.inf),
        _number(exact.get("top1") if exact else None, 100.0),
        _number(exact.get("se") if exact else None, math.inf),
    ]
    vectors = [
        _vector(raw.get("expert_top1"), experts, 100.0),
        _vector(raw.get("expert_weights"), experts, math.inf),
        _vector(raw.get("prior"), classes, math.inf),
    ]
    if _NO_NUMBER in numbers or _NO_NUMBER in vectors:
        return None
    top1, macro, nll, ece, l1, kl, exact_top1, exact_se = numbers
    if (error and l1 is None) or (exact and (exact_top1 is None or exact_se is None)):
        return None
    return Draw(
        int(number), n, top1, macro, nll, ece, vectors[0], vectors[1], vectors[2],
        l1, math.inf if error and kl is None else kl, exact_top1, exact_se,
    )  # fmt: skip


def _number(value: object, high: float) -> Any:
    if value is None or (type(value) is float and 0.0 <= value <= high and value < math.inf):
        return value
    return _NO_NUMBER


def _vector(value: object, length: int, high: float) -> Any:
    if value is None:
        return None
    if not isinstance(value, list) or len(value) != length:
        return _NO_NUMBER
    if all(type(item) is float and 0.0 <= item <= high for item in value) and math.inf not in value:
        return tuple(value)
    return _NO_NUMBER
