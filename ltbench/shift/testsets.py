"""The test label distributions of a protocol, as index sets into the test images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from ltbench.errors import InputError
from ltbench.hyper import Json
from ltbench.protocol.protocol import LARGEST, TestConfig
from ltbench.settings import show
from ltbench.shift.class_labels import class_labels
from ltbench.shift.families import family_sets
from ltbench.shift.mixes import mix_sets
from ltbench.shift.profiles import Counts
from ltbench.shift.sizes import is_balanced, told_class
from ltbench.shift.tailed import TooFewImages, tailed_counts
from ltbench.shift.testset import PublishedDraw, TestSet

__all__ = ["TestSet", "build_test_sets", "plan_test_sets"]


_NONE: Mapping[str, PublishedDraw] = MappingProxyType({})


def build_test_sets(
    config: TestConfig,
    available: Counts,
    rank: Counts,
    groups: dict[str, list[int]],
    names: Sequence[str] = (),
) -> list[TestSet]:
    """The test sets of :func:`plan_test_sets` that the images allow."""
    return plan_test_sets(config, available, rank, groups, names)[0]


def plan_test_sets(
    config: TestConfig,
    available: Counts,
    rank: Counts,
    groups: dict[str, list[int]],
    names: Sequence[str] = (),
    published: Mapping[str, PublishedDraw] = _NONE,
) -> tuple[list[TestSet], dict[str, str]]:
    """All test sets, forward from the largest ratio over uniform to backward, partial, families, mixes;
    and by name why a set is left out.

    available: test images per class ``(C,)``; rank: training rank ``(C,)``; names: of the classes, their
    numbers unless given. A class without test images is left out of every set but those of ``subsets``
    and ``mixes``, which ask for it. Where the others differ in size, ``uniform`` draws as many of each as
    the smallest has, and ``natural`` is the test set as found. A shifted set in which a class would have
    no image is left out where ``test.size`` is ``largest``, and so is a mix always; else, and for a
    subset, it raises :class:`InputError`, as does a name of no class. published: by name the shifted sets
    whose draw 0 is a list; its counts are those of every draw, and a class may have none.
    """
    present = available > 0
    if present.sum() < 2:
        raise InputError("test set: at least two classes must have images")
    sets: list[TestSet] = []
    left_out: dict[str, str] = {}

    def shifted(kind: str, ratio: float) -> None:
        listed = published.get(f"{kind}{show(ratio)}")
        if listed is not None:
            sets.append(_listed(kind, ratio, config, listed))
            return
        try:
            sets.append(_shifted(kind, ratio, config, available, rank, names))
        except TooFewImages as error:
            if config.size != LARGEST:
                raise InputError(
                    f"test ratio {ratio:g}: the smallest class would have no image: {error}"
                    f"{_beyond(config, available)}"
                ) from None
            left_out[f"{kind}{show(ratio)}"] = str(error)

    for ratio in sorted(config.ratios, reverse=True):
        shifted("forward", ratio)
    sets.append(_balanced("uniform", "uniform", config, available))
    for ratio in sorted(config.ratios):
        shifted("backward", ratio)
    if not is_balanced(available):
        sets.append(TestSet("natural", "natural", None, available, 1))
    sets.extend(_partial(config, available, groups, names))
    sets.extend(family_sets(config, available, rank, names, left_out))
    usual = tuple(f"class {c}" for c in range(len(available)))
    sets.extend(mix_sets(config, available, names or usual, left_out))
    return sets, left_out


def _beyond(config: TestConfig, available: Counts) -> str:
    """What a protocol may ask for instead of as many images as the smallest class has."""
    if config.max_count or is_balanced(available):
        return ""
    return f'; test.size = "{LARGEST}" takes what the classes allow'


def _balanced(name: str, kind: str, config: TestConfig, available: Counts) -> TestSet:
    """Uniform over the classes of ``available`` ``(C,)``: all images where that is what they are."""
    if is_balanced(available):
        return TestSet(name, kind, None, available, 1)
    counts = np.where(available > 0, available[available > 0].min(), 0)
    return TestSet(name, kind, None, counts, config.draws, pool=available)


def _shifted(
    kind: str,
    ratio: float,
    config: TestConfig,
    available: Counts,
    rank: Counts,
    names: Sequence[str],
) -> TestSet:
    """Raises :class:`TooFewImages` where a class would have no image."""
    present = np.flatnonzero(available > 0)
    place = np.argsort(np.argsort(rank[present], kind="stable"), kind="stable")
    if kind == "backward":
        place = len(present) - 1 - place
    order = np.empty_like(place)
    order[place] = present
    counts = tailed_counts(config, available, order, ratio, names)
    about: dict[str, Json] = {"published": None} if config.published else {}
    return TestSet(f"{kind}{show(ratio)}", kind, ratio, counts, config.draws, about)


def _listed(kind: str, ratio: float, config: TestConfig, listed: PublishedDraw) -> TestSet:
    name, about = f"{kind}{show(ratio)}", listed.about()
    return TestSet(name, kind, ratio, listed.counts, config.draws, about, first=listed.indices)


def _partial(
    config: TestConfig, available: Counts, groups: dict[str, list[int]], names: Sequence[str]
) -> Iterator[TestSet]:
    if config.partial:
        for name, members in groups.items():
            counts = _only(members, available)
            if counts.sum():  # an empty group has no test set: n/a, not an error
                yield _balanced(f"{name}-only", "partial", config, counts)
    for name, listed_classes in config.subsets.items():
        asked = _labels(listed_classes, names, f"test.subsets.{name}")
        counts = _only(asked, available)
        missing = [c for c in asked if not available[c]]
        if missing:  # it was asked for by name, and would be another set than its name says
            listed = ", ".join(told_class(c, names) for c in missing[:5])
            listed += ", ..." if len(missing) > 5 else ""
            raise InputError(
                f"test.subsets.{name}: no test images of {len(missing)} of its {len(asked)} classes "
                f"({listed}); leave them out or add test images"
            )
        yield _balanced(name, "partial", config, counts)


def _labels(classes: Sequence[int | str], names: Sequence[str], where: str) -> list[int]:
    """Whole numbers are labels; anything else is looked up among the names."""
    labels = [c for c in classes if isinstance(c, int)]
    return (
        labels
        if len(labels) == len(classes)
        else class_labels(list(map(str, classes)), names, where)
    )


def _only(classes: list[int], available: Counts) -> Counts:
    counts = np.zeros_like(available)
    counts[classes] = available[classes]
    return counts
