"""``load_recalls``: the recall of every class on the uniform test set, as one tidy table."""

from __future__ import annotations

from collections.abc import Iterator
from os import PathLike
from pathlib import Path

import pandas as pd

from ltbench.report.frames.columns import ROW_COLUMNS, row_values
from ltbench.report.frames.results import evaluation_order
from ltbench.report.records.read import read_records
from ltbench.report.records.schema import GROUPS, Distribution, Evaluation, Recalls

RECALL_COLUMNS: dict[str, str] = {
    **ROW_COLUMNS,
    "expert": "Int64",
    "class": "int64",
    "class_name": "str",
    "rank": "int64",
    "train_count": "int64",
    "group": "str",
    "n_test": "Int64",
    "recall": "float64",
    "label": "str",
    "mode": "str",
    "trial": "str",
    "evaluation": "str",
}


def load_recalls(path: str | PathLike[str] = "results") -> pd.DataFrame:
    """The recall of each class on the uniform test set, one row per evaluation, predictor and class.

    recall_c = 100 * (images of class c predicted as c) / (images of class c), in per cent; missing
    for a class without test images.

    Args:
        path: a results folder; ``path/published`` is read only when it is the path itself.

    Returns:
        A frame with the columns of :data:`RECALL_COLUMNS`, in the order of
        :func:`ltbench.load_results`. ``expert`` is missing for the row's own prediction, else the
        expert, from 0, whose argmax is taken alone (where the record has it). ``class`` is the
        label, ``rank`` 0 the most frequent training class, ``train_count`` its training images,
        ``group`` many, medium or few, ``n_test`` its test images (missing where the record does not
        tell).

    Raises:
        InputError: ``path`` is missing or no folder.
    """
    evaluations = sorted(read_records(Path(path)).evaluations, key=evaluation_order)
    rows = [row for evaluation in evaluations for row in _rows(evaluation)]
    return pd.DataFrame(rows, columns=list(RECALL_COLUMNS)).astype(RECALL_COLUMNS)


def _rows(evaluation: Evaluation) -> Iterator[dict[str, object]]:
    for distribution in evaluation.distributions:
        if distribution.recalls is None:
            continue
        yield from _classes(evaluation, distribution, distribution.recalls, None)
        for expert, recalls in enumerate(distribution.experts):
            yield from _classes(evaluation, distribution, recalls, expert)


def _classes(
    e: Evaluation, distribution: Distribution, recalls: Recalls, expert: int | None
) -> Iterator[dict[str, object]]:
    group_of = {c: name for name in GROUPS for c in e.groups.get(name, ())}
    for c, recall in enumerate(recalls.per_class):
        yield {
            **row_values(e),
            "expert": expert,
            "class": c,
            "class_name": e.class_names[c],
            "rank": e.rank[c],
            "train_count": e.train_counts[c],
            "group": group_of.get(c, ""),
            "n_test": distribution.counts[c] if distribution.counts else None,
            "recall": recall,
            "label": e.label,
            "mode": e.mode,
            "trial": e.trial.trial,
            "evaluation": e.evaluation,
        }
