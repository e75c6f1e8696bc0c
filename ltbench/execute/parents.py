"""The trained networks that a training starts from or learns from, as they lie on disk."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from ltbench.errors import InputError, LtbenchError
from ltbench.execute.context import TrialContext, load_tensors
from ltbench.execute.lineage import Ancestry
from ltbench.models.assemble import assemble, build_extra
from ltbench.models.network import ExpertNetwork
from ltbench.seeds import generator
from ltbench.trial import store
from ltbench.trial.checked import read_checked


def start_weights(context: TrialContext) -> dict[str, Tensor] | None:
    """The weights that its training starts from; None where it starts from fresh ones.

    Raises :class:`LtbenchError`, one line, where the parent is not there.
    """
    parent = _parent(context, "start")
    return None if parent is None else _weights(context, parent)


def teacher_network(context: TrialContext) -> nn.Module | None:
    """The network that it learns from, on the device, in evaluation mode; None where there is none."""
    parent = _parent(context, "teacher")
    if parent is None:
        return None
    weights = _weights(context, parent)
    network = load_network(context, parent, weights).to(context.device)
    return network.eval().requires_grad_(False)


def load_network(context: TrialContext, of: Ancestry, weights: dict[str, Tensor]) -> ExpertNetwork:
    """A network with all that the methods of its line built, and these weights; on the CPU."""
    protocol, counts = context.job.protocol, torch.from_numpy(context.task.train.counts)
    methods = [each.build(counts) for each in of.line()]
    network = assemble(context.backbone, protocol.data.used_classes, methods, generator("shell"))
    build_extra(methods[-1], network, 0)
    network.load_state_dict(weights)
    return network.to(memory_format=torch.channels_last)


def _parent(context: TrialContext, role: str) -> Ancestry | None:
    of = context.trial.parent
    return context.ancestry.parent if of is not None and of.role == role else None


def _weights(context: TrialContext, parent: Ancestry) -> dict[str, Tensor]:
    folder = parent.trial.folder(Path(context.job.settings.results))
    does = "starts from" if _parent(context, "start") is not None else "learns from"
    which = f"{context.trial.training} {does} {parent.training.label} seed {parent.trial.seed}"
    if store.finished_trial(folder) is None:
        raise LtbenchError(f"{which}, which {_why(folder)}")
    if not (folder / store.WEIGHTS).exists():
        raise LtbenchError(
            f"{which}, and {folder / store.WEIGHTS} is missing; without the folder that trial is "
            "trained again"
        )
    return load_tensors(folder / store.WEIGHTS)


def _why(folder: Path) -> str:
    try:
        return f"failed: {read_checked(folder / store.FAILED)['error']}"
    except (InputError, KeyError, TypeError):
        return f"is not trained ({folder})"
