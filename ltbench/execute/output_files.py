"""What evaluations ask of the files of a training, or of those of all members of an ensemble."""

from __future__ import annotations

from typing import Any, Protocol

from ltbench.evaluate.outputs import TrialOutputs
from ltbench.resolve.rows import ResolvedRow


class OutputFiles(Protocol):
    """record: ``trial.json``."""

    record: dict[str, Any]

    def outputs(self) -> TrialOutputs:
        """What every row stands on; raises where there is nothing to stand on."""

    def check(self, row: ResolvedRow, outputs: TrialOutputs) -> None:
        """Raises where ``row`` needs what is missing."""
