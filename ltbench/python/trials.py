"""Trials as data frames: planned, on disk, compared, and what only takes space beside them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from ltbench.python.arguments import AnyPath

if TYPE_CHECKING:
    from ltbench.execute.plan import Plan
    from ltbench.imported.ensemble import Joint

PLAN_COLUMNS = {
    "protocol": "str",
    "variant": "str",
    "training": "str",
    "seed": "int64",
    "state": "str",
    "complete": "bool",
    "rows": "int64",
    "labels": "str",
    "seconds": "float64",
    "bytes": "int64",
    "trial": "str",
    "folder": "str",
}
TRIAL_COLUMNS = {
    "protocol": "str",
    "training": "str",
    "seed": "str",
    "state": "str",
    "rows": "int64",
    "note": "str",
    "trial": "str",
    "folder": "str",
}
DIFFERENCE_COLUMNS = {"section": "str", "key": "str", "first": "str", "second": "str"}
LEFTOVER_COLUMNS = {
    "what": "str",
    "place": "str",
    "bytes": "int64",
    "removed": "bool",
    "reason": "str",
}


def plan_frame(plan: Plan | None, joint: Sequence[Joint] = ()) -> pd.DataFrame:
    """One row per planned trial and ensemble of imports; see :func:`ltbench.plan_trials`."""
    rows = [*([] if plan is None else _of_trials(plan)), *_of_imports(joint)]
    return pd.DataFrame(rows, columns=list(PLAN_COLUMNS)).astype(PLAN_COLUMNS)


def _of_trials(plan: Plan) -> list[dict[str, object]]:
    return [
        {
            "protocol": plan.protocol.name,
            "variant": plan.protocol.variant,
            "training": planned.training,
            "seed": planned.trial.seed,
            "state": planned.state,
            "complete": planned.complete,
            "rows": len(planned.rows),
            "labels": ",".join(row.label for row in planned.rows),
            "seconds": float(planned.estimate.seconds),
            "bytes": int(planned.estimate.bytes),
            "trial": "" if planned.state == "unknown" else planned.trial.hash,
            "folder": "" if planned.state == "unknown" else str(planned.folder),
        }
        for planned in plan.trials
    ]


def _of_imports(joint: Sequence[Joint]) -> list[dict[str, object]]:
    from ltbench.imported.stand_in import label

    return [
        {
            "protocol": one.task.protocol.name,
            "variant": one.task.protocol.variant,
            "training": one.trial.training,
            "seed": one.trial.seed,
            "state": one.state,
            "complete": one.complete,
            "rows": len(one.rows),
            "labels": ",".join(label(row) for row in one.rows),
            "seconds": 0.0,  # nothing is trained and no logits are kept
            "bytes": 0,
            "trial": one.trial.hash,
            "folder": str(one.folder),
        }
        for one in joint
    ]


def list_trials(results: AnyPath = "results") -> pd.DataFrame:
    """How the trials of a results folder stand, as ``ltbench status`` tells; one row per trial.

    Columns: ``protocol, training, seed`` (as in the folder's name), ``state`` (finished, running,
    interrupted, failed, diverged, oom, timeout or unreadable), ``rows`` (evaluations), ``note`` (the
    variant, or why it failed), ``trial`` (hash) and ``folder``. Trials in ``results/published`` are
    listed only where that is the folder. Raises :class:`ValueError` where ``results`` is no folder.
    """
    from ltbench.execute.survey import survey, trial_folders

    root = Path(results)
    rows = [
        {**vars(status), "trial": folder.name.partition("-")[2], "folder": str(folder)}
        for status, folder in zip(survey(root), trial_folders(root), strict=True)
    ]
    return pd.DataFrame(rows, columns=list(TRIAL_COLUMNS)).astype(TRIAL_COLUMNS)


def compare_trials(
    first: AnyPath, second: AnyPath, *, results: AnyPath = "results"
) -> pd.DataFrame:
    """What differs between two trials, as ``ltbench diff`` tells; each a folder or a hash.

    Columns: ``section`` (identity, recipe, data, model, environment, results), ``key``, ``first``
    and ``second``, as text; no rows where they are identical. Results are top-1 in per cent. Raises
    :class:`ValueError` where there is no such trial or its record cannot be read.
    """
    from ltbench.report import diff
    from ltbench.trial.locate import locate_trial

    folders = [locate_trial(Path(trial), Path(results)) for trial in (first, second)]
    rows = [vars(difference) for difference in diff.compare_trials(*folders)]
    return pd.DataFrame(rows, columns=list(DIFFERENCE_COLUMNS)).astype(DIFFERENCE_COLUMNS)


def clean_results(
    results: AnyPath = "results", *, cache: bool = True, remove: bool = False
) -> pd.DataFrame:
    """What only takes space, as ``ltbench clean``: listed, and with ``remove=True`` removed.

    Checkpoints of finished trials, failed trials and, with ``cache``, decoded images and view
    logits; never a finished record, logits or weights. Columns: ``what, place, bytes, removed`` and
    ``reason`` (why it was kept, where it could not go). Raises :class:`ValueError` where
    ``results`` is no folder.
    """
    from ltbench.execute.clean import find_leftovers
    from ltbench.execute.clean import remove as removed

    leftovers, _ = find_leftovers(Path(results), cache=cache)
    kept = dict(removed(leftovers).kept) if remove else {}
    rows = [
        {
            "what": leftover.what,
            "place": str(leftover.place),
            "bytes": leftover.bytes,
            "removed": remove and leftover.place not in kept,
            "reason": kept.get(leftover.place, ""),
        }
        for leftover in leftovers
    ]
    return pd.DataFrame(rows, columns=list(LEFTOVER_COLUMNS)).astype(LEFTOVER_COLUMNS)
