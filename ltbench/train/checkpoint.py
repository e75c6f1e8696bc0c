"""The state of an unfinished training: weights, momentum, and how far it got."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ltbench.files import ask_guards, write_atomically
from ltbench.trial.store import CHECKPOINT, PREVIOUS

FILE = CHECKPOINT
NOT_RECORDED = "cuda_graph_refused"
"""In an environment: why steps that should have been recorded as CUDA graphs were not."""


@dataclass
class Progress:
    """What is known of a training besides its tensors; JSON in the checkpoint's header.

    ``step``: steps done of the epoch that is under way, 0 between two epochs; ``within``: what these left,
    its losses (float32) and the states of its generators. ``seconds_within``: what the epoch took so far.
    ``waited``: seconds in which steps waited for streamed images.
    """

    epochs_done: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0
    environments: list[dict[str, Any]] = field(default_factory=list)
    step: int = 0
    seconds_within: float = 0.0
    waited: float = 0.0
    within: dict[str, Tensor] = field(default_factory=dict)

    def finish_epoch(self, epoch: int, seconds: float) -> None:
        """After the last step of the 0-based ``epoch``, which took ``seconds``."""
        self.epochs_done = epoch + 1
        self.seconds += seconds
        self.step, self.seconds_within, self.within = 0, 0.0, {}

    @property
    def not_recorded(self) -> str:
        """What the last environment says of that; empty: nothing."""
        last = self.environments[-1] if self.environments else {}
        return str(last.get(NOT_RECORDED, ""))

    def to_json(self) -> str:
        return json.dumps({key: value for key, value in vars(self).items() if key != "within"})


def save_checkpoint(
    folder: Path,
    trial: str,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    progress: Progress,
    extra: nn.Module | None = None,
    *,
    keep_last: bool = False,
) -> None:
    """extra: what the method's ``build`` returned, stored beside the network. keep_last: the one before
    stays, in case this one is damaged."""
    tensors = {
        f"{name}.{k}": v.detach().cpu().contiguous()
        for name, module in _modules(network, extra).items()
        for k, v in module.state_dict().items()
    }
    for i, state in optimizer.state_dict()["state"].items():
        buffer = state.get("momentum_buffer")
        if buffer is not None:
            tensors[f"momentum.{i}"] = buffer.detach().cpu().contiguous()
    tensors |= {f"within.{key}": value for key, value in progress.within.items()}
    told = progress.to_json()
    header = {
        "trial": trial,
        "progress": told,
        "progress_digest": _digest_of(told),
        "digest": _digest(tensors),
    }
    if keep_last and (folder / FILE).exists():
        ask_guards(folder)
        (folder / FILE).replace(folder / PREVIOUS)
    write_atomically(
        folder / FILE,
        lambda path: save_file(tensors, path, metadata=header),
        needed=sum(tensor.nbytes for tensor in tensors.values()),
    )


def _modules(network: nn.Module, extra: nn.Module | None) -> dict[str, nn.Module]:
    return {"network": network} if extra is None else {"network": network, "extra": extra}


def load_checkpoint(
    folder: Path,
    trial: str,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    extra: nn.Module | None = None,
) -> Progress | None:
    """Restores network, extra and optimiser; None where there is no usable checkpoint.

    A damaged file is kept as ``checkpoint.corrupt``; the one before counts where it was kept, else the
    training starts afresh.
    """
    read = _read(folder, FILE, trial) or _read(folder, PREVIOUS, trial)
    if read is None:
        return None
    progress, tensors = read
    for name, module in _modules(network, extra).items():
        start = f"{name}."
        module.load_state_dict(
            {k.removeprefix(start): v for k, v in tensors.items() if k.startswith(start)}
        )
    state = optimizer.state_dict()
    parameters = [each for group in optimizer.param_groups for each in group["params"]]
    for i, parameter in enumerate(parameters):
        buffer = tensors.get(f"momentum.{i}")
        if buffer is not None:
            # In the weight's memory layout: fused SGD reads weight, gradient and momentum in step.
            laid_out = torch.empty_like(parameter, requires_grad=False).copy_(buffer)
            state["state"][i] = {"momentum_buffer": laid_out}
    optimizer.load_state_dict(state)
    return progress


def _read(folder: Path, name: str, trial: str) -> tuple[Progress, dict[str, Tensor]] | None:
    path = folder / name
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - no mapping
        within = {
            key.removeprefix("within."): value
            for key, value in tensors.items()
            if key.startswith("within.")
        }
        progress = Progress(**json.loads(header["progress"]), within=within)
        if header["trial"] != trial or header["digest"] != _digest(tensors):
            raise ValueError("contents do not match the header")
        told = header["progress"]
        if header.get("progress_digest", _digest_of(told)) != _digest_of(told):  # earlier: none
            raise ValueError("the progress is not what was written")
    except (SafetensorError, OSError, ValueError, KeyError, TypeError):
        path.replace(folder / "checkpoint.corrupt")
        return None
    return progress, tensors


def _digest_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _digest(tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for key in sorted(tensors):
        digest.update(key.encode())
        digest.update(tensors[key].flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
