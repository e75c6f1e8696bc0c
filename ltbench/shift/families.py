"""Further families of test label distributions: Dirichlet-drawn priors and permuted long tails.

The eleven standard sets are monotone in the training rank, and a strategy may be built around that.
These are not. Both are off unless a protocol lists a concentration or a ratio.
"""

from __future__ import annotations

import numpy as np

from ltbench.errors import InputError
from ltbench.protocol.protocol import TestConfig
from ltbench.settings import show
from ltbench.shift.profiles import Counts, exponential_counts
from ltbench.shift.testset import TestSet

# First words of a seed, so that equal numbers in the two families do not share random numbers.
_DIRICHLET, _PERMUTED = 1, 2


def family_sets(config: TestConfig, available: Counts, rank: Counts) -> list[TestSet]:
    """``dirichlet<concentration>-<k>`` and ``permuted<ratio>-<k>``, k = 0, 1, ...

    available: test images per class ``(C,)``; rank: training rank ``(C,)``. The images of a draw are
    selected as those of the forward and backward sets. More of a family leave the first ones as
    they are. Raises :class:`InputError` where there are too few classes or images.
    """
    present = np.flatnonzero(available > 0)
    n_max = config.max_count or int(available[present].min())
    if (available[present] < n_max).any():
        c = int(present[np.flatnonzero(available[present] < n_max)[0]])
        if config.dirichlet.concentrations or config.permuted.ratios:
            raise InputError(
                f"test.dirichlet and test.permuted: class {c} has {available[c]} test images, up "
                f"to {n_max} are asked for; lower test.max_count"
            )
    return [
        *_dirichlet(config, present, n_max, available),
        *_permuted(config, present, n_max, available, rank),
    ]


def _dirichlet(config: TestConfig, present: Counts, n_max: int, available: Counts) -> list[TestSet]:
    family, sets = config.dirichlet, []
    for concentration in sorted(family.concentrations):
        for k in range(family.number):
            counts = np.zeros_like(available)
            counts[present] = dirichlet_counts(n_max, concentration, len(present), family.seed, k)
            about = {"concentration": concentration, "seed": family.seed, "number": k}
            name = f"dirichlet{show(concentration)}-{k}"
            sets.append(TestSet(name, "dirichlet", None, counts, config.draws, about))
    return sets


def _permuted(
    config: TestConfig, present: Counts, n_max: int, available: Counts, rank: Counts
) -> list[TestSet]:
    family, sets = config.permuted, []
    if family.ratios and len(present) < 3:
        raise InputError(
            "test.permuted needs at least three classes with test images: two have no order "
            "besides forward and backward"
        )
    for ratio in sorted(family.ratios):
        profile = exponential_counts(n_max, ratio, len(present))
        if profile.min() < 1:
            raise InputError(
                f"test.permuted.ratios: at {ratio:g} the smallest class would have no image "
                f"(largest {n_max}); up to {n_max} is possible"
            )
        by_rank = present[np.argsort(rank[present], kind="stable")]
        for k in range(family.number):
            counts = np.zeros_like(available)
            counts[by_rank] = profile[class_permutation(len(present), family.seed, k)]
            about = {"seed": family.seed, "number": k}
            name = f"permuted{show(ratio)}-{k}"
            sets.append(TestSet(name, "permuted", ratio, counts, config.draws, about))
    return sets


def dirichlet_counts(n_max: int, concentration: float, classes: int, seed: int, k: int) -> Counts:
    """``(C,)`` images per class for the k-th prior of a symmetric Dirichlet distribution.

    q ~ Dirichlet(a, ..., a), a = ``concentration``: 1 is uniform over all priors, below 1 few classes
    hold most of the mass, far above 1 the prior is nearly uniform. n_c = int(n_max * q_c / max q), so
    that the largest class has ``n_max`` images, as in the long-tailed sets; a class may have none.
    Each k has a legacy NumPy generator of its own, whose stream is frozen.
    """
    rng = np.random.RandomState([_DIRICHLET, seed, k])
    prior = rng.dirichlet(np.full(classes, concentration))
    counts: Counts = (n_max * (prior / prior.max())).astype(np.int64)
    counts[prior.argmax()] = n_max
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
