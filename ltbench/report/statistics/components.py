"""Intervals that cover training seeds and test images together, from variance components.

Every seed meets the same images: a crossed design. With X_si whether seed s has image i right (or, of
two methods, the difference of the two) and c the class of image i,

    X_si = mu_c + A_sc + B_i + E_si

A: what a seed does to a class, B: how hard an image is, E: the rest. Over S seeds and N images, n_c of
class c, the mean m has

    Var(m) = Var_s(sum_c n_c/N A_sc) / S + sum_c (n_c/N)^2 (Var(B) + Var(E) / S) / n_c

and V = V_seeds + V_images - V_rest estimates it without bias: the variance of the seeds' means over S,
the variance within classes of the images' means, and that of the residuals, which the first two both
hold. A negative estimate of a component counts as zero. Degrees of freedom: Satterthwaite.

Resampling seeds and images instead (the pigeonhole bootstrap: Owen 2007, Annals of Applied Statistics
1(2)) counts Var(E) three times and is too narrow in the seeds: with 3 to 5 of them by (S - 1) / S.
Source: Searle, Casella, McCulloch 1992, Variance Components, chapters 4 and 5; STATISTICS.md, 4.4.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ltbench.report.rows.summary import SMALLEST_N, t_quantile


@dataclass(frozen=True)
class Components:
    """Mean of ``(S, N)`` values and the parts of its variance, in the square of their unit."""

    mean: float
    seeds: float
    images: float
    rest: float
    seed_freedom: int
    image_freedom: float
    """Over classes of unlike size and spread: Satterthwaite's, too."""

    @property
    def variance(self) -> float:
        return max(self.seeds + self.images - self.rest, self.seeds, self.images)

    @property
    def freedom(self) -> float:
        """Of Satterthwaite's approximation; not below that of the seeds."""
        if not self.variance:
            return self.seed_freedom
        squares = self.seeds**2 / self.seed_freedom
        squares += (self.images**2 + self.rest**2 / self.seed_freedom) / self.image_freedom
        return max(self.variance**2 / squares, self.seed_freedom)

    @property
    def half_width(self) -> float:
        """Of the 95 % interval for the mean over all seeds and all images of these classes."""
        return t_quantile(self.freedom + 1.0) * math.sqrt(self.variance)

    @property
    def p(self) -> float:
        """Two-sided, of the test that the mean is zero."""
        if not self.variance:
            return 0.0 if self.mean else 1.0
        from scipy import special

        t = abs(self.mean) / math.sqrt(self.variance)
        return 2.0 * float(special.stdtr(self.freedom, -t))


def components(values: NDArray[np.float64], sizes: tuple[int, ...]) -> Components | None:
    """Of ``(S, N)`` values, images class by class with ``sizes`` of them.

    None below three seeds. A class of one image tells no variance within: all of them are taken for
    one stratum together with the smallest of the others, which is too wide rather than too narrow.
    """
    seeds, images = values.shape
    sizes, values = _without_singles(sizes, values)
    starts = np.cumsum([0, *sizes[:-1]])
    n = np.asarray(sizes, dtype=np.float64)
    if seeds < SMALLEST_N or images <= len(sizes):
        return None
    per_seed = values.mean(axis=1)
    per_image = values.mean(axis=0)
    cells = np.add.reduceat(values, starts, axis=1) / n
    spread = per_image - np.repeat(cells.mean(axis=0), sizes)
    residuals = values - per_image - np.repeat(cells - cells.mean(axis=0), sizes, axis=1)
    weights = n / (n - 1.0) / images**2  # (n_c / N)^2 / n_c of a mean square with n_c - 1
    squares = np.add.reduceat(np.square(residuals).sum(axis=0), starts)
    parts = weights * np.add.reduceat(np.square(spread), starts)
    unequal = float((parts**2 / (n - 1.0)).sum())
    return Components(
        mean=float(values.mean()),
        seeds=float(per_seed.var(ddof=1)) / seeds,
        images=float(parts.sum()),
        rest=float(weights @ squares) / (seeds * (seeds - 1)),
        seed_freedom=seeds - 1,
        image_freedom=float(parts.sum()) ** 2 / unequal if unequal else float(images - len(sizes)),
    )


def _without_singles(
    sizes: tuple[int, ...], values: NDArray[np.float64]
) -> tuple[tuple[int, ...], NDArray[np.float64]]:
    if min(sizes) > 1:
        return sizes, values
    counts = np.asarray(sizes)
    others = np.flatnonzero(counts > 1)
    joined = counts == 1
    if len(others):
        joined[others[counts[others].argmin()]] = True
    order = np.argsort(np.repeat(joined, counts), kind="stable")
    rest = int(counts[joined].sum())
    return (*counts[~joined].tolist(), rest), values[:, order]
