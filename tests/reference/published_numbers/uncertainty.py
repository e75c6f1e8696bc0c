"""Tables of uncertainty: pairs of rows over seeds, test images, seeds and images together, what is bold."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from statistics import NormalDist
from typing import Any

import numpy as np

from .accuracy import Cells, PerSeed, counted, mean_over
from .records import Row, Section, bits, image_classes
from .student import cell, holm, mean, p_value, quantile, two_sided

RESAMPLES = 1000
TIE = 1e-9


def differences(first: PerSeed, second: PerSeed) -> list[float]:
    """First minus second over the seeds that both have."""
    return [first[seed] - second[seed] for seed in sorted(first) if seed in second]


def pairs(section: Section) -> Cells:
    """All pairs by descending mean; of more than twelve rows the best with each, and neighbours."""
    shifts = section.shifts
    rows = [row for row in section.rows.values() if not row.knows_prior]
    means = {row.label: mean_over(row, shifts) for row in rows}
    rows.sort(key=lambda row: -round(mean(list(means[row.label].values())), 9))
    chosen = list(combinations(rows, 2))
    if len(rows) > 12:
        chosen = [(rows[0], row) for row in rows[1:]]
        chosen += [(rows[k], rows[k + 1]) for k in range(1, len(rows) - 1)]
    found = [(a, b, differences(means[a.label], means[b.label])) for a, b in chosen]
    found = [(a, b, d) for a, b, d in found if d]
    tested = [p for _, _, d in found if (p := p_value(d)) is not None]
    adjusted = iter(holm(tested))
    table: Cells = {}
    for a, b, d in found:
        line: dict[str, Any] = {"n": float(len(d)), "difference": cell(d)}
        line["p"] = None if p_value(d) is None else next(adjusted)
        apart = [differences(a.draws(n, "top1"), b.draws(n, "top1")) for n in shifts]
        better = [mean([0.5 if abs(x) <= TIE else float(x > 0) for x in own]) for own in apart]
        line["improvement"] = (100 * mean(better), None, len(d))
        line[shifts[0]], line[shifts[-1]] = cell(apart[0]), cell(apart[-1])
        table[a.label, b.label] = line
    return table


@dataclass
class Images:
    """Draw 0 of a row: ``right[k]`` ``(S, n_k)`` of the k-th class that has images."""

    label: str
    right: list[np.ndarray]
    seeds: list[int]

    @property
    def sizes(self) -> list[int]:
        return [own.shape[1] for own in self.right]


def images(section: Section, row: Row, name: str) -> Images:
    found = row.sets(name)
    own = image_classes(section, next(iter(found.values())))
    right = np.array([bits(one) for one in found.values()])
    ends = np.cumsum(np.unique(own, return_counts=True)[1])
    right = right[:, np.argsort(own, kind="stable")]
    return Images(row.label, np.split(right, ends[:-1], axis=1), list(found))


def test_images(section: Section) -> Cells:
    """Bootstrap over the images of each class, or Wilson's interval."""
    table: Cells = {label: {} for label in ((label,) for label in section.rows)}
    for name in section.shifts:
        found = [images(section, row, name) for row in section.rows.values()]
        sums = _resampled(found)
        for one, own in zip(found, sums, strict=True):
            n, seeds = sum(one.sizes), len(one.seeds)
            right = sum(int(block.sum()) for block in one.right)
            low, high = np.percentile(own, [2.5, 97.5])
            half = 100.0 * (high - low) / (2 * seeds * n)
            if half == 0 or min(right / seeds, n - right / seeds) < 5:
                least, most = wilson(right / seeds, n)
                half = 50.0 * (most - least)
            table[one.label,][name] = (100.0 * right / (seeds * n), half, seeds)
    return {key: counted(cells, section.shifts) for key, cells in table.items()}


def _resampled(rows: Sequence[Images]) -> np.ndarray:
    """``(R, 1000)`` right images, summed over seeds."""
    hits = [np.concatenate([own.sum(axis=0) for own in row.right]) for row in rows]
    # Whole numbers below 2^24, of which single precision rounds none.
    times = _draws(tuple(rows[0].sizes)).astype(np.float32)
    return np.rint(np.array(hits, dtype=np.float32) @ times.T).astype(np.int64)


@lru_cache(maxsize=16)
def _draws(sizes: tuple[int, ...]) -> np.ndarray:
    """``(1000, N)`` times that each image is drawn. The published draws: generator 0, class by class."""
    rng = np.random.default_rng(0)
    found = []
    for n in sizes:
        chosen = rng.integers(n, size=(RESAMPLES, n), dtype=np.uint32)
        places = (chosen + n * np.arange(RESAMPLES)[:, None]).ravel()
        times = np.bincount(places, minlength=n * RESAMPLES).reshape(RESAMPLES, n)
        assert times.max() < 256
        found.append(times.astype(np.uint8))
    return np.concatenate(found, axis=1)


def wilson(right: float, n: int) -> tuple[float, float]:
    """Ends of abs(p - x) = z sqrt(x (1 - x) / n), solved for x."""
    z2 = NormalDist().inv_cdf(0.975) ** 2
    p = right / n
    a, b, c = 1 + z2 / n, -(2 * p + z2 / n), p * p
    root = math.sqrt(b * b - 4 * a * c)
    return (-b - root) / (2 * a), (-b + root) / (2 * a)


