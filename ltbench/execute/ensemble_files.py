"""The outputs of an ensemble: those of its members, side by side on the expert axis. No copy outlives
its use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import nn

from ltbench.errors import LtbenchError
from ltbench.evaluate.outputs import HoldOut, TrialOutputs
from ltbench.evaluate.sources import exact_bias
from ltbench.evaluate.spilled import side_by_side
from ltbench.execute.ensemble_context import EnsembleContext
from ltbench.execute.trial_files import TrialFiles
from ltbench.models.side_by_side import SideBySide
from ltbench.resolve.rows import ResolvedRow
from ltbench.trial import store
from ltbench.trial.ensemble_record import changed_member

Read = TypeVar("Read")


class EnsembleFiles:
    """The files of all members. record: the ensemble's ``trial.json``."""

    def __init__(self, context: EnsembleContext, record: dict[str, Any]) -> None:
        self.context, self.record = context, record
        self.parts: list[TrialFiles] = []
        for part in context.parts:
            own = store.finished_trial(part.folder)
            if own is None:
                raise LtbenchError(f"its member {part.trial.training} is gone ({part.folder})")
            self.parts.append(TrialFiles(part, own))

    def outputs(self) -> TrialOutputs:
        """Raises where a member's logits are missing."""
        outputs = [part.outputs() for part in self.parts]
        first = outputs[0]
        same = all(one.shifted_logits is one.logits for one in outputs)
        logits = side_by_side([one.logits for one in outputs])
        joint = TrialOutputs(
            self.context.trial,
            first.task,
            logits,
            logits if same else side_by_side([one.shifted_logits for one in outputs]),
            first.labels,
            lambda k: self._whole(side_by_side([one.views(k) for one in outputs])),
            holdout=_holdout([one.holdout for one in outputs]),
            network=self._network([one.network for one in outputs]),
            images=first.images,
        )
        return self._whole(joint)

    def _whole(self, read: Read) -> Read:
        """``read`` where the members are still those of the record: it was not read while one was
        trained again, which takes the member's ``trial.json`` away before its arrays change."""
        changed = changed_member(self.record, self.context.folder)
        if changed:
            raise LtbenchError(f"{changed} while it was read; the same command evaluates it anew")
        return read

    def _network(
        self, parts: Sequence[Callable[[], nn.Module] | None]
    ) -> Callable[[], nn.Module] | None:
        known = [part for part in parts if part is not None]
        if len(known) < len(parts):
            return None
        return lambda: self._whole(SideBySide([part() for part in known]).eval())

    def check(self, row: ResolvedRow, outputs: TrialOutputs) -> None:
        """Raises where a member lacks the logits of held-out images that ``row`` stands on."""
        held = len(self.context.task.train.holdout)
        if not held or outputs.holdout is not None:
            return
        needs = row.needs
        method = row.build_method(torch.from_numpy(self.context.task.train.counts))
        fitted = "bias" in needs and exact_bias(method, outputs.shape).kind == "none"
        if fitted or "holdout" in needs:
            lacking = next(part for part in self.parts if part.outputs().holdout is None)
            raise LtbenchError(
                f"{row.label} needs the logits of the {held} held-out images, which "
                f"{lacking.logits_path} lacks; without that folder the member is trained again"
            )


def _holdout(parts: Sequence[HoldOut | None]) -> HoldOut | None:
    """The same held-out images for all: the hold-out is drawn by the protocol, not by a seed."""
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return None
    return HoldOut(side_by_side([part.logits for part in known]), known[0].labels)
