"""A protocol's study: the tables that ``ltbench reproduce`` makes of it, as data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ltbench.errors import InputError
from ltbench.names import check_name, parse_rows
from ltbench.protocol.overrides import parse_overrides
from ltbench.protocol.seed_list import read_optional_seeds
from ltbench.settings import setting


@dataclass(frozen=True)
class StudyPart:
    """One ``[[study]]`` table of a protocol file.

    methods: rows as for ``--methods``; set: overrides as for ``--set`` (``"train.imbalance=50"``);
    seeds: a count or a list, those of the protocol unless given. Raises :class:`InputError` for what
    no run could read.
    """

    name: str
    methods: tuple[str, ...]
    set: tuple[str, ...] = ()
    seeds: tuple[int, ...] | None = setting(None, reader=read_optional_seeds)

    def __post_init__(self) -> None:
        check_name(self.name, "name")
        parse_rows(",".join(self.methods))
        parse_overrides(self.set, "set")


def check_parts(parts: Sequence[StudyPart], where: str) -> None:
    """Raises :class:`InputError` where two parts have one name."""
    names = [part.name for part in parts]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"{where}.study: two parts are called {name!r}")
