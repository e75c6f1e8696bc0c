r"""How much one subset, one training seed and one draw of a test set move each distribution.

Needs trials of every seed on every subset:

    for k in 0 1 2 3 4; do
        ltbench run --methods ce,sade+none --protocol digits-lt --seeds 5 --results R \
            --set train.split_seed=$k
    done

A results folder with a single trial gives the draws alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.flaws.components import Component, TwoWay, one_way, two_way
from benchmarks.flaws.finding import Finding
from ltbench import load_results
from ltbench.errors import InputError

_SPLIT = re.compile(r"^(?:train\.split_seed=(\d+))?$")


@dataclass(frozen=True)
class Layout:
    """``values[subset, seed, draw]`` of one row and distribution, per cent."""

    row: str
    distribution: str
    subsets: tuple[int, ...]
    seeds: tuple[int, ...]
    values: NDArray[np.float64]

    @property
    def trainings(self) -> TwoWay | None:
        """Subsets in rows, seeds in columns, each value the mean over the draws."""
        means = self.values.mean(axis=2)
        return two_way(means) if min(means.shape) > 1 else None

    @property
    def draws(self) -> tuple[Component, Component | None] | None:
        """sd of a draw within one training, and the part that is the same for all trainings."""
        flat = self.values.reshape(-1, self.values.shape[2])
        if flat.shape[1] < 2:
            return None
        if len(flat) < 2:
            return one_way(flat[0]), None
        found = two_way(flat)
        return found.within_rows, found.columns


def layouts(frame: pd.DataFrame) -> list[Layout]:
    """All balanced layouts of one protocol: the seeds that every subset has.

    frame: ``load_results(path, draws="all")``; other variants than of ``train.split_seed``, other
    modes and rows with adaptation are left out.
    """
    split = frame["variant"].map(_subset)
    plain = (frame["mode"] == "clean") & (frame["strategy"] == "none") & split.notna()
    frame = frame[plain].assign(subset=split[plain].astype(int))
    found = []
    for (method, name), group in frame.groupby(["method", "distribution"], sort=False):
        by_subset = group.groupby("subset")["seed"].agg(set)
        seeds = sorted(set.intersection(*by_subset))
        subsets = sorted(by_subset.index)
        group = group[group["seed"].isin(seeds)]
        cube = group.set_index(["subset", "seed", "draw"])["top1"].sort_index()
        draws = sorted(group["draw"].unique())
        shape = (len(subsets), len(seeds), len(draws))
        if not seeds or len(cube) != np.prod(shape):
            raise InputError(
                f"{method}+none on {name}: {len(cube)} scores do not fill {shape[0]} subsets x "
                f"{shape[1]} seeds x {shape[2]} draws; `ltbench run` completes them"
            )
        values = cube.to_numpy(dtype=np.float64).reshape(shape)
        found.append(Layout(f"{method}+none", str(name), tuple(subsets), tuple(seeds), values))
    return found


def _subset(variant: str) -> int | None:
    match = _SPLIT.match(variant)
    return None if match is None else int(match[1] or 0)


def measure(results: Path, protocol: str, budget: str) -> Finding:
    """Standard deviations by source, with intervals. Raises :class:`InputError` where none is found."""
    frame = load_results(results, draws="all")
    found = layouts(frame[frame["protocol"] == protocol])
    shown = [one for one in found if one.trainings is not None or one.draws is not None]
    if not shown:
        raise InputError(f"{results} has no row of {protocol} with several draws, seeds or subsets")
    first = shown[0]
    return Finding(
        name=f"variance-{protocol}",
        title=f"Standard deviation of top-1 by source, points, {protocol}{budget}",
        columns=(
            *("row", "distribution", "mean", "subset", "seed, same subset", "one draw"),
            *("of it shared", "one run"),
        ),
        rows=tuple(_line(one) for one in shown),
        notes=(
            f"{len(first.subsets)} subset(s) (`train.split_seed`) x {len(first.seeds)} training "
            f"seed(s) x {first.values.shape[2]} draws; in brackets 95 % intervals (generalised, of "
            "variance components; of a single training chi-squared). Subset and seed: of the mean over "
            "the draws. One draw: of a single draw around that mean; of it shared: what moves every "
            "training alike, so that it does not blur comparisons on the same draw. One run: a number "
            "as usually published, one seed, one subset, one draw (all in quadrature). All draws "
            "come from one set of test images, so their spread is less than that of new images.",
        ),
        data={
            "subsets": list(first.subsets),
            "seeds": list(first.seeds),
            "draws": first.values.shape[2],
            "rows": [_json(one) for one in shown],
        },
    )


def _line(one: Layout) -> tuple[str, ...]:
    trainings, draws = one.trainings, one.draws
    shared = draws[1] if draws else None
    parts = [
        trainings.rows if trainings else None,
        trainings.within_rows if trainings else None,
        draws[0] if draws else None,
    ]
    known = [part.sd for part in parts if part is not None]
    return (
        one.row,
        one.distribution,
        f"{one.values.mean():.2f}",
        *("–" if part is None else str(part) for part in (*parts, shared)),
        f"{np.sqrt(sum(sd**2 for sd in known)):.2f}" if trainings else "–",
    )


def _json(one: Layout) -> dict[str, Any]:
    trainings, draws = one.trainings, one.draws
    told: dict[str, Any] = {"row": one.row, "distribution": one.distribution}
    told["mean"] = float(one.values.mean())
    if trainings is not None:
        told |= {
            "subset": trainings.rows.to_json(),
            "seed": trainings.columns.to_json(),
            "subset_by_seed": trainings.rest.to_json(),
            "seed_within_subset": trainings.within_rows.to_json(),
        }
    if draws is not None:
        told["draw"] = draws[0].to_json()
        told["draw_shared"] = draws[1].to_json() if draws[1] else None
    told["mean_over_draws"] = one.values.mean(axis=2).round(4).tolist()
    return told
