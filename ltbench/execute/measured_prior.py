"""The prior that the logits of a finished training carry, measured for its record."""

from __future__ import annotations

import torch
from torch import Tensor

from ltbench.errors import ContractError
from ltbench.evaluate.carried_prior import (
    carried_prior,
    held_out_sample,
    training_places,
    training_sample,
    unknown_prior,
)
from ltbench.execute.context import TrialContext
from ltbench.hyper import Json
from ltbench.train.infer import Inference


def measured_prior(
    context: TrialContext, inference: Inference, holdout: Tensor | None
) -> dict[str, Json]:
    """On the hold-out, whose logits ``(H, E, C)`` are at hand, else on clean training images.

    Made of weights, images and the trial's seed alone: a resumed training has the same. It draws
    from a generator of its own and comes after the last step. No label of a test image is read.

    A bias or posterior that breaks its contract costs no finished training: the record says what is
    wrong, and the rows that stand on it fail with the same words.
    """
    try:
        return _measured(context, inference, holdout)
    except ContractError as error:
        return {"unknown": str(error)}


def _measured(
    context: TrialContext, inference: Inference, holdout: Tensor | None
) -> dict[str, Json]:
    task, method = context.task, context.method()
    if why := unknown_prior(method):
        return {"unknown": why}
    counts = torch.from_numpy(task.train.counts)
    if holdout is not None:
        sample = held_out_sample(holdout, torch.from_numpy(task.holdout.labels), counts)
        return carried_prior(method, sample, task.groups)
    images, indices = task.splits.train, task.train.indices
    chosen = indices[training_places(images.labels[indices], task.rank, context.trial.seed)]
    logits = inference(lambda part: images.read(chosen[part]), len(chosen))
    labels = torch.from_numpy(images.labels[chosen])
    return carried_prior(method, training_sample(logits, labels, counts), task.groups)
