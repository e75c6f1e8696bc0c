"""Training and test images drawn from labelled files; what belongs together stays together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ltbench.data.dataset import Labels
from ltbench.errors import DataError

_ATTEMPTS = 50  # other orders, where groups over several classes do not fit at once


class CannotSplit(DataError):
    """A class is too small for the rule, or its files belong together in too few pieces."""


@dataclass(frozen=True)
class SplitRule:
    """``share`` of each class for the test set, rounded, but ``smallest`` images at least."""

    share: float
    smallest: int
    seed: int


def split_files(
    labels: Sequence[str], bound: Sequence[Sequence[int]], rule: SplitRule
) -> list[bool]:
    """Whether each file is a test image; stratified by label.

    bound: places of files that must be on one side, as identical images or those of one patient;
    overlapping ones are joined. Units go to the test set in an order drawn by ``rule.seed`` as
    long as no class gets more than its share; a class that is then below ``rule.smallest`` takes its
    smallest units beyond. Every class keeps a training image.

    Raises :class:`CannotSplit` naming the class where that cannot be, :class:`DataError` where no rule
    could, for a class of one image.
    """
    totals = Counter(labels)
    targets = {name: max(rule.smallest, round(rule.share * n)) for name, n in totals.items()}
    for name in sorted(totals):
        if totals[name] <= rule.smallest:
            if totals[name] == 1:
                raise DataError(
                    f"class {name!r} has one image, which cannot be in the test set and in training; add "
                    "images, or leave the class out"
                )
            raise CannotSplit(
                f"class {name!r} has {totals[name]} images, too few for {rule.smallest} test images and "
                "one for training; lower --min-per-class, or add images"
            )
        targets[name] = min(targets[name], totals[name] - 1)
    units = joined(len(labels), bound)
    sizes = [Counter(labels[place] for place in unit) for unit in units]
    generator = np.random.RandomState(rule.seed)
    failed = ""
    for _ in range(_ATTEMPTS):
        order = generator.permutation(len(units)).tolist()
        chosen, short = _choose(order, sizes, totals, targets, rule.smallest)
        if not short:
            test = {place for unit in chosen for place in units[unit]}
            return [place in test for place in range(len(labels))]
        failed = failed or short
    raise CannotSplit(
        f"class {failed!r} cannot have {rule.smallest} test images and one for training: its "
        f"{totals[failed]} images belong together (identical files, or one group) in too few pieces; "
        "lower --min-per-class, or add images"
    )


def draw_per_class(
    labels: Labels, classes: int, per_class: int, *, seed: int
) -> tuple[Labels, Labels]:
    """Places in ``labels`` ``(N,)`` of the training and of the test images, class by class.

    Per class one shuffle, in class order, by one ``RandomState(seed)``; the first ``per_class`` are test
    images. Raises :class:`CannotSplit` where a class would keep no training image.
    """
    generator = np.random.RandomState(seed)
    train: list[Labels] = []
    test: list[Labels] = []
    for label in range(classes):
        chosen = np.flatnonzero(labels == label).astype(np.int64)
        if len(chosen) <= per_class:
            raise CannotSplit(
                f"class {label} has {len(chosen)} images, too few for test_per_class = {per_class} and "
                "one for training"
            )
        generator.shuffle(chosen)
        test.append(chosen[:per_class])
        train.append(chosen[per_class:])
    return np.concatenate(train), np.concatenate(test)


def _choose(
    order: Sequence[int],
    sizes: Sequence[Counter[str]],
    totals: Mapping[str, int],
    targets: Mapping[str, int],
    smallest: int,
) -> tuple[set[int], str]:
    """Units of the test set, and the first class that is left too small (empty: none)."""
    got: Counter[str] = Counter()
    chosen = set()

    def fits(unit: int, most: Mapping[str, int]) -> bool:
        return all(got[name] + n <= most[name] for name, n in sizes[unit].items())

    for unit in order:
        if fits(unit, targets):
            got.update(sizes[unit])
            chosen.add(unit)
    beyond = {name: n - 1 for name, n in totals.items()}
    for name in sorted(totals):
        if got[name] >= smallest:
            continue
        own = [unit for unit in order if unit not in chosen and name in sizes[unit]]
        for unit in sorted(own, key=lambda unit: sizes[unit].total()):
            if got[name] < smallest and fits(unit, beyond):
                got.update(sizes[unit])
                chosen.add(unit)
        if got[name] < smallest:
            return chosen, name
    return chosen, ""


def joined(count: int, bound: Sequence[Sequence[int]]) -> list[list[int]]:
    """Places 0..count-1 in pieces: those that a chain of ``bound`` connects are in one.

    >>> joined(5, [[0, 3], [3, 4]])
    [[0, 3, 4], [1], [2]]
    """
    parent = list(range(count))

    def root(place: int) -> int:
        while parent[place] != place:
            parent[place] = parent[parent[place]]
            place = parent[place]
        return place

    for places in bound:
        for place in places[1:]:
            first, second = sorted((root(places[0]), root(place)))
            parent[second] = first
    pieces: dict[int, list[int]] = {}
    for place in range(count):
        pieces.setdefault(root(place), []).append(place)
    return list(pieces.values())
