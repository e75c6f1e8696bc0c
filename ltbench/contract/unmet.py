"""A property that does not hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

C = TypeVar("C")


class Unmet(Exception):
    """What does not hold and what would: one or two plain sentences for the plugin's author.

    where: the case in which it was seen, empty where there is only one.
    """

    def __init__(self, reason: str, where: str = "") -> None:
        super().__init__(reason, where)
        self.reason, self.where = reason, where

    def __str__(self) -> str:
        return f"{self.reason} ({self.where})" if self.where else self.reason


def require(holds: Any, otherwise: str) -> None:
    """Raises :class:`Unmet` with ``otherwise`` unless ``holds``."""
    if not bool(holds):
        raise Unmet(otherwise)


@dataclass(frozen=True)
class Property(Generic[C]):
    """One thing that must hold for a case.

    advice: good to have; without it every number is still right. Whatever else does not hold would
    make numbers wrong or a run fail, so that ``ltbench run`` refuses the plugin.
    """

    holds: Callable[[C], None]
    advice: bool = False

    @property
    def name(self) -> str:
        return self.holds.__name__

    @property
    def sentence(self) -> str:
        """The first line of the function's docstring."""
        return (self.holds.__doc__ or self.name).splitlines()[0]
