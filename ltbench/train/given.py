"""What a step is given from outside: which images, how each is augmented, what the method drew."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ltbench.train.augment import Draws


@dataclass(frozen=True)
class Ticket:
    """chosen: ``(B,)`` int64 positions; views: for each view how the images are moved, or its pixels
    ``(B, 3, S, S)`` uint8 where they are made before the step; raw: the images ``(B, 3, S, S)`` uint8
    that are moved, where the feed does not hold them."""

    chosen: Tensor
    views: tuple[Draws | Tensor, ...]
    raw: Tensor | None = None

    def tensors(self) -> list[Tensor]:
        views = (v.table if isinstance(v, Draws) else v for v in self.views)
        return [self.chosen, *views, *([] if self.raw is None else [self.raw])]

    def clone(self) -> Ticket:
        views = (Draws(v.table.clone()) if isinstance(v, Draws) else v.clone() for v in self.views)
        raw = None if self.raw is None else self.raw.clone()
        return Ticket(self.chosen.clone(), tuple(views), raw)


@dataclass(frozen=True)
class Given:
    """first and second stream (None: there is one), and what ``Method.draw`` returned, on the device.

    places: where tickets hold a process's share of a batch, ``(B,)`` positions of all of it, for each
    stream; empty: the tickets hold everything.
    """

    first: Ticket
    second: Ticket | None = None
    drawn: tuple[Tensor, ...] = ()
    places: tuple[Tensor, ...] = ()

    @property
    def whole(self) -> Tensor:
        """``(B,)`` positions of the batch."""
        return self.places[0] if self.places else self.first.chosen

    @property
    def second_whole(self) -> Tensor:
        """Those of the second stream, where there is one."""
        if self.places:
            return self.places[1]
        assert self.second is not None
        return self.second.chosen

    def tensors(self) -> list[Tensor]:
        second = self.second.tensors() if self.second is not None else []
        return [*self.first.tensors(), *second, *self.drawn, *self.places]

    def shapes(self) -> tuple[tuple[object, ...], ...]:
        """What a recording of a step fixes."""
        return tuple((tuple(each.shape), each.dtype) for each in self.tensors())

    def clone(self) -> Given:
        second = self.second.clone() if self.second is not None else None
        drawn, places = (tuple(e.clone() for e in group) for group in (self.drawn, self.places))
        return Given(self.first.clone(), second, drawn, places)

    def copy_(self, other: Given) -> None:
        """Takes over the contents of ``other``, whose shapes are the same."""
        for mine, theirs in zip(self.tensors(), other.tensors(), strict=True):
            mine.copy_(theirs)
