"""A decision as a table for readers and as plain values for programs."""

from __future__ import annotations

import math
from itertools import groupby

import numpy as np

from ltbench.report.decide import DecidedRow, Decision
from ltbench.report.rows.summary import Summary
from ltbench.report.statistics.mix import IMAGES, IMAGES_APART, SEEDS, SEEDS_APART, Estimate
from ltbench.report.tables.binary import positive_class
from ltbench.report.tables.table import FIXED, NOT_APPLICABLE, Block, Column, Shown, Table, Value

Plain = dict[str, object]
_MOST = 6
_APART = {True: Shown("yes", 1), False: Shown("no", 0), None: None}


def decision_table(decision: Decision) -> Table:
    """Accuracy at the mix, what separates a row from the first, its cost, and what else may come."""
    ends = [Column(test.name, test.short) for test in decision.ends]
    columns = (
        Column("method", "Method", text=True),
        Column("n", "n", plain=True),
        Column("accuracy", "Accuracy"),
        Column("difference", "To first"),
        Column("told_apart", "Apart", plain=True),
        *(Column(key, key.capitalize()) for key in _two(decision)),
        Column("macs", "MACs (M)", digits=2),
        Column("training_seconds", "Training (s)"),
        *ends,
    )
    blocks = tuple(
        Block(tuple(_line(one, decision) for one in rows), title)
        for title, rows in groupby(decision.rows, key=lambda one: one.block)
    )
    return Table(
        name=f"decide-{decision.mix}",
        title=f"Mix {decision.mix}: {_shares(decision)}",
        caption=_caption(decision),
        columns=columns,
        blocks=blocks,
        notes=decision.notes,
    )


def _two(decision: Decision) -> dict[str, int]:
    """Of two classes the one whose recall is so called: an accuracy at 1:200 hides both."""
    if len(decision.section.class_names) != 2:
        return {}
    positive = positive_class(decision.section)
    return {"sensitivity": positive, "specificity": 1 - positive}


def _recalls(one: DecidedRow, decision: Decision) -> dict[str, float | None]:
    known = one.recalls or (math.nan, math.nan)
    return {key: None if math.isnan(known[c]) else known[c] for key, c in _two(decision).items()}


def _two_told(decision: Decision) -> str:
    if not (two := _two(decision)):
        return ""
    names = decision.section.class_names
    sick, well = names[two["sensitivity"]], names[two["specificity"]]
    return f" Sensitivity: recall of {sick}; specificity: recall of {well}."


def _line(one: DecidedRow, decision: Decision) -> tuple[Value, ...]:
    n = len(one.row.seeds)
    return (
        one.row.label,
        n,
        _summary(one.accuracy, n),
        None if one.behind is None else _summary(one.behind, n),
        _APART[one.apart],
        *(_number(recall) for recall in _recalls(one, decision).values()),
        _number(one.macs),
        _number(one.seconds),
        *(_number(one.elsewhere[test.name]) for test in decision.ends),
    )


def _summary(estimate: Estimate, n: int) -> Summary:
    return Summary(estimate.mean, estimate.half_width, n)


def _number(value: float | None) -> Value:
    return NOT_APPLICABLE if value is None else Summary(value, None, 0)


def _shares(decision: Decision) -> str:
    names, shares = decision.section.class_names, decision.shares
    order = [int(c) for c in np.argsort(-shares, kind="stable") if shares[c] > 0]
    listed = [f"{names[c]} {100 * shares[c]:.3g} %" for c in order[:_MOST]]
    more = len(order) - _MOST
    return ", ".join([*listed, *([f"{more} more"] if more > 0 else [])])


def _caption(decision: Decision) -> str:
    used = {one.accuracy.over for one in decision.rows if one.accuracy.half_width is not None}
    used |= {one.behind.over for one in decision.rows if one.behind is not None}
    meanings = {
        SEEDS: "over training seeds (t, three seeds or more)",
        IMAGES: "over test images, class by class (fewer than three seeds)",
        SEEDS_APART: "over training seeds of two rows that were trained with different ones (Welch)",
        IMAGES_APART: "over test images as if the two rows had met different ones, since the records do not"
        " tell which images are right",
    }
    told = "; ".join(meaning for over, meaning in meanings.items() if over in used)
    ends = ", ".join(test.short for test in decision.ends)
    return (
        f"{decision.section.title}. Accuracy (%) of rows that do not adapt: the recall of each class on all"
        " its test images, weighted by its share; exact at any mix."
        + (f" ± is half a 95 % interval {told}." if told else "")
        + " To first: difference to the first row; apart: whether the two can be told apart (5 %, Holm's"
        " correction)."
        + _two_told(decision)
        + " MACs of one image; training time of one trial on the machine that ran it."
        + (f" {ends}: what the row has where the mix turns out to be another." if ends else "")
    )


def decision_values(decision: Decision) -> list[Plain]:
    """A mapping for each row; accuracies in per cent, None where something is not known."""
    key = decision.section.key
    forward = next((t.name for t in decision.ends if t.kind == "forward"), None)
    uniform = next((t.name for t in decision.ends if t.kind == "uniform"), None)
    backward = next((t.name for t in decision.ends if t.kind == "backward"), None)
    blocks: dict[str, int] = {}
    values: list[Plain] = []
    for one in decision.rows:
        blocks[one.block] = rank = blocks.get(one.block, 0) + 1
        behind = one.behind
        values.append(
            {
                "protocol": key.protocol,
                "variant": key.variant,
                "mix": decision.mix,
                "row": one.row.label,
                "block": one.block,
                "rank": rank,
                "seeds": len(one.row.seeds),
                "exact": one.block == FIXED,
                "accuracy": one.accuracy.mean,
                "half_width": one.accuracy.half_width,
                "interval_over": one.accuracy.over,
                "difference": None if behind is None else behind.mean,
                "difference_half_width": None if behind is None else behind.half_width,
                "difference_over": "" if behind is None else behind.over,
                "told_apart": one.apart,
                **_recalls(one, decision),
                "macs_millions": one.macs,
                "training_seconds": one.seconds,
                "forward_set": forward or "",
                "forward": one.elsewhere.get(forward) if forward else None,
                "uniform": one.elsewhere.get(uniform) if uniform else None,
                "backward_set": backward or "",
                "backward": one.elsewhere.get(backward) if backward else None,
            }
        )
    return values


def decision_facts(decision: Decision) -> Plain:
    """All of a decision for JSON."""
    names = decision.section.class_names
    shares = {names[c]: float(share) for c, share in enumerate(decision.shares) if share > 0}
    return {
        "protocol": decision.section.key.protocol,
        "title": decision.section.title,
        "mix": decision.mix,
        "shares": shares,
        "measured": decision.measured,
        "rows": decision_values(decision),
        "notes": [*decision.notes],
        "evaluate": [*decision.commands],
    }
