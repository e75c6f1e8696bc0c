"""The stored outputs of a finished trial and one of its rows, as a request names them."""

from __future__ import annotations

from dataclasses import replace

from ltbench.errors import InputError
from ltbench.evaluate.outputs import TrialOutputs
from ltbench.execute.context import TrialContext
from ltbench.execute.ensemble_context import EnsembleContext
from ltbench.execute.ensemble_files import EnsembleFiles
from ltbench.execute.job import Job
from ltbench.execute.output_files import OutputFiles
from ltbench.execute.plan import Plan
from ltbench.execute.prepare import prepare
from ltbench.execute.request import Request
from ltbench.execute.trial_files import TrialFiles
from ltbench.names import parse_rows
from ltbench.registry import load_registries
from ltbench.resolve.rows import ResolvedRow, resolve_row
from ltbench.trial import store


def stored_outputs(request: Request) -> tuple[TrialOutputs, ResolvedRow]:
    """Of the one row and the one seed that ``request`` names; nothing is trained or written.

    Raises :class:`InputError` for whatever is wrong with the request or not there, and
    :class:`ltbench.errors.LtbenchError` where a file of the trial is missing or damaged.
    """
    asked = parse_rows(request.methods)
    if len(asked) != 1:
        raise InputError(f"{request.methods!r} names {len(asked)} rows; give one")
    plan = prepare(replace(request, train=False))
    row = resolve_row(asked[0], plan.protocol, load_registries(request.plugins))
    job, row = _find(plan, row)
    files = _files(job, row)
    outputs = files.outputs()
    files.check(row, outputs)
    return outputs, row


def _files(job: Job, row: ResolvedRow) -> OutputFiles:
    kind = EnsembleContext if job.members else TrialContext
    context = kind(job, lambda event: None, lambda: False)
    record = store.finished_trial(context.folder)
    if record is None:
        raise InputError(f"{row.label} has no results yet; `ltbench evaluate` makes them")
    if isinstance(context, EnsembleContext):
        return EnsembleFiles(context, record)
    return TrialFiles(context, record)


def _find(plan: Plan, row: ResolvedRow) -> tuple[Job, ResolvedRow]:
    """The trial that the row stands on. A row that equals one of another method is that one."""
    every = [(planned.job, known) for planned in plan.trials for known in planned.rows]
    same = [(job, known) for job, known in every if known.label == row.label]
    alike = [
        (job, known)
        for job, known in every
        if (known.strategy.name, known.strategy_params) == (row.strategy.name, row.strategy_params)
    ]
    found = same or alike
    if not found:
        raise InputError(f"{row.label} is no row of the plan of {plan.protocol.name}")
    return found[0]
