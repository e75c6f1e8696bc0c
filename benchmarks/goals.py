"""What the comparison should show on two CPU cores, and whether this run shows it."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.row import Row


@dataclass(frozen=True)
class Goal:
    """``row`` and ``figure`` name a ratio (at least ``bound``) or a measurement (below it)."""

    row: str
    figure: str
    bound: float
    text: str


GOALS = (
    Goal("augmentation", "against 2 workers", 11, "augmentation >= 11x (2 workers)"),
    Goal("training-1", "ltbench", 1.7, "training, 1 head, float32, one trial >= 1.7x"),
    Goal("training-1", "ltbench side by side", 1.7, "the same, a core a trial >= 1.7x"),
    Goal("training-1", "ltbench bf16", 2.7, "training, 1 head, bfloat16 >= 2.7x"),
    Goal("training-3", "ltbench", 1.7, "training, 3 experts, float32, one trial >= 1.7x"),
    Goal("training-3", "ltbench side by side", 1.7, "the same, a core a trial >= 1.7x"),
    Goal("training-3", "ltbench bf16 compiled", 2.7, "training, 3 experts, bfloat16 >= 2.7x"),
    Goal("evaluation", "eleven sets", 10, "evaluation of eleven distributions >= 10x"),
    Goal("adaptation", "5 pairs", 30, "adaptation, float32 views >= 30x"),
    Goal("adaptation", "5 pairs bf16", 40, "adaptation, bfloat16 views >= 40x"),
    Goal("adaptation", "1 pair (quick mode)", 100, "adaptation, quick mode >= 100x"),
    Goal("interface", "ltbench evaluate: one more distribution", 5, "a further distribution < 5 s"),
    Goal("interface", "ltbench report on 1,000 trials", 10, "report on 1,000 trials < 10 s"),
    Goal("interface", "ltbench --help", 0.7, "ltbench --help < 0.7 s"),
    Goal("label-shift", "rlls, cvxpy", 1, "rlls, a table of decisions: cvxpy takes >= 1x as long"),
    Goal("label-shift", "rlls[soft=true], cvxpy", 1, "rlls, a full table: cvxpy takes >= 1x as long"),
    Goal("label-shift", "tilt[fallback=true]", 5, "tilt[fallback=true] at 1,000 classes < 5 s"),
    Goal("label-shift", "tilt-holdout", 5, "tilt-holdout at 1,000 classes < 5 s"),
    Goal("interface", "peak memory of a CIFAR trial, three experts", 2, "a CIFAR trial < 2 GiB"),
)  # fmt: skip


def judge(rows: list[Row]) -> list[tuple[str, str]]:
    """(goal, outcome) of every goal whose row was run: met, not met, or why it was not measured."""
    by_name = {row.name: row for row in rows}
    outcomes = []
    for goal in GOALS:
        row = by_name.get(goal.row)
        if row is None:
            continue
        if goal.figure in row.ratios:
            value = row.ratios[goal.figure].median
            outcomes.append((goal.text, _told(value >= goal.bound, f"{value:.1f}x")))
        elif goal.figure in row.measured:
            unit, spread = row.measured[goal.figure]
            outcomes.append(
                (goal.text, _told(spread.median < goal.bound, f"{spread.median:.2f} {unit}"))
            )
        else:
            outcomes.append((goal.text, "not measured: " + "; ".join(row.skipped.values())))
    for row in rows:
        outcomes += [(text, _told(passed, "checked")) for text, passed in row.checks.items()]
    return outcomes


def _told(met: bool, value: str) -> str:
    return f"{'met' if met else 'NOT MET'} ({value})"
