"""Rows that failed on a finished trial: told, remembered beside the evaluations, tried again."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ltbench.errors import LtbenchError, describe
from ltbench.execute.context import now
from ltbench.execute.job import Job
from ltbench.execute.out_of_memory import is_out_of_memory, needs_less, told
from ltbench.trial import store
from ltbench.trial.checked import write_checked
from ltbench.trial.trial import SCHEMA


@dataclass(frozen=True)
class RowFailure:
    """label: what tables call the row; path: of the evaluation or stream that was not written."""

    label: str
    error: Exception
    path: Path
    arrival: str = ""

    @property
    def status(self) -> str:
        return "oom" if is_out_of_memory(self.error) else "failed"

    @property
    def reason(self) -> str:
        if self.status == "oom":
            return f"out of memory: {told(self.error)}"
        return describe(self.error)

    @property
    def line(self) -> str:
        return self.reason if self.reason.startswith(self.label) else f"{self.label}: {self.reason}"

    def remember(self, command: Sequence[str]) -> None:
        """Writes what ``ltbench status`` tells; a folder that is only read keeps no memory."""
        record = {
            "schema": SCHEMA,
            "status": self.status,
            "label": self.label,
            "arrival": self.arrival,
            "error": self.line,
            "command": list(command),
            "created": now(),
        }
        with suppress(OSError, LtbenchError):
            write_checked(store.failure_path(self.path), record)


class RowsFailed(LtbenchError):
    """Rows of a finished trial failed; status: ``oom`` where one of them did not find enough memory."""

    def __init__(self, line: str, status: str) -> None:
        super().__init__(line)
        self.status = status


def raise_failures(failures: Sequence[RowFailure], job: Job) -> None:
    """One error that tells of all rows that failed; none where none did."""
    if not failures:
        return
    rows: dict[str, list[RowFailure]] = {}  # what all rows lack is told once
    for failure in failures:
        rows.setdefault(failure.reason, []).append(failure)
    lines = []
    for reason, alike in rows.items():
        labels = list(dict.fromkeys(failure.label for failure in alike))
        lines.append(alike[0].line if len(labels) == 1 else f"{', '.join(labels)}: {reason}")
    short = [failure for failure in failures if failure.status == "oom"]
    if short:
        lines.append(needs_less(job, trained=True))
    first = (short or failures)[0]
    raise RowsFailed("; ".join(lines), first.status) from first.error
