"""One trial from start to end inside a worker: train where needed, then evaluate."""

from __future__ import annotations

from ltbench import store
from ltbench.errors import InputError
from ltbench.execute.context import TrialContext
from ltbench.execute.evaluate_trial import evaluate_trial
from ltbench.execute.train_trial import train_trial


def run_trial(context: TrialContext) -> None:
    """Skips what is finished. The caller holds the trial's claim."""
    store.sweep_temporaries(context.folder)
    record = store.finished_trial(context.folder)
    if record is None:
        if not context.job.settings.train:
            raise InputError(
                f"{context.trial.training} with seed {context.trial.seed} is not trained yet; "
                "`ltbench run` trains it"
            )
        record = train_trial(context)
    evaluate_trial(context, record)
