"""How a batch is divided: into groups for BatchNorm, these into parts, and parts among processes."""

from __future__ import annotations

from dataclasses import dataclass

from ltbench.errors import InputError
from ltbench.protocol.protocol import Recipe
from ltbench.train.batches import batch_bounds


@dataclass(frozen=True)
class Division:
    """A batch of ``batch_size`` images in groups of ``norm_batch`` (None: one group).

    Groups and what they hold depend on the recipe alone; ``processes`` and ``accumulate`` decide only
    who works on which of them, and when: the first process has the first groups, and works them off in
    ``accumulate`` parts.
    """

    batch_size: int
    norm_batch: int | None = None
    processes: int = 1
    accumulate: int = 1

    @property
    def whole(self) -> bool:
        """Whether a batch goes through the network at once, as if there were no division."""
        groups = self.norm_batch is None or self.norm_batch == self.batch_size
        return groups and self.processes == 1 and self.accumulate == 1

    def parts(self, images: int, smallest: int = 1) -> list[list[slice]]:
        """For each part of a batch of ``images`` the groups in it; of a smaller batch the last are empty.

        There are ``processes * accumulate`` parts. A last group of fewer than ``smallest`` images is
        joined to the one before.

        >>> Division(8, 2, processes=2).parts(7)
        [[slice(0, 2, None), slice(2, 4, None)], [slice(4, 6, None), slice(6, 7, None)]]
        """
        groups = batch_bounds(images, self.norm_batch or max(images, 1), smallest=smallest)
        number = self.processes * self.accumulate
        each = self.batch_size // (self.norm_batch or self.batch_size) // number
        cut = [groups[i * each : (i + 1) * each] for i in range(number)]
        cut[-1] += groups[number * each :]  # of a batch that took the next one's only image
        return cut

    def of_process(self, rank: int, images: int, smallest: int = 1) -> list[list[slice]]:
        """Those of :meth:`parts` that are worked on by process ``rank``."""
        start = rank * self.accumulate
        return self.parts(images, smallest)[start : start + self.accumulate]

    def shares(self, images: int, smallest: int = 1) -> list[slice]:
        """The consecutive images of a batch that each process works on; empty ones come last."""
        cuts, at = [], 0
        for rank in range(self.processes):
            groups = [g for part in self.of_process(rank, images, smallest) for g in part]
            stop = groups[-1].stop if groups else at
            cuts.append(slice(at, stop))
            at = stop
        return cuts


def divide(recipe: Recipe, processes: int = 1, accumulate: int = 1) -> Division:
    """Raises :class:`InputError`, one line, where so many processes or parts cannot share a batch."""
    groups = recipe.batch_size // (recipe.norm_batch or recipe.batch_size)
    if groups % (processes * accumulate):
        asked = [
            f"--{name} {n}"
            for name, n in (("processes", processes), ("accumulate", accumulate))
            if n > 1
        ]
        if recipe.norm_batch is None:
            why = (
                "BatchNorm sees the whole batch at once; recipe.norm_batch, which has to divide "
                f"{recipe.batch_size}, makes groups of it"
            )
        else:
            why = (
                f"it has {groups} groups of norm_batch = {recipe.norm_batch}; {processes * accumulate} "
                f"must divide {groups}"
            )
        raise InputError(
            f"{' with '.join(asked)} cannot share a batch of {recipe.batch_size}: {why}"
        )
    return Division(recipe.batch_size, recipe.norm_batch, processes, accumulate)
