"""``load_results``: all evaluations of a results folder as one tidy table."""

from __future__ import annotations

from collections.abc import Iterator
from os import PathLike
from pathlib import Path

import pandas as pd

from ltbench.errors import InputError
from ltbench.report.frames.columns import ROW_COLUMNS, row_values
from ltbench.report.records.names import distribution_order
from ltbench.report.records.read import Records, read_records
from ltbench.report.records.schema import GROUPS, Distribution, Draw, Evaluation
from ltbench.report.rows.one_code import codes_of
from ltbench.report.rows.sections import group_records
from ltbench.report.rows.summary import mean_of

COLUMNS: dict[str, str] = {
    **ROW_COLUMNS,
    "distribution": "str",
    "top1": "float64",
    "n_draws": "int64",
    "trial": "str",
    "label": "str",
    "title": "str",
    "uses_true_prior": "bool",
    "mode": "str",
    "kind": "str",
    "ratio": "float64",
    "draw": "Int64",
    "n_images": "int64",
    "macro": "float64",
    "nll": "float64",
    "ece": "float64",
    "brier": "float64",
    "top5": "float64",
    "many": "float64",
    "medium": "float64",
    "few": "float64",
    "parameters": "Int64",
    "experts": "int64",
    "precision": "str",
    "train_fingerprint": "str",
    "test_fingerprint": "str",
    "evaluation": "str",
    "bias_kind": "str",
    "code": "str",
    "current": "bool",
}
SCORES = frozenset(
    {"distribution", "n_draws", "kind", "ratio", "draw", "n_images", "top1", "macro", "nll", "ece"}
    | {"brier", "top5", *GROUPS}
)
"""The columns that differ between the rows of one record."""


def load_results(path: str | PathLike[str], draws: str | int = "mean") -> pd.DataFrame:
    """One row per protocol, variant, method, strategy (with parameters), seed and distribution.

    Args:
        path: a results folder; ``path/published`` is read only when it is the path itself.
        draws: ``"mean"`` averages over the draws of a test set, ``"all"`` gives a row per draw,
            a number gives that draw alone; sets that hold every image of their classes have one
            draw, the same for every number. The number stands in the column ``draw`` (missing for
            ``"mean"``).

    Returns:
        A frame with the columns of :data:`COLUMNS`, sorted. Accuracies (``top1``, ``macro``,
        ``many``, ``medium``, ``few``) are in per cent; the last three stand in uniform and
        natural rows only and are missing where a group has no class. ``nll`` is in nats, ``ece`` a fraction.
        ``bias_kind`` says how a row that reasons about priors knows the bias of the logits:
        ``closed-form``, ``fitted``, ``reference`` (unreliable, no reference for regret), or empty.
        ``code`` is the digest of the row's code where it is not what ltbench ships (of method and
        strategy, joined by ``+``), ``current`` whether it is the code that was asked for last: rows
        of several codes stand side by side, so select ``frame[frame.current]`` before a mean.
        ``n_draws`` is how many draws a row is the mean of, ``n_images`` the images of one draw.
        Records that differ in anything else (precision, data, protocol version, a second trial
        of the same seed) keep rows of their own: ``trial`` and ``evaluation`` tell them apart.

    Raises:
        InputError: ``path`` is missing or no folder, or ``draws`` is none of the above.
    """
    check_draws(draws)
    return results_frame(read_records(Path(path)), draws)


def check_draws(draws: object) -> None:
    is_number = isinstance(draws, int) and not isinstance(draws, bool) and draws >= 0
    if not (is_number or draws in ("mean", "all")):
        raise InputError(f"draws is {draws!r}; it must be 'mean', 'all' or a draw's number from 0")


