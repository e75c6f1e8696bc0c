"""What a row predicts for single test images."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ltbench.errors import InputError, nearest
from ltbench.evaluate.evaluate import adapt
from ltbench.evaluate.outputs import TrialOutputs
from ltbench.evaluate.sources import build_source
from ltbench.evaluate.stored import sets_for
from ltbench.resolve.rows import ResolvedRow

DEFAULT = "uniform"  # the test set on which a row adapts, unless another one is asked for
FIXED = "none"  # the strategy whose predictions depend on no other test image


@dataclass(frozen=True, eq=False)
class Predictions:
    """images: ``(N,)`` int64, their places in the test pool; scores: ``(N, C)`` float32."""

    images: Tensor
    scores: Tensor


def predict_images(
    outputs: TrialOutputs, row: ResolvedRow, distribution: str | None, draw: int = 0
) -> Predictions:
    """Of the images of a draw of ``distribution``, sorted by place, as in the evaluation of the row.

    None: every image of the pool for a row that does not adapt, :data:`DEFAULT` for one that does.
    Raises :class:`InputError` for a test set or draw that there is not.
    """
    strategy = row.strategy.cls(row.strategy_hyper)
    counts = torch.from_numpy(outputs.task.train.counts)
    source = build_source(row, row.build_method(counts), outputs)
    if distribution is None and row.strategy.name == FIXED:
        chosen = torch.arange(len(outputs.labels))
        name, logits = "pool", outputs.logits
    else:
        sets = {test_set.name: test_set for test_set in sets_for(row, outputs.task.test_sets)}
        name = distribution or DEFAULT
        if name not in sets:
            listed = ", ".join(sets)
            raise InputError(
                f"no test set {name!r}{nearest(name, list(sets))} (there are: {listed})"
            )
        if not 0 <= draw < sets[name].draws:
            last = sets[name].draws - 1
            span = "draw 0 alone" if last == 0 else f"draws 0 to {last}"
            raise InputError(f"test set {name} has {span} for {row.label}, no draw {draw}")
        chosen = outputs.indices_of(sets[name], draw)
        logits = outputs.logits_for(sets[name])
    _, scores = adapt(outputs, row, strategy, source, name, draw, chosen, logits)
    order = chosen.argsort()
    return Predictions(chosen[order], scores[order])
