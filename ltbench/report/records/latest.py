"""Which of several records of one seed is the latest, and whether their clocks can tell."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Generic, TypeVar

Record = TypeVar("Record")
Order = tuple[datetime, str]

_TIME = re.compile(r"[T ]\d\d:\d\d(?P<seconds>:\d\d(?:\.(?P<fraction>\d{1,6}))?)?")


@dataclass(frozen=True)
class Stamp:
    """``created`` of a record, in UTC: some moment from ``start`` on, before ``end``.

    Records up to ltbench 0.1 tell whole seconds; what cannot be read may be any moment.
    """

    start: datetime
    end: datetime


def stamp(text: str) -> Stamp:
    """
    >>> stamp("2025-01-01T12:00:00+00:00").end.isoformat()
    '2025-01-01T12:00:01+00:00'
    """
    try:
        start = datetime.fromisoformat(text)
        start = start.replace(tzinfo=UTC) if start.tzinfo is None else start.astimezone(UTC)
        return Stamp(start, start + _resolution(text))
    except (ValueError, OverflowError):
        return Stamp(datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))


def _resolution(text: str) -> timedelta:
    found = _TIME.search(text)
    if found is None:
        return timedelta(days=1)
    if found["fraction"]:
        return timedelta(microseconds=10 ** (6 - len(found["fraction"])))
    return timedelta(seconds=1) if found["seconds"] else timedelta(minutes=1)


def order(created: str, name: str) -> Order:
    """To sort records by time; ``name`` (of the record) only keeps the order of equal ones fixed."""
    return (stamp(created).start, name)


@dataclass(frozen=True)
class Latest(Generic[Record]):
    """The record that counts; ``replaced``: another one says something else; ``undecided``: and no
    clock tells which of them is the later."""

    record: Record
    replaced: bool
    undecided: bool


def latest(
    ordered: Sequence[Record],
    created: Callable[[Record], str],
    same: Callable[[Record, Record], bool],
) -> Latest[Record]:
    """Of records sorted by :func:`order`."""
    last = ordered[-1]
    if len(ordered) == 1:  # as a rule, and there are tens of thousands
        return Latest(last, False, False)
    start = stamp(created(last)).start
    others = [record for record in ordered[:-1] if not same(record, last)]
    undecided = any(start is not None and stamp(created(one)).end > start for one in others)
    return Latest(last, bool(others), undecided)


def duplicate_notes(label: str, replaced: Iterable[int], undecided: Iterable[int]) -> list[str]:
    """What a reader must know of seeds with more than one record of different numbers."""
    unknown = sorted(set(undecided))
    known = sorted(set(replaced) - set(unknown))
    notes = []
    if known:
        notes.append(
            f"{label}: several records with different numbers for seed {_seeds(known)};"
            " the latest one is shown"
        )
    if unknown:
        notes.append(
            f"{label}: several records with different numbers for seed {_seeds(unknown)} were written"
            " at the same time as far as their clocks tell; which is the latest is not known, one of"
            " them is shown"
        )
    return notes


def _seeds(seeds: Iterable[int]) -> str:
    return ", ".join(map(str, seeds))
