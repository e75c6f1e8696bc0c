"""How much the augmented evaluation of published code changes the shifted numbers.

Needs trials evaluated both ways, e.g. (the protocol must train with augmentation; digits-lt as it
stands does not):

    ltbench run --methods ce,sade --protocol digits-lt --set recipe.crop_padding=1 --seeds 10 --results R
    ltbench evaluate --methods ce,sade+none --mode augmented (and the rest as above)
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.flaws.finding import Finding, signed
from benchmarks.flaws.paired import Pairing, pair
from ltbench import load_results
from ltbench.errors import InputError
from ltbench.report.records.bits import unpacked
from ltbench.report.records.read import read_records
from ltbench.report.records.schema import Evaluation

NORMAL_QUANTILE = 1.959964


def measure(results: Path, protocol: str, budget: str) -> Finding:
    """Augmented minus clean, of rows without adaptation, on the forward and backward sets.

    Raises :class:`InputError` where nothing was evaluated in both modes.
    """
    frame = load_results(results)
    shifted = frame["kind"].isin(["forward", "backward"])
    chosen = frame[shifted & (frame["protocol"] == protocol) & (frame["strategy"] == "none")]
    blocks = []
    for variant, group in chosen.groupby("variant"):
        pairs = pair(group, "mode", "clean", "augmented")
        blocks += [(str(variant), one) for one in pairs]
    if not blocks:
        raise InputError(
            f"{results} has no row of {protocol} without adaptation in both modes; "
            "`ltbench evaluate --mode augmented` adds the second"
        )
    images = _over_images(results, protocol)
    rows, data = [], []
    for variant, one in blocks:
        half = images.get((variant, one.row, one.distribution))
        rows.append(_line(one, variant, half))
        data.append(one.to_json() | {"variant": variant, "half_width_95_images_draw_0": half})
    gains = _gains(frame[shifted & (frame["protocol"] == protocol)])
    return Finding(
        name=f"augmented-{protocol}",
        title=f"Augmented minus clean evaluation, top-1 points, {protocol}{budget}",
        columns=("row", "distribution", "n", "clean", "augmented", "difference", "± images"),
        rows=tuple(rows),
        notes=(
            "Mean over the draws of a set, then over n seeds; ± after the difference is the half-width "
            "of the 95 % t interval over seeds (from three on), the last column that over the test "
            "images of draw 0 (normal, paired image by image, each with its mean over the seeds). "
            "The uniform and partial sets are clean in both modes.",
            *gains,
        ),
        data={"rows": data, "notes": gains},
    )


def _line(one: Pairing, variant: str, half: float | None) -> tuple[str, ...]:
    difference = one.difference
    name = f"{one.row} ({variant})" if variant else one.row
    return (
        name,
        one.distribution,
        str(len(one.seeds)),
        f"{np.mean(one.first):.2f}",
        f"{np.mean(one.second):.2f}",
        signed(difference.mean, difference.half_width),
        "–" if half is None else f"{half:.2f}",
    )


def _over_images(results: Path, protocol: str) -> dict[tuple[str, str, str], float]:
    """Half-width of the 95 % interval over the images of draw 0, of the mean over the seeds."""
    hits: dict[tuple[str, str, str], dict[str, dict[int, np.ndarray]]] = {}
    for evaluation in read_records(results).evaluations:
        if evaluation.protocol.name == protocol and evaluation.strategy == "none":
            for name, bits in _first_draws(evaluation):
                row = f"{evaluation.method}+none"
                key = (evaluation.protocol.variant, row, name)
                modes = hits.setdefault(key, {"clean": {}, "augmented": {}})
                modes[evaluation.mode][evaluation.seed] = bits
    found = {}
    for key, modes in hits.items():
        seeds = sorted(modes["clean"].keys() & modes["augmented"].keys())
        if seeds:
            each = [100.0 * (modes["augmented"][s] - modes["clean"][s]) for s in seeds]
            found[key] = image_half_width(each)
    return found


def _first_draws(evaluation: Evaluation) -> Sequence[tuple[str, np.ndarray]]:
    found = []
    for one in evaluation.distributions:
        first = next((draw for draw in one.draws if draw.number == 0), None)
        bits = unpacked(one.correct, first.n) if first else None
        if bits is not None:
            found.append((one.name, bits.astype(np.float64)))
    return found


def image_half_width(differences: Sequence[np.ndarray]) -> float:
    """1.96 sd / sqrt(N) over images of the mean over seeds; ``differences``: each ``(N,)``."""
    mean = np.mean(differences, axis=0)
    return float(NORMAL_QUANTILE * mean.std(ddof=1) / np.sqrt(len(mean)))


def _gains(frame: pd.DataFrame) -> list[str]:
    """What adaptation seems to gain where only the rows without it are augmented, and what it does."""
    told = []
    for (variant, method), group in frame.groupby(["variant", "method"]):
        means = group.groupby(["strategy", "mode", "seed"])["top1"].mean().unstack([0, 1])
        if ("stability", "clean") not in means or ("none", "augmented") not in means:
            continue
        wide = means[[("stability", "clean"), ("none", "clean"), ("none", "augmented")]].dropna()
        if not len(wide):
            continue
        adapted, clean, augmented = (wide[column].mean() for column in wide.columns)
        where = f" ({variant})" if variant else ""
        told.append(
            f"{method}{where}: mean gain of `stability` over the shifted sets, {len(wide)} seed(s): "
            f"{adapted - clean:+.2f} points on the same images, {adapted - augmented:+.2f} against the "
            "augmented row, as a table made the published way shows it."
        )
    return told
