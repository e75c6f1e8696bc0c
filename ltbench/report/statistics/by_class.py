"""Scores of single classes from stored confusions: precision, recall, F1, and what is mistaken for what."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ltbench.report.records.schema import Distribution
from ltbench.report.rows.rows import Row
from ltbench.report.rows.sections import Section
from ltbench.trial.class_arrays import ClassArrays
from ltbench.trial.sparse_counts import Confusion

PerClass: TypeAlias = tuple[float | None, ...]


@dataclass(frozen=True)
class ClassScores:
    """Of each class in per cent, from confusions n_ij (images of class i taken for class j).

    recall_c = n_cc / n_c., precision_c = n_cc / n_.c, F1_c = 2 n_cc / (n_c. + n_.c); None where the
    denominator is 0: no image of the class, never predicted, or both. auroc, average_precision: as
    stored, None where the class or the rest has no image.
    """

    recall: PerClass
    precision: PerClass
    f1: PerClass
    auroc: PerClass
    average_precision: PerClass


def class_scores(arrays: ClassArrays) -> ClassScores:
    counts = arrays.confusion
    right, there, called = counts.diagonal(), counts.sum(axis=1), counts.sum(axis=0)
    return ClassScores(
        recall=_shares(right, there),
        precision=_shares(right, called),
        f1=_shares(2 * right, there + called),
        auroc=_per_cent(arrays.auroc),
        average_precision=_per_cent(arrays.average_precision),
    )


def _shares(part: NDArray[np.int64], whole: NDArray[np.int64]) -> PerClass:
    return tuple(
        100.0 * p / w if w else None for p, w in zip(part.tolist(), whole.tolist(), strict=True)
    )


def _per_cent(values: NDArray[np.float64]) -> PerClass:
    return tuple(None if np.isnan(value) else 100.0 * value for value in values.tolist())


def arrays_of(row: Row, distribution: str, classes: int) -> dict[int, ClassArrays]:
    """By seed, of those that have them stored."""
    found = {seed: one.by_class(classes) for seed, one in sorted(row.results[distribution].items())}
    return {seed: arrays for seed, arrays in found.items() if arrays is not None}


def total_confusion(found: Sequence[ClassArrays]) -> Confusion:
    """Of all seeds together; ``found`` is not empty."""
    total: Any = found[0].confusion  # all of one kind: the classes are the same
    for arrays in found[1:]:
        total = total + arrays.confusion
    known: Confusion = total
    return known


def most_confused(confusion: Confusion, c: int) -> tuple[int, float] | None:
    """The class that images of class ``c`` are most often taken for by mistake, and their share in
    per cent; None where there is no mistake. Of equal ones the first class."""
    wrong = confusion[c].copy()
    wrong[c] = 0
    most = int(wrong.argmax())
    return (most, 100.0 * int(wrong[most]) / int(confusion[c].sum())) if wrong[most] else None


def images_of(row: Row, distribution: str) -> Sequence[int] | None:
    """Of each class behind a score: as found where a fixed predictor is scored on all images."""
    found: Distribution
    for found in row.results[distribution].values():
        if found.pool is not None and not row.first_draw_only:
            return found.pool
        return found.counts
    return None


def missing_arrays_note(section: Section, rows: Sequence[Row]) -> tuple[str, ...]:
    """One line on rows without counts by class on the uniform set, and the command that adds them."""
    classes, uniform = len(section.class_names), section.uniform
    lacking = [
        row
        for row in rows
        if uniform is not None
        and uniform in row.results
        and len(arrays_of(row, uniform, classes)) < len(row.results[uniform])
    ]
    if not lacking:
        return ()
    own = [row.label for row in lacking if row.training.origin != "imported"]
    ways = []
    if own:
        words = ["ltbench", "evaluate", "--methods", ",".join(own)]
        words += ["--protocol", section.key.protocol]
        for override in filter(None, section.key.variant.split(";")):
            words += ["--set", override]
        ways.append(f"`{shlex.join(words)}` adds them where the logits of the trials lie")
    if len(own) < len(lacking):
        ways.append("the same import (`ltbench evaluate --logits`) adds them to imported rows")
    names = ", ".join(row.label for row in lacking)
    what = "precision, F1, AUROC and confusions by class are not stored with some records of"
    return (f"{what} {names}; {'; '.join(ways)}",)
