"""Footnotes of rows that stand on an estimated bias of the training posterior."""

from __future__ import annotations

from collections.abc import Mapping

from ltbench.report.records.bias import BiasEstimate
from ltbench.report.rows.rows import Row
from ltbench.report.rows.summary import mean_of

ESTIMATE_MARK = "‡"


def bias_note(row: Row) -> str | None:
    """The footnote of a row that stands on an estimated bias; None for every other row."""
    kinds = {estimate.kind for estimate in row.biases.values()}
    if "reference" in kinds:
        return (
            f"{ESTIMATE_MARK} {row.label}: no hold-out to fit the prior in the logits on, the method's"
            " reference is taken as it is (kappa = 1): unreliable, excluded from regret"
        )
    if not kinds:
        return None
    text = f"{ESTIMATE_MARK} {row.label}: prior in the logits fitted on held-out training images"
    return f"{text}, an estimate; {describe_estimates(row.biases)}"


def describe_estimates(estimates: Mapping[int, BiasEstimate]) -> str:
    """``"kappa 0.21 ± 0.10, ...; standard error of b 0.10 nats (median), 0.35 (largest), seed 0"``."""
    found = list(estimates.values())
    parts = []
    if all(estimate.kappa and estimate.kappa_error for estimate in found):
        experts = range(len(found[0].kappa))
        values = [
            f"{mean_of(f.kappa[e] for f in found):.2f} ± {mean_of(f.kappa_error[e] for f in found):.2f}"
            for e in experts
        ]
        parts.append(f"kappa {', '.join(values)} (experts; ± standard error)")
    median = mean_of(estimate.median_error for estimate in found)
    largest = max((e.largest_error for e in found if e.largest_error is not None), default=None)
    if median is not None and largest is not None:
        parts.append(f"standard error of b {median:.2f} nats (median), {largest:.2f} (largest)")
    seeds = f"mean over {len(found)} seeds" if len(found) > 1 else f"seed {min(estimates)}"
    return f"{'; '.join(parts)}; {seeds}"
