"""What is left on disk of a finished training, opened when a row asks for it.

A copy may lack files: whatever is there serves every row that needs no more, and a row that does is
told which file is missing.
"""

from __future__ import annotations

import hashlib
from functools import cached_property
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor, nn

from ltbench.errors import LtbenchError
from ltbench.evaluate.augmented import augmented_logits
from ltbench.evaluate.network import ImageNetwork
from ltbench.evaluate.outputs import HoldOut, TrialOutputs
from ltbench.evaluate.views import ViewLogits
from ltbench.execute.context import TrialContext, load_tensors
from ltbench.execute.parents import load_network
from ltbench.models.network import ExpertNetwork
from ltbench.resolve.rows import ResolvedRow, knows_posterior
from ltbench.train.infer import Inference
from ltbench.trial import store


class TrialFiles:
    """Logits, weights and what follows from them. record: the trial's ``trial.json``."""

    def __init__(self, context: TrialContext, record: dict[str, Any]) -> None:
        self.context, self.record = context, record
        self.logits_path = context.folder / store.LOGITS
        self.weights_path = context.folder / store.WEIGHTS

    def outputs(self) -> TrialOutputs:
        """What evaluations and streams stand on; raises where there is nothing to stand on."""
        context = self.context
        if not self.logits_path.exists() and not self.weights_path.exists():
            raise LtbenchError(
                f"{context.folder} holds a record without logits and weights; it can be "
                "reported, not evaluated again"
            )
        if not self.logits_path.exists():
            raise LtbenchError(
                f"{self.logits_path} is missing, the test logits that every row is computed from; "
                "the record can be reported, not evaluated again"
            )
        logits = self._stored["logits"]
        test = context.task.splits.test
        shifted = logits
        if context.job.settings.mode == "augmented":
            recipe, seed = context.trial.recipe, context.trial.seed
            shifted = augmented_logits(self._inference, test, recipe, seed)
        return TrialOutputs(
            context.trial,
            context.task,
            logits,
            shifted,
            torch.from_numpy(np.array(test.labels)),
            self._view,
            holdout=self._holdout,
            network=self._private_network,
            images=lambda chosen: torch.from_numpy(test.read(chosen.numpy())),
        )

    def check(self, row: ResolvedRow, outputs: TrialOutputs) -> None:
        """Raises where ``row`` stands on held-out images whose logits this copy lacks."""
        held = len(self.context.task.holdout)
        if not held or outputs.holdout is not None:
            return
        needs = row.needs
        method = row.build_method(torch.from_numpy(self.context.task.train.counts))
        fitted = "bias" in needs and not knows_posterior(method)
        if fitted or "holdout" in needs:
            raise LtbenchError(
                f"{row.label} needs the logits of the {held} held-out images, which "
                f"{self.logits_path} lacks; without the folder the trial is trained again"
            )

    @cached_property
    def _stored(self) -> dict[str, Tensor]:
        return load_tensors(self.logits_path)

    @property
    def _holdout(self) -> HoldOut | None:
        held = self.context.task.holdout
        logits = self._stored.get("holdout")
        if logits is None or not len(held) or len(logits) != len(held):
            return None
        return HoldOut(logits, torch.from_numpy(held.labels))

    @cached_property
    def _network(self) -> ExpertNetwork:
        if not self.weights_path.exists():
            self._no_weights()
        return load_network(self.context, self.context.ancestry, load_tensors(self.weights_path))

    def _no_weights(self) -> NoReturn:
        raise LtbenchError(f"needs the trained network, and {self.weights_path} is missing")

    @cached_property
    def _inference(self) -> Inference:
        context = self.context
        return Inference(self._network, context.mean, context.std, context.device)

    @cached_property
    def _image_network(self) -> ImageNetwork:
        context = self.context
        return ImageNetwork(self._network, context.mean, context.std, context.device)

    def _private_network(self) -> nn.Module:
        return self._image_network.private_copy()

    @cached_property
    def _views(self) -> ViewLogits:
        context = self.context
        _, experts, classes = self._stored["logits"].shape
        return ViewLogits(
            lambda: self._inference,
            self._weights_digest(),
            context.task.splits.test,
            context.job.protocol.views,
            context.report,
            (experts, classes),
        )

    def _view(self, k: int) -> Tensor:
        return self._views(k)

    def _weights_digest(self) -> str:
        """Of the file or, where it is missing, as recorded: views of it may still be cached."""
        if self.weights_path.exists():
            return hashlib.sha256(self.weights_path.read_bytes()).hexdigest()
        recorded = self.record.get("weights_sha256")
        if not isinstance(recorded, str):
            self._no_weights()
        return recorded
