"""Weights of a file: trunk and every expert's copy from it, heads fresh, every mismatch one line."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torchvision.models.resnet import BasicBlock, ResNet

from ltbench.errors import InputError
from ltbench.method import Architecture
from ltbench.models.build import build_network
from ltbench.models.pretrained import PretrainedFile, start_from_file

State = dict[str, Tensor]


@pytest.fixture
def state() -> State:
    """As a published file holds it: torchvision's names, with a classifier of other classes."""
    return {
        k: v + 0 for k, v in ResNet(BasicBlock, [1, 1, 1, 1], num_classes=7).state_dict().items()
    }


def given(folder: Path, state: object, name: str = "weights.pth") -> PretrainedFile:
    file = folder / name
    if name.endswith(".safetensors"):
        assert isinstance(state, dict)
        save_file(state, file)
    else:
        torch.save(state, file)
    return PretrainedFile(file, hashlib.sha256(file.read_bytes()).hexdigest(), ("fc.",))


def network(share: str = "stage1", **settings: bool):  # type: ignore[no-untyped-def]
    request = Architecture(2, "cosine", share=share, **settings)  # type: ignore[arg-type]
    return build_network("resnet10", 3, request, torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
@pytest.mark.parametrize("share", ["stage1", "nothing", "features"])
def test_trunk_and_every_expert_are_those_of_the_file_and_heads_stay(
    tmp_path: Path, state: State, name: str, share: str
) -> None:
    filled = network(share)
    fresh = {key: value.clone() for key, value in filled.state_dict().items()}
    start_from_file(filled, given(tmp_path, state, name))
    after = filled.state_dict()
    taken = 0
    for key, value in after.items():
        short = key.partition("trunk.")[2] or key.partition("branch.")[2]
        assert torch.equal(value, state[short] if short else fresh[key]), key
        taken += bool(short)
    copies = {"stage1": 2, "nothing": 2, "features": 1}[share]
    assert taken >= copies * sum("layer4" in key for key in state)


def test_a_file_without_counters_of_batches_will_do(tmp_path: Path, state: State) -> None:
    old = {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}
    filled = network()
    start_from_file(filled, given(tmp_path, old))
    assert torch.equal(filled.state_dict()["trunk.bn1.weight"], state["bn1.weight"])


def test_names_that_are_missing_or_left_over_are_told(tmp_path: Path, state: State) -> None:
    state["layer5.0.conv1.weight"] = state.pop("layer3.0.conv1.weight")
    with pytest.raises(InputError, match=r"lacks layer3\.0\.conv1\.weight and has layer5") as told:
        start_from_file(network(), given(tmp_path, state))
    assert "\n" not in str(told.value)


def test_another_width_is_told(tmp_path: Path, state: State) -> None:
    with pytest.raises(InputError, match=r"layer3\.\S+ has the shape \(256.*network is \(192"):
        start_from_file(network(reduced=True), given(tmp_path, state))


def test_another_digest_is_told_before_anything_is_read(tmp_path: Path, state: State) -> None:
    file = given(tmp_path, state).file
    for digest, told in (("0" * 64, "expected 0000"), ("", "sha256 is not stated; that of")):
        with pytest.raises(InputError, match=told):
            start_from_file(network(), PretrainedFile(file, digest))


class Code:
    """What a file must not bring along."""


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ([1, 2], "must be a state dict"),
        ({"state_dict": {"a": torch.ones(1)}}, "must be a state dict"),
        (Code(), "cannot be read: Weights only load failed"),
    ],
)
def test_only_tensors_by_name_are_read(tmp_path: Path, content: object, told: str) -> None:
    with pytest.raises(InputError, match=told) as error:
        start_from_file(network(), given(tmp_path, content))
    assert "\n" not in str(error.value)


def test_damaged_and_absent_files_are_told(tmp_path: Path) -> None:
    for name in ("weights.pth", "weights.safetensors"):
        file = tmp_path / name
        file.write_bytes(b"no weights")
        digest = hashlib.sha256(b"no weights").hexdigest()
        with pytest.raises(InputError, match="cannot be read: "):
            start_from_file(network(), PretrainedFile(file, digest))
    with pytest.raises(InputError, match="cannot be read: No such file"):
        start_from_file(network(), PretrainedFile(tmp_path / "absent.pth", "0" * 64))
