"""One trial from start to end inside a worker: train where needed, then evaluate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ltbench.execute.context import Emit, TrialContext
from ltbench.execute.early_views import rendered_early
from ltbench.execute.ensemble_context import EnsembleContext
from ltbench.execute.ensemble_files import EnsembleFiles
from ltbench.execute.ensemble_record import renewed_record
from ltbench.execute.evaluate_trial import evaluate_trial
from ltbench.execute.job import Job
from ltbench.execute.output_files import OutputFiles
from ltbench.execute.row_failure import raise_failures
from ltbench.execute.stream_trial import stream_trial
from ltbench.execute.train_trial import train_trial
from ltbench.execute.trial_files import TrialFiles
from ltbench.trial import store


def run_job(job: Job, emit: Emit, should_stop: Callable[[], bool]) -> None:
    """A training and its rows, or the rows of an ensemble. The caller holds the claim of the folder."""
    if job.members:
        run_ensemble(EnsembleContext(job, emit, should_stop))
    else:
        run_trial(TrialContext(job, emit, should_stop))


def run_ensemble(context: EnsembleContext) -> None:
    """Evaluates an ensemble from the files of its members, anew where one of them is another now."""
    store.sweep_temporaries(context.folder)
    record = renewed_record(context)
    store.clear_attempt(context.folder)
    evaluate(context, EnsembleFiles(context, record))


def run_trial(context: TrialContext) -> None:
    """Skips what is finished; a row that fails is told at the end. The caller holds the trial's claim."""
    evaluate(context, TrialFiles(context, trained(context)))


def trained(context: TrialContext) -> dict[str, Any]:
    """Trains unless that is done; the record. The caller holds the trial's claim."""
    store.sweep_temporaries(context.folder)
    record = store.finished_trial(context.folder)
    if record is None:
        with rendered_early(context):
            record = train_trial(context)
    else:
        store.clear_attempt(context.folder)  # what a kill right after the record left
    return record


def evaluate(context: TrialContext, files: OutputFiles) -> None:
    """Every row and stream that is missing; raises for those that failed, after all others."""
    failures = [*evaluate_trial(context, files), *stream_trial(context, files)]
    for failure in failures:
        failure.remember(context.job.settings.command)
    raise_failures(failures, context.job)
