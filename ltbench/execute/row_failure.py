"""Rows that failed on a finished trial: told, remembered beside the evaluations, tried again."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ltbench.errors import LtbenchError, describe
from ltbench.execute.context import now
from ltbench.files import write_json
from ltbench.trial import store
from ltbench.trial.trial import SCHEMA


@dataclass(frozen=True)
class RowFailure:
    """label: what tables call the row; path: of the evaluation or stream that was not written."""

    label: str
    error: Exception
    path: Path
    arrival: str = ""

    @property
    def line(self) -> str:
        line = describe(self.error)
        return line if line.startswith(self.label) else f"{self.label}: {line}"

    def remember(self, command: Sequence[str]) -> None:
        """Writes what ``ltbench status`` tells; a folder that is only read keeps no memory."""
        record = {
            "schema": SCHEMA,
            "status": "failed",
            "label": self.label,
            "arrival": self.arrival,
            "error": self.line,
            "command": list(command),
            "created": now(),
        }
        with suppress(OSError, LtbenchError):
            write_json(store.failure_path(self.path), record)


def raise_failures(failures: Sequence[RowFailure]) -> None:
    """One error that tells of all rows that failed; none where none did."""
    if not failures:
        return
    rows: dict[str, list[RowFailure]] = {}  # what all rows lack is told once
    for failure in failures:
        rows.setdefault(describe(failure.error), []).append(failure)
    told = []
    for reason, alike in rows.items():
        labels = list(dict.fromkeys(failure.label for failure in alike))
        told.append(alike[0].line if len(labels) == 1 else f"{', '.join(labels)}: {reason}")
    raise LtbenchError("; ".join(told)) from failures[0].error
