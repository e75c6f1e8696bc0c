"""What a row gets right and wrong by class: confusions, areas under curves, a threshold.

No test label chooses anything: the threshold comes from the hold-out alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ltbench.evaluate.outputs import HoldOut
from ltbench.evaluate.reweighted import Scored
from ltbench.pieces import pieces
from ltbench.trial.class_arrays import ClassArrays, canonical
from ltbench.trial.sparse_counts import DENSE_CLASSES, Confusion, SparseCounts


def confusion_counts(scores: Tensor, labels: Tensor) -> Confusion:
    """``(C, C)``: images of class i that were taken for class j. scores ``(N, C)``, labels ``(N,)``.

    Of equal scores the first class wins, as in the accuracy.
    """
    classes = scores.shape[1]
    places = labels * classes + scores.argmax(dim=1)
    if classes > DENSE_CLASSES:
        return SparseCounts.of(classes, places.numpy())
    counts = torch.bincount(places, minlength=classes * classes)
    found: NDArray[np.int64] = counts.reshape(classes, classes).numpy().astype(np.int64)
    return found


def probabilities(scores: Tensor) -> NDArray[np.float64]:
    """``(N, C)`` scores to softmax probabilities."""
    found: NDArray[np.float64] = torch.softmax(scores.detach().double(), dim=1).numpy()
    return found


def areas(scores: Tensor, labels: Tensor) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """One-vs-rest AUROC and average precision of each class, ``(C,)`` each, in [0, 1].

    Images are ranked by the softmax probability of the class; NaN where the class or the rest has no
    image. Each image of a class is compared with all images: with P and N of the class and of the rest,

        AUROC = sum_+ (#{- below} + #{- equal} / 2) / (P N)
        AP = sum over images + of #{+ at least as high} / #{all at least as high}, over P

    which is what scikit-learn computes, apart from rounding. The work is the square of the number of
    images, whatever the number of classes, and nothing has to be imported: scikit-learn takes longer
    for that than most evaluations.
    """
    size, classes = scores.shape
    sizes = torch.bincount(labels, minlength=classes)
    auroc, precision = np.full(classes, np.nan), np.full(classes, np.nan)
    normaliser = torch.cat(
        [scores[part].double().logsumexp(dim=1) for part in pieces(size, classes)]
    )
    members = torch.split(labels.argsort(stable=True), sizes.tolist())
    block: Tensor
    for c, own in enumerate(members):
        if c % _COLUMNS == 0:  # by columns, in memory: a number a row would be read from afar
            columns = scores[:, c : c + _COLUMNS].double() - normaliser[:, None]
            block = columns.exp().T.contiguous()
        count = len(own)
        if not 0 < count < size:
            continue
        p = block[c % _COLUMNS]
        positive = p[own]
        least, above = _counts_from(p.numpy(), positive.numpy())
        own_least = (positive[None] >= positive[:, None]).sum(dim=1).double()
        own_above = (positive[None] > positive[:, None]).sum(dim=1).double()
        rest = size - count
        beaten = rest - ((least - own_least) + (above - own_above)) / 2
        auroc[c] = (beaten.sum() / (count * rest)).item()
        precision[c] = (own_least / least).mean().item()
    return auroc, precision


def _counts_from(p: NDArray[np.float64], values: NDArray[np.float64]) -> tuple[Tensor, Tensor]:
    """How many of ``p`` are at least each of ``values``, and how many are above it.

    NumPy, for a call of torch takes longer than what it does here.
    """
    least = [np.count_nonzero(p >= value) for value in values]
    above = [np.count_nonzero(p > value) for value in values]
    return torch.tensor(least, dtype=torch.double), torch.tensor(above, dtype=torch.double)


_COLUMNS = 64
"""Classes whose probabilities are laid out together."""


def youden(positive: NDArray[np.float64], labels: NDArray[np.bool_]) -> float:
    """The threshold t of the highest sensitivity + specificity - 1 of "positive where p >= t".

    positive: ``(H,)`` probabilities of the positive class; labels ``(H,)``. Of equal ones the highest
    t. NaN where one of the classes is missing. Source: Youden 1950.
    """
    if labels.all() or not labels.any():
        return float("nan")
    from sklearn.metrics import roc_curve  # two seconds, and only two classes have a threshold

    false, true, thresholds = roc_curve(labels, positive, drop_intermediate=False)
    # The first point calls nothing positive; its threshold is infinite.
    return float(min(1.0, thresholds[int(np.argmax(true - false))]))


@dataclass
class ClassCounts:
    """Collects what :class:`ClassArrays` holds while a row meets one draw after another.

    known: what a file holds already; positive: of two classes the rarer one in training.
    """

    known: Mapping[str, ClassArrays] = field(default_factory=dict)
    holdout: HoldOut | None = None
    positive: int = 1
    _open: dict[str, _Sum] = field(default_factory=dict)
    _definitions: dict[str, str] = field(default_factory=dict)

    def lacks(self, name: str, definition: Mapping[str, Any], draws: int) -> bool:
        """Whether this test set has to be met again, all its draws."""
        found = self.known.get(name)
        return found is None or not found.covers(definition, draws)

    def add(
        self,
        name: str,
        definition: Mapping[str, Any],
        draw: int,
        scored: Scored,
        frozen: Callable[[Tensor], Tensor] | None,
    ) -> None:
        """frozen: the predictor of this draw, where there is one; a threshold needs it."""
        self._definitions[name] = canonical(definition)
        self._open.setdefault(name, _Sum()).add(draw, scored, self._threshold(scored, frozen))

    def _threshold(
        self, scored: Scored, frozen: Callable[[Tensor], Tensor] | None
    ) -> tuple[float, int] | None:
        if scored.scores.shape[1] != 2 or self.holdout is None or frozen is None:
            return None
        with torch.no_grad():
            own = probabilities(frozen(self.holdout.logits))[:, self.positive]
        return youden(own, self.holdout.labels.numpy() == self.positive), self.positive

    def result(self) -> dict[str, ClassArrays]:
        """What was known and what was added, by test distribution."""
        added = {name: one.arrays(self._definitions[name]) for name, one in self._open.items()}
        return {**self.known, **added}


@dataclass
class _Sum:
    confusion: Confusion | None = None
    areas: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None
    draws: list[int] = field(default_factory=list)
    thresholds: list[float] = field(default_factory=list)
    at: NDArray[np.int64] = field(default_factory=lambda: np.zeros((2, 2), dtype=np.int64))

    def add(self, draw: int, scored: Scored, threshold: tuple[float, int] | None) -> None:
        own = confusion_counts(scored.scores, scored.labels)
        known: Any = self.confusion  # of the same kind: all have the same classes
        self.confusion = own if known is None else known + own
        self.draws.append(draw)
        if draw == 0:  # sorting the scores of every class for every draw would take minutes
            self.areas = areas(scored.scores, scored.labels)
        if threshold is not None and not np.isnan(threshold[0]):
            t, positive = threshold
            called = probabilities(scored.scores)[:, positive] >= t
            predicted = np.where(called, positive, 1 - positive)
            np.add.at(self.at, (scored.labels.numpy(), predicted), 1)
            self.thresholds.append(t)

    def arrays(self, definition: str) -> ClassArrays:
        assert self.confusion is not None
        assert self.areas is not None
        whole = len(self.thresholds) == len(self.draws)
        return ClassArrays(
            definition,
            len(self.draws),
            self.confusion,
            *self.areas,
            np.array(self.thresholds) if whole else None,
            self.at if whole else None,
        )
