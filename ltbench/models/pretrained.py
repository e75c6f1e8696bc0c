"""A network that starts from a file of published weights: trunk and experts from it, heads fresh."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from ltbench.bombs import refuse_bomb
from ltbench.errors import ContractError, InputError
from ltbench.files import check_header, refuse_endless
from ltbench.models.network import ExpertNetwork, SplitNetwork
from ltbench.protocol.weights_file import check_digest

_OWN = re.compile(r"^(?:experts\.\d+\.)?(?:trunk|branch)\.")
_COUNTER = (
    "num_batches_tracked"  # absent from files of PyTorch before 0.4.1, and read by nobody here
)


@dataclass(frozen=True)
class PretrainedFile:
    """file: a state dict. sha256: of its bytes. heads: how names begin that are not taken over."""

    file: Path
    sha256: str
    heads: tuple[str, ...] = ()


def start_from_file(network: ExpertNetwork, given: PretrainedFile) -> None:
    """Sets trunk and branches of ``network`` to the weights of the file; the heads stay as they are.

    A name of the file, ``layer3.0.conv1.weight``, goes to the trunk where it has that, else to each
    expert's copy. Raises :class:`InputError`, one line, for another digest, a file that holds
    anything but tensors by name, and a name that is missing, left over or of another shape.
    """
    if not isinstance(network, SplitNetwork):
        raise ContractError(
            f"a {type(network).__name__} takes no pretrained weights; a SplitNetwork does"
        )
    check_digest(given.file, given.sha256)
    found = {k: v for k, v in read_state(given.file).items() if not k.startswith(given.heads)}
    state = network.state_dict()
    wanted = {name: _OWN.sub("", name) for name in state if _OWN.match(name)}
    missing = sorted({p for p in wanted.values() if p not in found and not p.endswith(_COUNTER)})
    left = sorted(set(found) - set(wanted.values()))
    if told := mismatch(missing, left):
        raise InputError(f"pretrained weights {given.file}: the file {told}")
    for name, published in wanted.items():
        if published not in found:
            continue
        if found[published].shape != state[name].shape:
            raise InputError(
                f"pretrained weights {given.file}: {published} has the shape "
                f"{tuple(found[published].shape)}, that of the network is {tuple(state[name].shape)}"
            )
        with torch.no_grad():
            state[name].copy_(found[published])


def read_state(file: Path) -> Mapping[str, Tensor]:
    """The tensors of a ``.safetensors`` file, or of one that ``torch.save`` wrote; no code is run."""
    try:
        refuse_endless(file)
        if file.suffix == ".safetensors":
            found = load_file(file)
            check_header(file)
            return found
        refuse_bomb(file)
        state = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises whatever a damaged or foreign file leads it to
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(f"pretrained weights {file} cannot be read: {reason}") from None
    tensors = isinstance(state, Mapping) and all(isinstance(v, Tensor) for v in state.values())
    if not tensors or not all(isinstance(name, str) for name in state):
        raise InputError(
            f"pretrained weights {file} must be a state dict: tensors by name and nothing else"
        )
    return dict(state)


def mismatch(missing: list[str], left: list[str]) -> str:
    """What a file of weights ``lacks`` and ``has`` too many of, in words; empty where neither."""
    told = [f"lacks {_listed(missing)}"] * bool(missing)
    told += [f"has {_listed(left)}, which the network has not"] * bool(left)
    return " and ".join(told)


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
