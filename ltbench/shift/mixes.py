"""Test sets at a mix of classes that the protocol states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ltbench.hyper import Json
from ltbench.protocol.protocol import LARGEST, TestConfig
from ltbench.shift.class_labels import class_labels
from ltbench.shift.profiles import Counts
from ltbench.shift.sizes import set_size, told_class, told_images
from ltbench.shift.testset import TestSet

_DIGITS = 12  # of a share in a definition: far below one image of any test set
_MOST = 5


def mix_shares(
    weights: Mapping[str, float], names: Sequence[str], where: str
) -> NDArray[np.float64]:
    """``(C,)`` share of each class, summing to 1; 0 for a class that ``weights`` does not name.

    names ``(C,)``: of the classes. Raises :class:`InputError`, naming ``where``, for an unknown class.
    """
    shares = np.zeros(len(names))
    shares[class_labels(list(weights), names, where)] = list(weights.values())
    normalised: NDArray[np.float64] = shares / shares.sum()
    return normalised


def mix_sets(
    config: TestConfig, available: Counts, names: Sequence[str], left_out: dict[str, str]
) -> list[TestSet]:
    """A test set for each of ``config.mixes``, as large as the classes allow.

    n_c = round(n q_c / max q), at most ``available`` ``(C,)``; n the greatest number for which every
    class has its share, at most ``max_count``, whatever ``test.size`` says: no published set has to be
    matched. A mix that gives a share to a class without test images, or less than half an image to a
    class, gets its reason in ``left_out`` instead. names ``(C,)``: of the classes.
    """
    sets = []
    for name, weights in config.mixes.items():
        shares = mix_shares(weights, names, f"test.mixes.{name}")
        asked = np.flatnonzero(shares > 0)
        absent = [int(c) for c in asked if not available[c]]
        if absent:
            listed = ", ".join(told_class(c, names) for c in absent[:_MOST])
            listed += ", ..." if len(absent) > _MOST else ""
            left_out[name] = f"it gives a share to classes without test images: {listed}"
            continue
        relative = shares / shares.max()
        size = set_size(replace(config, size=LARGEST), available, relative)
        exact = size.count * relative
        counts: Counts = np.minimum(np.floor(exact + 0.5), available).astype(np.int64)
        empty = [int(c) for c in asked if counts[c] < 1]
        if empty:
            least = min(empty, key=lambda c: exact[c])
            why = (
                f"test.max_count = {size.count}"
                if size.class_index is None
                else told_images(size.class_index, available, names)
            )
            left_out[name] = (
                f"{why}, so the largest class would have {size.count} and "
                f"{told_class(least, names)} {exact[least]:.2g} of an image"
            )
            continue
        stated: list[Json] = [round(float(share), _DIGITS) for share in shares]
        sets.append(TestSet(name, "mix", None, counts, config.draws, {"shares": stated}))
    return sets


def unnamed_classes(config: TestConfig, names: Sequence[str]) -> list[str]:
    """A line for each mix that does not name every class: those have share 0."""
    lines = []
    for name, weights in config.mixes.items():
        shares = mix_shares(weights, names, f"test.mixes.{name}")
        absent = [names[c] for c in np.flatnonzero(shares == 0).tolist()]
        if absent:
            listed = ", ".join(absent[:_MOST]) + (", ..." if len(absent) > _MOST else "")
            classes = "1 class" if len(absent) == 1 else f"{len(absent)} classes"
            lines.append(f"mix {name}: share 0 for {classes} of {len(names)} ({listed})")
    return lines
