"""The plan as a table: the same before every run and for ``--dry-run``."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from ltbench.execute.estimate import gpu_step, told_basis
from ltbench.execute.plan import Plan
from ltbench.execute.study import PlannedPart
from ltbench.progress import duration


def print_plan(plan: Plan, console: Console, *, part: str = "") -> None:
    """``part``: the name of the part of a study that the plan is."""
    protocol = plan.protocol
    variant = f" ({protocol.variant})" if protocol.variant else ""
    title = f"{protocol.name} {protocol.version_of_code}{variant}: {len(plan.trials)} trials"
    title = f"{part}: {title}" if part else title
    table = Table(title=title, title_justify="left", header_style="bold")
    for heading in ("trial", "seed", "rows", "state", "time", "disk"):
        table.add_column(
            heading,
            justify="right" if heading in ("seed", "time", "disk") else "left",
            no_wrap=heading not in ("trial", "rows"),  # these give way, and lose nothing by it
            overflow="fold",
        )
    for planned in plan.trials:
        estimate = planned.estimate
        table.add_row(
            planned.training.replace("[", r"\["),
            str(planned.trial.seed),
            ", ".join(row.label for row in planned.rows).replace("[", r"\["),
            planned.state,
            duration(estimate.seconds) if estimate.seconds else "-",
            f"{estimate.bytes / 1e6:.0f} MB" if estimate.bytes else "-",
        )
    console.print(table)
    for note in (*plan.notes, *plan.left_out):
        console.print(f"note: {note}", markup=False)
    seconds = sum(planned.estimate.seconds for planned in plan.trials) / max(1, plan.jobs)
    size = sum(planned.estimate.bytes for planned in plan.trials)
    basis = told_basis([planned.estimate for planned in plan.trials])
    if seconds:
        console.print(
            f"to do: about {duration(seconds)} and {size / 1e6:.0f} MB ({basis}), "
            f"{plan.jobs} at a time",
            markup=False,
            highlight=False,
        )


def print_study_total(planned: Sequence[PlannedPart], console: Console) -> None:
    """What the whole study still takes on this machine, and on the GPU where steps were measured."""
    seconds = sum(part.seconds for part in planned)
    size = sum(part.bytes for part in planned)
    trials = sum(not trial.complete for part in planned for trial in part.plan.trials)
    jobs = max(part.plan.jobs for part in planned)
    device = planned[0].plan.trials[0].job.settings.device
    basis = told_basis([trial.estimate for part in planned for trial in part.plan.trials])
    told = (
        f"about {duration(seconds)} and {size / 1e6:.0f} MB on this machine ({device}, up to {jobs} "
        f"at a time; {basis}; views are counted, strategies that fit a prior come on top)"
        if seconds
        else "nothing is left but the report"
    )
    console.print(
        f"study: {trials} trials to do; {told}",
        markup=False,
        highlight=False,
    )
    h200 = [trial.estimate.h200 for part in planned for trial in part.plan.trials]
    known = [seconds for seconds in h200 if seconds is not None]
    if sum(known) and len(known) == len(h200):
        one, three = (f"{1000 * gpu_step(n, graph=True):.1f} ms" for n in (1, 3))
        console.print(
            f"measured on one NVIDIA H200 with CUDA graphs: {one} a step with one head, {three} with "
            f"three experts; by that the training alone takes about {duration(sum(known))} there, one "
            "trial after another",
            markup=False,
            highlight=False,
        )
