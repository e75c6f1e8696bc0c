"""One test label distribution, as index sets into the test images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from ltbench.hyper import Json
from ltbench.shift.profiles import Counts
from ltbench.shift.sampling import Indices, draw_indices
from ltbench.trial.class_values import LISTED_CLASSES
from ltbench.trial.trial import content_hash


@dataclass(frozen=True)
class PublishedDraw:
    """A test set as somebody published it: places in the test images ``(N,)``, class by class, in a class
    in the order of the list; counts ``(C,)``: images of each class. File name and SHA-256 identify it."""

    indices: Indices
    counts: Counts
    file: str
    sha256: str

    def about(self) -> dict[str, Json]:
        return {"published": {"file": self.file, "sha256": self.sha256}}


@dataclass(frozen=True)
class TestSet:
    """One test label distribution. ``counts``: images per class ``(C,)`` of each draw."""

    __test__ = False

    name: str
    kind: str  # forward, uniform, backward, natural, partial, dirichlet, permuted or mix
    ratio: float | None
    counts: Counts
    draws: int
    about: Mapping[str, Json] = field(default_factory=dict)
    """What else its definition states."""
    pool: Counts | None = None
    """Of a uniform or partial set whose classes differ in size: all their images ``(C,)``, of which
    each draw takes the same number per class. None: the classes are equal as they are."""

    first: Indices | None = None
    """Draw 0 where it is a published list; ``counts`` are those of the list then, for all draws."""

    def indices(self, labels: Indices, draw: int) -> Indices:
        """Indices of draw ``draw``; a set that uses every image keeps their order."""
        if draw == 0 and self.first is not None:
            return self.first
        if self.pool is None and self.kind in ("uniform", "natural", "partial"):
            return np.flatnonzero(self.counts[labels] > 0)
        return draw_indices(labels, self.counts, draw)

    def lists(self) -> dict[str, list[int]]:
        """What the definition of a set of thousands of classes does not list, by class."""
        if len(self.counts) <= LISTED_CLASSES:
            return {}
        pool = {} if self.pool is None else {"as_found": self.pool.tolist()}
        return {"counts": self.counts.tolist(), **pool}

    def definition(self) -> dict[str, Json]:
        """What makes two test sets of one name the same; stored with their results.

        Of more than ``LISTED_CLASSES`` classes the counts are told by a digest; the lists of
        :meth:`lists` stand beside it.
        """
        if len(self.counts) > LISTED_CLASSES:
            told: dict[str, Json] = {"classes": len(self.counts), "images": int(self.counts.sum())}
            for name, listed in self.lists().items():
                told[f"{name}_sha256"] = content_hash(listed)
            return {"kind": self.kind, "ratio": self.ratio, **self.about, **told}
        counts = self.counts.tolist()
        pool = {} if self.pool is None else {"as_found": self.pool.tolist()}
        return {"kind": self.kind, "ratio": self.ratio, **self.about, **pool, "counts": counts}
