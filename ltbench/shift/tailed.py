"""Images per class of a long-tailed test set, in any order of the classes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ltbench.errors import InputError
from ltbench.protocol.protocol import LARGEST, TestConfig
from ltbench.shift.profiles import Counts, exponential_counts
from ltbench.shift.sizes import Size, is_balanced, largest_counts, set_size, told_class, told_images
from ltbench.shift.train_profiles import profile_shares


class TooFewImages(Exception):
    """A class of a test set would have no image: which one, and because of which."""


def tailed_counts(
    config: TestConfig, available: Counts, order: Counts, ratio: float, names: Sequence[str]
) -> Counts:
    """``(C,)``: n_c = floor(n * ratio^(-j / (C' - 1))) for the class at place j of ``order`` ``(C',)``.

    order: the C' classes with test images, most frequent first; n: of :func:`set_size`. Where all
    classes are of equal size the counts are those of the published code. Raises :class:`TooFewImages`
    where a class would have none, :class:`InputError` where ``max_count`` asks for more than there is.
    """
    shares = np.zeros(len(available))
    shares[order] = profile_shares("exponential", ratio, len(order))
    size = set_size(config, available, shares)
    if config.size == LARGEST and not is_balanced(available):
        counts = largest_counts(size.count, available, shares)
    else:
        counts = np.zeros_like(available)
        counts[order] = exponential_counts(size.count, ratio, len(order))
    empty = [int(c) for c in order if counts[c] < 1]
    if empty:
        told = _why(size, empty[0], available, names)
        fixed = config.size != LARGEST or size.class_index is None  # whatever the ratio
        of_head = fixed or shares[size.class_index] == 1
        at_most = f"; a ratio may go up to {size.count}" if of_head and size.count > 1 else ""
        raise TooFewImages(told + at_most)
    if (counts > available).any():
        c = int(np.flatnonzero(counts > available)[0])
        raise InputError(
            f"test ratio {ratio:g}: {told_images(c, available, names)}, {counts[c]} are asked for; "
            "lower test.max_count"
        )
    return counts


def _why(size: Size, empty: int, available: Counts, names: Sequence[str]) -> str:
    n = size.count
    if size.class_index is None:
        return f"test.max_count = {n} leaves {told_class(empty, names)} no image"
    told = told_images(size.class_index, available, names)
    return f"{told}, so the largest class would have {n} and {told_class(empty, names)} none"
