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

from ltbench.files import write_atomically
from ltbench.trial.store import CHECKPOINT

FILE = CHECKPOINT


@dataclass
class Progress:
    """What is known of a training besides its tensors; JSON in the checkpoint's header."""

    epochs_done: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0
    environments: list[dict[str, Any]] = field(default_factory=list)


def save_checkpoint(
    folder: Path,
    trial: str,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    progress: Progress,
    extra: nn.Module | None = None,
) -> None:
    """extra: what the method's ``build`` returned, stored beside the network."""
    tensors = {
        f"{name}.{k}": v.detach().cpu().contiguous()
        for name, module in _modules(network, extra).items()
        for k, v in module.state_dict().items()
    }
    for i, state in optimizer.state_dict()["state"].items():
        buffer = state.get("momentum_buffer")
        if buffer is not None:
            tensors[f"momentum.{i}"] = buffer.detach().cpu().contiguous()
    header = {
        "trial": trial,
        "progress": json.dumps(vars(progress)),
        "digest": _digest(tensors),
    }
    write_atomically(folder / FILE, lambda path: save_file(tensors, path, metadata=header))


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

    A damaged file is kept as ``checkpoint.corrupt`` and the training starts afresh.
    """
    path = folder / FILE
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - no mapping
        progress = Progress(**json.loads(header["progress"]))
        if header["trial"] != trial or header["digest"] != _digest(tensors):
            raise ValueError("contents do not match the header")
    except (SafetensorError, OSError, ValueError, KeyError, TypeError):
        path.replace(folder / "checkpoint.corrupt")
        return None
    for name, module in _modules(network, extra).items():
        start = f"{name}."
        module.load_state_dict(
            {k.removeprefix(start): v for k, v in tensors.items() if k.startswith(start)}
        )
    state = optimizer.state_dict()
    for i, parameter in enumerate(optimizer.param_groups[0]["params"]):
        buffer = tensors.get(f"momentum.{i}")
        if buffer is not None:
            # In the weight's memory layout: fused SGD reads weight, gradient and momentum in step.
            laid_out = torch.empty_like(parameter, requires_grad=False).copy_(buffer)
            state["state"][i] = {"momentum_buffer": laid_out}
    optimizer.load_state_dict(state)
    return progress


def _digest(tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for key in sorted(tensors):
        digest.update(key.encode())
        digest.update(tensors[key].flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