@dataclass
class Parts:
    """Mean of crossed seeds and images, its variance, degrees of freedom, the share of the images."""

    mean: float
    variance: float
    freedom: float
    share: float

    @property
    def half_width(self) -> float:
        return quantile(self.freedom) * math.sqrt(self.variance)

    @property
    def p(self) -> float:
        if not self.variance:
            return 0.0 if self.mean else 1.0
        return two_sided(abs(self.mean) / math.sqrt(self.variance), self.freedom)


def crossed(values: Sequence[np.ndarray]) -> Parts:
    """V = V_seeds + V_images - V_rest of ``(S, n_c)`` values of each class, classes being strata."""
    values = _joined(values)
    seeds, total = values[0].shape[0], sum(own.shape[1] for own in values)
    per_seed = [float(np.concatenate(values, axis=1)[s].mean()) for s in range(seeds)]
    centre = mean(per_seed)
    of_seeds = sum((m - centre) ** 2 for m in per_seed) / (seeds - 1) / seeds
    of_images = of_rest = squares = 0.0
    for own in values:
        n = own.shape[1]
        weight = (n / total) ** 2 / n
        rows, columns = own.mean(axis=1, keepdims=True), own.mean(axis=0, keepdims=True)
        part = weight * float(((columns - own.mean()) ** 2).sum()) / (n - 1)
        residual = own - rows - columns + own.mean()
        of_rest += weight * float((residual**2).sum()) / ((n - 1) * (seeds - 1)) / seeds
        of_images += part
        squares += part**2 / (n - 1)
    image_freedom = of_images**2 / squares if squares else float(total - len(values))
    variance = max(of_seeds + of_images - of_rest, of_seeds, of_images)
    below = of_seeds**2 / (seeds - 1)
    below += (of_images**2 + of_rest**2 / (seeds - 1)) / image_freedom
    freedom = max(variance**2 / below, seeds - 1) if variance else float(seeds - 1)
    share = min(1.0, max(0.0, of_images - of_rest) / variance) if variance else 0.0
    return Parts(centre, variance, freedom, share)


def _joined(values: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Classes of one image, with the smallest of the others, are one stratum."""
    single = [own for own in values if own.shape[1] == 1]
    others = [own for own in values if own.shape[1] > 1]
    if single and others:
        smallest = min(range(len(others)), key=lambda k: others[k].shape[1])
        single.append(others.pop(smallest))
    return [*others, np.concatenate(single, axis=1)] if single else others


def seeds_and_images(section: Section) -> tuple[Cells, dict[str, set[str]]]:
    """Rows of three seeds or more; and what is bold by column."""
    table: Cells = {}
    bold: dict[str, set[str]] = {}
    shares: dict[str, list[float]] = {}
    for name in section.shifts:
        rows = [row for row in section.rows.values() if len(row.sets(name)) >= 3]
        found = {row.label: images(section, row, name) for row in rows}
        parts = {label: crossed([100.0 * x for x in one.right]) for label, one in found.items()}
        for label, one in parts.items():
            cells = table.setdefault((label,), {})
            cells[name] = (one.mean, one.half_width, len(found[label].seeds))
            shares.setdefault(label, []).append(100.0 * one.share)
        ranked = [row.label for row in rows if not row.knows_prior]

        def p(a: str, b: str, found: dict[str, Images] = found) -> float | None:
            shared = [s for s in found[a].seeds if s in found[b].seeds]
            if len(shared) < 3:
                return None
            one, two = ([found[x].seeds.index(s) for s in shared] for x in (a, b))
            both = zip(found[a].right, found[b].right, strict=True)
            return crossed([100.0 * (x[one] - y[two]) for x, y in both]).p

        bold[name] = best({label: parts[label].mean for label in ranked}, p)
    for (label,), cells in table.items():
        cells |= counted(dict(cells), section.shifts) | {
            "images": (mean(shares[label]), None, None)
        }
    return table, bold


def best(
    means: dict[str, float], p: Callable[[str, str], float | None], *, lower: bool = False
) -> set[str]:
    """The best and all that Holm's tests against it do not tell apart; none where that is every row."""
    sign = 1.0 if lower else -1.0
    top = min((sign * m for m in means.values()), default=0.0)
    leaders = [label for label, m in means.items() if abs(sign * m - top) <= TIE]
    tested: dict[str, float] = {}
    for label in means:
        known = [q for other in leaders if other != label and (q := p(label, other)) is not None]
        if label != leaders[0] and known:
            tested[label] = 1.0 if label in leaders else max(known)
    adjusted = dict(zip(tested, holm(list(tested.values())), strict=True))
    tied = {label for label in means if label in leaders or adjusted.get(label, 1.0) >= 0.05}
    return tied if tested and len(tied) < len(means) else set()


def bold_columns(
    rows: Iterable[Row], columns: dict[str, Callable[[Row], PerSeed]], lower: Sequence[str]
) -> dict[str, set[str]]:
    """By column, of the rows that do not know the prior, from paired t tests over seeds."""
    ranked = [row for row in rows if not row.knows_prior]
    found = {}
    for name, pick in columns.items():
        values = {row.label: own for row in ranked if (own := pick(row))}
        means = {label: mean(list(own.values())) for label, own in values.items()}

        def p(a: str, b: str, values: dict[str, PerSeed] = values) -> float | None:
            return p_value(differences(values[a], values[b]))

        found[name] = best(means, p, lower=name in lower)
    return found
