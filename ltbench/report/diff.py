"""What differs between two trials: identity, recipe, environment, code version, results."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ltbench.errors import InputError
from ltbench.trial import store

ABSENT = "–"
_BLOCKS = (
    ("identity", ("status", "seed", "precision", "protocol", "training", "identity", "imported")),
    ("recipe", ("recipe",)),
    ("data", ("data",)),
    ("model", ("model",)),
    ("environment", ("environment", "resumed_elsewhere")),
)
"""Section and the keys of trial.json in it. What differs between any two runs (when, how long) is
in none: ``created``, ``cost``, ``preemptions``."""


@dataclass(frozen=True)
class Difference:
    section: str
    key: str
    first: str
    second: str


def compare_trials(first: Path, second: Path) -> list[Difference]:
    """Every difference between two trial folders, in the order of the sections.

    Results are top-1 (per cent) of every evaluated row on every test set, mean over the draws.
    Raises :class:`InputError` where a record cannot be read.
    """
    one, two = _record(first), _record(second)
    found: list[Difference] = []
    seen: set[tuple[str, str]] = set()
    for section, keys in _BLOCKS:
        pair = [dict(_flat({k: record[k] for k in keys if k in record})) for record in (one, two)]
        for difference in _compare(section, pair[0], pair[1]):
            # The identity repeats the recipe and names the data: each is told once.
            leaf = (difference.key.rpartition(".")[2], difference.first + difference.second)
            if leaf not in seen:
                found.append(difference)
            seen.add(leaf)
    found += _compare("results", _results(first), _results(second))
    return found


def _compare(section: str, one: Mapping[str, str], two: Mapping[str, str]) -> Iterator[Difference]:
    for key in dict.fromkeys((*one, *two)):
        a, b = one.get(key, ABSENT), two.get(key, ABSENT)
        if a != b:
            yield Difference(section, key, a, b)


def _record(folder: Path) -> dict[str, Any]:
    for name in (store.TRIAL, store.FAILED):
        if (folder / name).exists():
            return store.read_record(folder / name)
    raise InputError(f"{folder} holds no record")


def _flat(value: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _flat(item, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(value, list):
        yield prefix, ", ".join(map(str, value))
    else:
        yield prefix, str(value)


def _results(folder: Path) -> dict[str, str]:
    """``"sade+none, forward50"`` to ``"61.25"``; an unreadable file is named as that."""
    found: dict[str, str] = {}
    for path in sorted((folder / "evaluations").glob("*.json")):
        try:
            record = store.read_record(path)
            name = _row_name(record)
            for distribution, entry in record["distributions"].items():
                scores = [draw["top1"] for draw in entry["draws"].values()]
                mean = sum(scores) / len(scores)
                draws = f" ({len(scores)} draws)" if len(scores) > 1 else ""
                found[f"{name}, {distribution}"] = f"{mean:.2f}{draws}"
        except (InputError, KeyError, TypeError, AttributeError, ZeroDivisionError):
            found[path.name] = "unreadable"
    return found


def _row_name(record: Mapping[str, Any]) -> str:
    parts = [str(record["label"])]
    if record.get("mode", "clean") != "clean":
        parts.append(str(record["mode"]))
    if record["protocol"].get("variant"):
        parts.append(str(record["protocol"]["variant"]))
    return " ".join(parts)
