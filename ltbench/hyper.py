"""Hyper-parameters of methods and strategies: typed, frozen, JSON-serialisable."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Self

from ltbench.settings import check_ranges, identity_of, is_unused, read

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]


@dataclasses.dataclass(frozen=True)
class Hyper:
    """Base of all hyper-parameter classes: a frozen dataclass of bool, int, float and str fields.

    Fields made with :func:`ltbench.settings.setting` have their range checked.
    """

    def __post_init__(self) -> None:
        check_ranges(self)

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any], owner: str) -> Self:
        """Builds the hyper-parameters of ``owner`` from typed or textual values.

        Raises :class:`ltbench.errors.InputError` for an unknown name, a value of the wrong type or
        out of range.
        """
        return read(cls, values, owner)

    def to_json(self) -> dict[str, Json]:
        return dataclasses.asdict(self)

    def training_part(self) -> dict[str, Json]:
        """The parameters that training reads: they make the identity of a trial.

        One marked ``later`` is left out while it has its default, as in :meth:`identity`.
        """
        return {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if not field.metadata.get("prediction_only", False) and not is_unused(self, field)
        }

    def identity(self) -> dict[str, Json]:
        """All parameters, as the identity of an evaluation has them."""
        return identity_of(self)


@dataclasses.dataclass(frozen=True)
class AskedBy:
    """A value of a setting that makes a strategy need more than it does without."""

    setting: str
    value: str
    need: str


def asking_values(kind: type[Hyper]) -> list[AskedBy]:
    """What ``setting(..., needs={value: need})`` declares, field by field."""
    return [
        AskedBy(field.name, value, need)
        for field in dataclasses.fields(kind)
        for value, need in field.metadata.get("needs", {}).items()
    ]
