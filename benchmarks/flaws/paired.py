"""Paired differences seed by seed between two conditions of the same rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from ltbench.report.rows.summary import Summary, summarise

MEAN = "mean"
"""The mean over the distributions of one seed, as one more distribution."""


@dataclass(frozen=True)
class Pairing:
    """``first`` and ``second`` of one row and distribution, seed by seed, in per cent."""

    row: str
    distribution: str
    seeds: tuple[int, ...]
    first: tuple[float, ...]
    second: tuple[float, ...]

    @property
    def difference(self) -> Summary:
        """Second minus first, points; interval from three seeds on."""
        found = summarise(b - a for a, b in zip(self.first, self.second, strict=True))
        assert found is not None
        return found

    def to_json(self) -> dict[str, Any]:
        return {
            "row": self.row,
            "distribution": self.distribution,
            "n": len(self.seeds),
            "difference": self.difference.mean,
            "half_width_95": self.difference.half_width,
            "seeds": list(self.seeds),
            "first": list(self.first),
            "second": list(self.second),
        }


def pair(frame: pd.DataFrame, column: str, first: str, second: str) -> list[Pairing]:
    """Pairs of ``column == first`` and ``column == second``, in the order of ``frame``.

    ``frame``: rows of :func:`ltbench.load_results` of one protocol, one for each condition, row,
    seed and distribution. A seed that lacks a condition is left out.
    """
    frame = frame.assign(row=frame["method"] + "+" + frame["strategy"])
    keys = [column, "row", "seed"]
    mean = frame.groupby(keys, as_index=False)["top1"].mean().assign(distribution=MEAN)
    both = pd.concat([frame[[*keys, "distribution", "top1"]], mean], ignore_index=True)
    found = []
    for (row, name), group in both.groupby(["row", "distribution"], sort=False):
        wide = group.pivot(index="seed", columns=column, values="top1")
        if {first, second} <= set(wide.columns):
            wide = wide[[first, second]].dropna()
            if len(wide):
                found.append(
                    Pairing(
                        str(row),
                        str(name),
                        tuple(int(seed) for seed in wide.index),
                        tuple(map(float, wide[first])),
                        tuple(map(float, wide[second])),
                    )
                )
    return found
