"""One trial from start to end inside a worker: train where needed, then evaluate."""

from __future__ import annotations

from ltbench.execute.context import TrialContext
from ltbench.execute.evaluate_trial import evaluate_trial
from ltbench.execute.row_failure import raise_failures
from ltbench.execute.stream_trial import stream_trial
from ltbench.execute.train_trial import train_trial
from ltbench.execute.trial_files import TrialFiles
from ltbench.trial import store


def run_trial(context: TrialContext) -> None:
    """Skips what is finished; a row that fails is told at the end. The caller holds the trial's claim."""
    store.sweep_temporaries(context.folder)
    record = store.finished_trial(context.folder)
    if record is None:
        record = train_trial(context)
    else:
        store.clear_attempt(context.folder)  # what a kill right after the record left
    files = TrialFiles(context, record)
    failures = [*evaluate_trial(context, files), *stream_trial(context, files)]
    for failure in failures:
        failure.remember(context.job.settings.command)
    raise_failures(failures)
