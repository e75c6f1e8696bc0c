"""The streams of one trial: every row of the job under every arrival that was asked for."""

from __future__ import annotations

import time
from typing import Any

from ltbench.errors import InterruptedRun, LtbenchError
from ltbench.evaluate.outputs import TrialOutputs
from ltbench.evaluate.stored import known_distributions
from ltbench.evaluate.stream import is_streamed, predicts, stream_hash, stream_path, stream_row
from ltbench.execute.context import TrialContext, now
from ltbench.execute.evaluate_trial import row_facts
from ltbench.execute.out_of_memory import let_go
from ltbench.execute.output_files import OutputFiles
from ltbench.execute.row_failure import RowFailure
from ltbench.resolve.rows import ResolvedRow
from ltbench.shift.arrival import Arrival, parse_arrival
from ltbench.trial import store
from ltbench.trial.light import write_record
from ltbench.trial.trial import SCHEMA


def stream_trial(context: TrialContext, files: OutputFiles) -> list[RowFailure]:
    """Streams every row that is not complete; one that fails stops no other."""
    rows = context.job.resolve_rows(context.registries)
    mode = context.job.settings.mode
    pending = []
    for arrival in map(parse_arrival, context.job.settings.arrivals):
        for row in rows:
            path = stream_path(context.folder, context.trial, row, mode, arrival)
            if is_streamed(path, context.task.test_sets):
                store.forget_failure(path)
            else:
                pending.append((row, arrival, path))
    if not pending:
        return []
    try:
        outputs = files.outputs()
    except LtbenchError as error:
        return [RowFailure(row.label, error, path, a.name) for row, a, path in pending]
    failures = []
    for row, arrival, path in pending:
        try:
            files.check(row, outputs)
            _stream_row(context, row, arrival, outputs, files.record)
        except InterruptedRun:
            raise
        except Exception as error:  # one row's plugin must not cost the others theirs
            let_go(error)  # what it holds, the next row may need
            failures.append(RowFailure(row.label, error, path, arrival.name))
        else:
            store.forget_failure(path)
    return failures


def _stream_row(
    context: TrialContext,
    row: ResolvedRow,
    arrival: Arrival,
    outputs: TrialOutputs,
    record: dict[str, Any],
) -> None:
    began = time.monotonic()
    mode = context.job.settings.mode
    path = stream_path(context.folder, context.trial, row, mode, arrival)
    done = 0

    def step(name: str) -> None:
        nonlocal done
        done += 1
        context.report(f"{row.label} {arrival.name}", done, len(context.task.test_sets))

    known = known_distributions(path, "orders")
    distributions = stream_row(outputs, row, arrival, known, step)
    stream = {
        "schema": SCHEMA,
        "stream": stream_hash(context.trial, row, mode, arrival),
        **row_facts(context, row, outputs, record),
        "arrival": arrival.name,
        "predicts": predicts(outputs, row),
        "drift": context.job.protocol.test.drift,
        "seconds": round(time.monotonic() - began, 3),
        "created": now(),
        "distributions": distributions,
    }
    write_record(path, stream)
