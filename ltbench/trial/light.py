"""Evaluations and streams as they are stored: one line, and of every number only what is needed.

What a table, a test or a statistic reads stays to the last bit; what remains for people to look at is
rounded, and whole estimated priors are kept of draw 0 alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ltbench.files import json_text
from ltbench.trial.checked import write_checked
from ltbench.trial.class_values import DIGEST, taken_out, write_values

PRIOR_DIGITS = 4
"""Significant digits of a stored prior: a point of a figure, told apart by its place."""
_DIAGNOSTIC_DIGITS = 6
READ_DIAGNOSTICS = frozenset(
    {"converged", "failed", "calibrated", "clipped", "rank", "at_limit", "chosen"}
)
"""What the notes of a report read: left as it is, so that no comparison can turn out otherwise."""
_NULL_IS_ABSENT = ("prior", "expert_weights")
"""Of ``nll`` and others null says something else."""
_WHOLE = "0"
"""The draw that keeps its prior, as it keeps the bits of its images."""


def write_record(path: Path, record: Mapping[str, Any]) -> None:
    """An evaluation or a stream, light, whole or not at all. NaN and infinities are refused.

    Of thousands of classes, lists by class go into a file beside it (:mod:`ltbench.trial.class_values`).
    """
    slim, arrays = taken_out(light(record))
    if arrays:  # first: a record without its values would not be readable
        slim[DIGEST] = write_values(path, arrays)
    write_checked(path, slim, indent=None)


def light_text(record: Mapping[str, Any]) -> str:
    return json_text(light(record), indent=None)


def light(record: Mapping[str, Any]) -> dict[str, Any]:
    """The same record without what nothing reads; light already: equal to what it was.

    Where a draw has a prior its sums over the class groups, in per cent, become ``prior_groups``,
    from the prior as it was measured; then the prior goes, but for draw 0, where it is rounded.
    """
    groups = record.get("groups", {})
    found = {
        name: {**entry, "draws": _draws(entry["draws"], groups)} if "draws" in entry else entry
        for name, entry in record["distributions"].items()
    }  # a stream has orders instead
    return {**record, "distributions": found}


def _draws(draws: Mapping[str, Any], groups: Mapping[str, list[int]]) -> dict[str, Any]:
    return {
        number: _draw(number, draw, groups) if isinstance(draw, dict) else draw
        for number, draw in draws.items()
    }


def _draw(number: str, draw: Mapping[str, Any], groups: Mapping[str, list[int]]) -> dict[str, Any]:
    slim: dict[str, Any] = {}
    for key, value in draw.items():
        if key == "prior" and isinstance(value, list):
            if "prior_groups" not in draw:
                slim["prior_groups"] = _group_sums(value, groups)
            if number == _WHOLE:
                slim[key] = [significant(p, PRIOR_DIGITS) for p in value]
        elif key == "diagnostics" and isinstance(value, dict):
            slim[key] = _diagnostics(value, whole=number == _WHOLE)
        else:
            slim[key] = value
    return {key: v for key, v in slim.items() if v is not None or key not in _NULL_IS_ABSENT}


def _diagnostics(found: Mapping[str, Any], whole: bool) -> dict[str, Any]:
    """Tables of numbers are of draw 0 alone, too."""
    return {
        name: told if name in READ_DIAGNOSTICS else _rounded(told)
        for name, told in found.items()
        if whole or not isinstance(told, list | tuple | dict) or name in READ_DIAGNOSTICS
    }


def _group_sums(prior: list[float], groups: Mapping[str, list[int]]) -> dict[str, float]:
    return {name: group_mass(prior, members) for name, members in groups.items() if members}


def group_mass(prior: Sequence[float], members: Sequence[int]) -> float:
    """Share of the classes ``members`` in per cent; prior ``(C,)`` sums to 1."""
    return 100.0 * sum(prior[c] for c in members)


def significant(value: float, digits: int) -> float:
    """
    >>> significant(0.0123456, 4)
    0.01235
    """
    return float(f"{value:.{digits}g}")


def _rounded(value: Any) -> Any:
    """Floats anywhere in ``value``; whole numbers, texts and truths stay."""
    if isinstance(value, float):
        return significant(value, _DIAGNOSTIC_DIGITS)
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return value
