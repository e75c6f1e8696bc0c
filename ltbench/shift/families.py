"""Further families of test label distributions: Dirichlet-drawn priors and permuted long tails.

The eleven standard sets are monotone in the training rank, and a strategy may be built around that.
These are not. Both are off unless a protocol lists a concentration or a ratio.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ltbench.errors import InputError
from ltbench.protocol.protocol import LARGEST, TestConfig
from ltbench.settings import show
from ltbench.shift.profiles import Counts
from ltbench.shift.sizes import set_size, told_images
from ltbench.shift.tailed import TooFewImages, tailed_counts
from ltbench.shift.testset import TestSet

# First words of a seed, so that equal numbers in the two families do not share random numbers.
_DIRICHLET, _PERMUTED = 1, 2


def family_sets(
    config: TestConfig,
    available: Counts,
    rank: Counts,
    names: Sequence[str] = (),
    left_out: dict[str, str] | None = None,
) -> list[TestSet]:
    """``dirichlet<concentration>-<k>`` and ``permuted<ratio>-<k>``, k = 0, 1, ...

    available: test images per class ``(C,)``; rank: training rank ``(C,)``; names: of the classes. The
    images of a draw are selected as those of the forward and backward sets. More of a family leave the
    first ones as they are. Raises :class:`InputError` where there are too few classes or images; where
    ``test.size`` is ``largest`` a set without images of a class gets its reason in ``left_out`` instead.
    """
    present = np.flatnonzero(available > 0)
    given = config.max_count
    if given and config.size != LARGEST and (available[present] < given).any():
        c = int(present[np.flatnonzero(available[present] < given)[0]])
        if config.dirichlet.concentrations or config.permuted.ratios:
            raise InputError(
                f"test.dirichlet and test.permuted: {told_images(c, available, names)}, up "
                f"to {given} are asked for; lower test.max_count"
            )
    missing = {} if left_out is None else left_out
    return [
        *_dirichlet(config, present, available),
        *_permuted(config, present, available, rank, names, missing),
    ]


def _dirichlet(config: TestConfig, present: Counts, available: Counts) -> list[TestSet]:
    family, sets = config.dirichlet, []
    for concentration in sorted(family.concentrations):
        for k in range(family.number):
            shares = np.zeros(len(available))
            shares[present] = dirichlet_shares(concentration, len(present), family.seed, k)
            n_max = set_size(config, available, shares).count
            counts = np.zeros_like(available)
            counts[present] = dirichlet_counts(n_max, concentration, len(present), family.seed, k)
            about = {"concentration": concentration, "seed": family.seed, "number": k}
            name = f"dirichlet{show(concentration)}-{k}"
            sets.append(TestSet(name, "dirichlet", None, counts, config.draws, about))
    return sets


def _permuted(
    config: TestConfig,
    present: Counts,
    available: Counts,
    rank: Counts,
    names: Sequence[str],
    left_out: dict[str, str],
) -> list[TestSet]:
    family, sets = config.permuted, []
    if family.ratios and len(present) < 3:
        raise InputError(
            "test.permuted needs at least three classes with test images: two have no order "
            "besides forward and backward"
        )
    for ratio in sorted(family.ratios):
        by_rank = present[np.argsort(rank[present], kind="stable")]
        for k in range(family.number):
            places = class_permutation(len(present), family.seed, k)
            order = np.empty_like(by_rank)
            order[places] = by_rank
            about = {"seed": family.seed, "number": k}
            name = f"permuted{show(ratio)}-{k}"
            try:
                counts = tailed_counts(config, available, order, ratio, names)
            except TooFewImages as error:
                if config.size != LARGEST:
                    raise InputError(f"test.permuted.ratios: at {ratio:g} {error}") from None
                left_out[name] = str(error)
                continue
            sets.append(TestSet(name, "permuted", ratio, counts, config.draws, about))
    return sets


def dirichlet_shares(concentration: float, classes: int, seed: int, k: int) -> NDArray[np.float64]:
    """``(C,)`` q_c / max q of the k-th prior q ~ Dirichlet(a, ..., a); see :func:`dirichlet_counts`."""
    prior = np.random.RandomState([_DIRICHLET, seed, k]).dirichlet(np.full(classes, concentration))
    shares: NDArray[np.float64] = prior / prior.max()
    return shares


def dirichlet_counts(n_max: int, concentration: float, classes: int, seed: int, k: int) -> Counts:
    """``(C,)`` images per class for the k-th prior of a symmetric Dirichlet distribution.

    q ~ Dirichlet(a, ..., a), a = ``concentration``: 1 is uniform over all priors, below 1 few classes
    hold most of the mass, far above 1 the prior is nearly uniform. n_c = int(n_max * q_c / max q), so
    that the largest class has ``n_max`` images, as in the long-tailed sets; a class may have none.
    Each k has a legacy NumPy generator of its own, whose stream is frozen.
    """
    shares = dirichlet_shares(concentration, classes, seed, k)
    counts: Counts = (n_max * shares).astype(np.int64)
    counts[shares.argmax()] = n_max
    return counts


def class_permutation(classes: int, seed: int, k: int) -> Counts:
    """The k-th random order of the ranks ``(C,)``, never the identity nor its reverse.

    Those two are the forward and the backward set. The order does not depend on the ratio.
    """
    rng = np.random.RandomState([_PERMUTED, seed, k])
    straight = np.arange(classes)
    while True:
        order: Counts = rng.permutation(classes).astype(np.int64)
        if not (np.array_equal(order, straight) or np.array_equal(order, straight[::-1])):
            return order