def results_frame(records: Records, draws: str | int = "mean") -> pd.DataFrame:
    """The frame of :func:`load_results` for records that are already read."""
    evaluations = sorted(records.evaluations, key=evaluation_order)
    if isinstance(draws, int):
        _check_known(evaluations, draws)
    current = _current(records)
    shared = [{**_shared(e), "current": id(e) in current} for e in evaluations]
    scores = [list(_rows(e, draws)) for e in evaluations]
    # By columns: pandas takes several times as long over as many dicts.
    columns = {name: [row[name] for rows in scores for row in rows] for name in SCORES}
    for name in COLUMNS.keys() - SCORES:
        columns[name] = [
            record[name] for record, rows in zip(shared, scores, strict=True) for _ in rows
        ]
    return pd.DataFrame(columns, columns=list(COLUMNS)).astype(COLUMNS)


def _current(records: Records) -> set[int]:
    """The identities of the evaluations that a report shows."""
    groups, _ = group_records(records)
    return {id(e) for group in groups.values() for e in group.evaluations if group.code.keeps(e)}


def _code(evaluation: Evaluation) -> str:
    digests = dict.fromkeys(code.digest for code in codes_of(evaluation) if code.digest)
    return "+".join(digests)


def _check_known(evaluations: list[Evaluation], number: int) -> None:
    known = {
        draw.number
        for evaluation in evaluations
        for distribution in evaluation.distributions
        for draw in distribution.draws
    }
    if known and number not in known:
        raise InputError(f"no record has draw {number}; draws go from {min(known)} to {max(known)}")


def evaluation_order(evaluation: Evaluation) -> tuple[str | int, ...]:
    """The order of rows: by protocol, version, variant, data, method, strategy, then seed."""
    e = evaluation
    return (
        *(e.protocol.name, e.protocol.version, e.protocol.variant),
        *(e.train_fingerprint, e.test_fingerprint, e.precision, e.mode),
        *(e.method, e.method_params, e.strategy, e.strategy_params),
        *(e.seed, e.trial.trial, e.evaluation),
    )


def _rows(evaluation: Evaluation, draws: str | int) -> Iterator[dict[str, object]]:
    """The columns :data:`SCORES` of each distribution, or of each of its draws."""
    ordered = sorted(
        evaluation.distributions, key=lambda d: distribution_order(d.name, d.kind, d.ratio)
    )
    for distribution in ordered:
        if draws == "mean":
            yield _scores(distribution, distribution.draws, None)
            continue
        every_image = not distribution.drawn
        for draw in distribution.draws:
            if draws == "all" or every_image or draw.number == draws:
                yield _scores(distribution, (draw,), draw.number)


def _shared(e: Evaluation) -> dict[str, object]:
    """What all rows of a record have alike."""
    return {
        **row_values(e),
        "trial": e.trial.trial,
        "label": e.label,
        "title": e.title,
        "uses_true_prior": e.uses_true_prior,
        "mode": e.mode,
        "parameters": e.parameters,
        "experts": e.experts,
        "precision": e.precision,
        "train_fingerprint": e.train_fingerprint,
        "test_fingerprint": e.test_fingerprint,
        "evaluation": e.evaluation,
        "bias_kind": e.bias_kind,
        "code": _code(e),
    }


def _scores(
    distribution: Distribution, draws: tuple[Draw, ...], number: int | None
) -> dict[str, object]:
    groups = distribution.recalls.groups if distribution.recalls else {}
    return {
        "distribution": distribution.name,
        "n_draws": len(draws),
        "kind": distribution.kind,
        "ratio": distribution.ratio,
        "draw": number,
        "n_images": round(mean_of([draw.n for draw in draws]) or 0),
        "top1": mean_of([draw.top1 for draw in draws]),
        "macro": mean_of([draw.macro for draw in draws]),
        "nll": mean_of([draw.nll for draw in draws]),
        "ece": mean_of([draw.ece for draw in draws]),
        "brier": mean_of([draw.brier for draw in draws]),
        "top5": mean_of([draw.top5 for draw in draws]),
        **{name: groups.get(name) for name in GROUPS},
    }
