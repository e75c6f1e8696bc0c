"""A protocol's study: the tables that ``ltbench reproduce`` makes of it, as data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ltbench.errors import InputError
from ltbench.names import check_name, parse_rows


@dataclass(frozen=True)
class StudyPart:
    """One ``[[study]]`` table of a protocol file.

    methods: rows as for ``--methods``; set: overrides as for ``--set`` (``"train.imbalance=50"``);
    seeds: those of the protocol unless given. Raises :class:`InputError` for what no run could read.
    """

    name: str
    methods: tuple[str, ...]
    set: tuple[str, ...] = ()
    seeds: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        check_name(self.name, "name")
        parse_rows(",".join(self.methods))
        for text in self.set:
            if not text.partition("=")[0].strip() or "=" not in text:
                raise InputError(f"set {text!r} must look like train.imbalance=50")
        seeds = (0,) if self.seeds is None else self.seeds
        if not seeds or min(seeds) < 0 or len(set(seeds)) < len(seeds):
            raise InputError(f"seeds = {list(seeds)} must be different whole numbers of at least 0")


def check_parts(parts: Sequence[StudyPart], where: str) -> None:
    """Raises :class:`InputError` where two parts have one name."""
    names = [part.name for part in parts]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"{where}.study: two parts are called {name!r}")
