"""Weights of an encoder: a local file told by its SHA-256, read without running code, or a hub's file."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from ltbench.errors import InputError, LtbenchError, describe
from ltbench.models.pretrained import mismatch, read_state
from ltbench.protocol import weights_file


def digest_of(file: Path) -> str:
    """SHA-256 of its bytes; raises :class:`InputError`, one line, where it cannot be read."""
    return weights_file.digest_of(file, "weights", "; --weights names a local file")


def digest_of_state(network: nn.Module) -> str:
    """SHA-256 over name, type, shape and numbers of every tensor, in the order of their names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def read_weights(file: Path) -> dict[str, Tensor]:
    """The tensors of a ``.safetensors`` file, or of one that ``torch.save`` wrote; no code is run."""
    return dict(read_state(file))


def fill(
    network: nn.Module, state: Mapping[str, Tensor], file: Path, unused: tuple[str, ...]
) -> None:
    """Sets every weight of ``network``, whose names and shapes must be those of ``state``.

    unused: how names of ``state`` begin that the network has no place for, those of a classifier.
    Raises :class:`InputError`, one line, where a name is missing, left over or of another shape.
    """
    own = network.state_dict()
    used = {k: v for k, v in state.items() if k in own or not k.startswith(unused)}
    missing = sorted(k for k in own if k not in used and not k.endswith("num_batches_tracked"))
    left = sorted(set(used) - set(own))
    if told := mismatch(missing, left):
        raise InputError(f"weights {file} are not those of this network: the file {told}")
    for name, tensor in used.items():
        if tensor.shape != own[name].shape:
            raise InputError(
                f"weights {file}: {name} has the shape {tuple(tensor.shape)}, that of the network is "
                f"{tuple(own[name].shape)}"
            )
    network.load_state_dict(used, strict=False)


def hub_file(repository: str, file: str, revision: str) -> Path:
    """The file of a hub's repository at ``revision``, downloaded into the hub's own cache.

    Raises :class:`LtbenchError`, one line, where it cannot be had.
    """
    if not file.endswith(".safetensors"):
        raise InputError(
            f"{repository}: {file} is no .safetensors file; only those are read from a hub"
        )
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(repository, file, revision=revision))
    except Exception as error:  # of half a dozen libraries below it
        raise LtbenchError(
            f"{file} of {repository} at revision {revision} cannot be had: {describe(error)}; "
            "a local file can be given with --weights"
        ) from error
