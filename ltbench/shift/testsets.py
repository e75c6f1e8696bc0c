"""The test label distributions of a protocol, as index sets into the test images."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ltbench.errors import InputError
from ltbench.protocol.protocol import TestConfig
from ltbench.settings import show
from ltbench.shift.families import family_sets
from ltbench.shift.profiles import Counts, exponential_counts
from ltbench.shift.testset import TestSet

__all__ = ["TestSet", "build_test_sets"]


def build_test_sets(
    config: TestConfig, available: Counts, rank: Counts, groups: dict[str, list[int]]
) -> list[TestSet]:
    """All test sets: forward from the largest ratio over uniform to backward, partial, families.

    available: test images per class ``(C,)``; rank: training rank ``(C,)``. A class without test
    images is left out of every set but those of ``subsets``, which ask for it. Where the others
    differ in size, ``uniform`` draws as many of each as the smallest has, and ``natural`` is the test
    set as found. Raises :class:`InputError` where a class of a shifted set or subset would have no
    image.
    """
    present = available > 0
    if present.sum() < 2:
        raise InputError("test set: at least two classes must have images")
    sets: list[TestSet] = []
    for ratio in sorted(config.ratios, reverse=True):
        sets.append(_shifted("forward", ratio, config, available, rank))
    sets.append(_balanced("uniform", "uniform", config, available))
    for ratio in sorted(config.ratios):
        sets.append(_shifted("backward", ratio, config, available, rank))
    if not is_balanced(available):
        sets.append(TestSet("natural", "natural", None, available, 1))
    sets.extend(_partial(config, available, groups))
    sets.extend(family_sets(config, available, rank))
    return sets


def is_balanced(counts: Counts) -> bool:
    """Whether all classes that are there have equally many images."""
    present = counts[counts > 0]
    return bool((present == present[:1]).all())


def _balanced(name: str, kind: str, config: TestConfig, available: Counts) -> TestSet:
    """Uniform over the classes of ``available`` ``(C,)``: all images where that is what they are."""
    if is_balanced(available):
        return TestSet(name, kind, None, available, 1)
    counts = np.where(available > 0, available[available > 0].min(), 0)
    return TestSet(name, kind, None, counts, config.draws, pool=available)


def _shifted(
    kind: str, ratio: float, config: TestConfig, available: Counts, rank: Counts
) -> TestSet:
    present = np.flatnonzero(available > 0)
    n_max = config.max_count or int(available[present].min())
    profile = exponential_counts(n_max, ratio, len(present))
    place = np.argsort(np.argsort(rank[present], kind="stable"), kind="stable")
    if kind == "backward":
        place = len(present) - 1 - place
    counts = np.zeros_like(available)
    counts[present] = profile[place]
    if profile.min() < 1:
        raise InputError(
            f"test ratio {ratio:g}: the smallest class would have no image (largest {n_max}); "
            f"test.ratios may go up to {n_max}"
        )
    if (counts > available).any():
        c = int(np.flatnonzero(counts > available)[0])
        raise InputError(
            f"test ratio {ratio:g}: class {c} has {available[c]} test images, {counts[c]} are asked "
            "for; lower test.max_count"
        )
    return TestSet(f"{kind}{show(ratio)}", kind, ratio, counts, config.draws)


def _partial(
    config: TestConfig, available: Counts, groups: dict[str, list[int]]
) -> Iterator[TestSet]:
    if config.partial:
        for name, members in groups.items():
            counts = _only(members, available)
            if counts.sum():  # an empty group has no test set: n/a, not an error
                yield _balanced(f"{name}-only", "partial", config, counts)
    for name, asked in config.subsets.items():
        counts = _only(list(asked), available)
        missing = [c for c in asked if not available[c]]
        if missing:  # it was asked for by name, and would be another set than its name says
            listed = ", ".join(map(str, missing[:5])) + (", ..." if len(missing) > 5 else "")
            raise InputError(
                f"test.subsets.{name}: no test images of {len(missing)} of its {len(asked)} classes "
                f"(class {listed}); leave them out or add test images"
            )
        yield _balanced(name, "partial", config, counts)


def _only(classes: list[int], available: Counts) -> Counts:
    counts = np.zeros_like(available)
    counts[classes] = available[classes]
    return counts
