"""Backbones from the command line: large networks on small images, weights of a file, a plugin."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torchvision.models.resnet import BasicBlock, ResNet

import ltbench as library
from ltbench.errors import InputError
from ltbench.protocol.file import load_protocol_config

CommandLine = Callable[..., CompletedProcess[str]]
COLOURS = ((200, 40, 40), (40, 200, 40), (40, 40, 200))
PROTOCOL = """
name = "colours"
version = "1.0"
title = "Colours"
seeds = [0]
[data]
source = "image-folder"
path = "photos"
classes = 3
image_size = 32
[train]
profile = "exponential"
imbalance = 4
[test]
ratios = [2]
draws = 2
[model]
backbone = "resnet10"
{model}
[recipe]
epochs = 6
batch_size = 8
lr = 0.02
warmup_epochs = 1
[views]
pairs = 1
"""
TINY = '''
from torch import nn
from ltbench import Backbone
from ltbench.models.network import SplitNetwork


def block(inputs, outputs):
    convolution = nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU())


class Tiny(Backbone):
    """Two convolutions."""

    name, title = "tiny", "Two convolutions"

    def build(self, classes, request, shared):
        width = 24 if request.reduced else 32
        return SplitNetwork(lambda: block(3, 16), lambda: block(16, width), width, classes, request)
'''


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Writes a protocol beside 36 training and 18 test images of 32 pixels, one colour a class."""
    random = np.random.RandomState(0)
    for split, count in (("train", 12), ("test", 6)):
        for name, colour in zip("rgb", COLOURS, strict=True):
            folder = tmp_path / "photos" / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                noise = random.randint(-40, 41, (32, 32, 3))
                pixels = np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.png")

    def written(model: str = "") -> Path:
        file = tmp_path / "colours.toml"
        file.write_text(PROTOCOL.format(model=model))
        return file

    return written


def state() -> dict[str, Tensor]:
    torch.manual_seed(0)
    return ResNet(BasicBlock, [1, 1, 1, 1], num_classes=7).state_dict()


def records(results: Path) -> dict[str, dict[str, Any]]:
    found = [json.loads(path.read_text()) for path in results.glob("*/*/*/trial.json")]
    return {record["training"]["name"]: record for record in found}


def test_a_network_for_large_images_trains_predicts_and_is_loaded(
    ltbench_here: CommandLine, write: Callable[..., Path], tmp_path: Path
) -> None:
    results = tmp_path / "results"
    told = ltbench_here(
        "run", "--methods", "ce,sade+none", "--protocol", write("shared = 3"), "--results", results
    )
    assert told.returncode == 0, told.stderr
    found = records(results)
    assert set(found) == {"ce", "sade"}
    assert found["ce"]["model"]["shared"] == found["sade"]["model"]["shared"] == 3
    assert found["sade"]["model"]["reduced"]
    table = library.load_results(results)
    uniform = table[(table.distribution == "uniform") & (table.method == "ce")]
    assert uniform.top1.mean() > 60  # chance: 33
    for record in found.values():
        model = library.load_model(record["trial"], results=results)
        images = torch.zeros(2, 3, 32, 32, dtype=torch.uint8).numpy()
        assert model(images).shape == (2, record["model"]["experts"], 3)
        assert sum(p.numel() for p in model.network.parameters()) == record["model"]["parameters"]


def test_training_starts_from_a_file_whose_digest_is_the_identity(
    ltbench_here: CommandLine, write: Callable[..., Path], tmp_path: Path
) -> None:
    weights = tmp_path / "start.pth"
    torch.save(state(), weights)
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    pretrained = f'pretrained = {{ file = "start.pth", sha256 = "{digest}" }}'
    results = tmp_path / "results"
    once = ("--methods", "ce", "--results", results, "--set", "recipe.epochs=1")
    slow = ("--set", "recipe.lr=1e-12", "--set", "recipe.weight_decay=0")
    told = ltbench_here("run", *once, *slow, "--protocol", write(pretrained))
    assert told.returncode == 0, told.stderr
    record = records(results)["ce"]
    assert record["model"]["pretrained"] == record["identity"]["model"]["pretrained"]
    assert record["identity"]["model"]["pretrained"] == {"sha256": digest}
    model = library.load_model(record["trial"], results=results).network.state_dict()
    for own, name in (
        ("trunk.conv1", "conv1"),
        ("experts.0.branch.layer4.0.conv2", "layer4.0.conv2"),
    ):
        torch.testing.assert_close(model[f"{own}.weight"], state()[f"{name}.weight"])

    weights.rename(tmp_path / "elsewhere.pth")
    moved = load_protocol_config(str(write(pretrained.replace("start", "elsewhere"))))
    assert moved.model.identity() == load_protocol_config(str(write(pretrained))).model.identity()
    absent = ltbench_here("run", *once, "--protocol", tmp_path / "colours.toml")
    assert absent.returncode == 2
    assert "start.pth cannot be read: No such file" in absent.stderr
    other = pretrained.replace("start", "elsewhere").replace(digest, "0" * 64)
    refused = ltbench_here("run", *once, "--protocol", write(other))
    assert refused.returncode == 2
    assert f"have the SHA-256 {digest}, expected 0000" in refused.stderr
    unstated = 'pretrained = { file = "elsewhere.pth" }'
    refused = ltbench_here("run", *once, "--protocol", write(unstated))
    assert refused.returncode == 2
    assert (
        f"sha256 is not stated; that of {tmp_path / 'elsewhere.pth'} is {digest}" in refused.stderr
    )


def test_check_tells_the_digest_of_weights(
    ltbench_here: CommandLine, write: Callable[..., Path], tmp_path: Path
) -> None:
    weights = tmp_path / "start.pth"
    torch.save(state(), weights)
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    protocol = write()
    plain = ltbench_here("data", "check", protocol)
    assert plain.returncode == 0
    assert "pretrained" not in plain.stdout
    asked = ("data", "check", protocol, "--set", f"model.pretrained.file={weights}")
    told = ltbench_here(*asked)
    assert told.returncode == 0, told.stderr
    assert f"sha256 {digest} (not stated by the protocol" in told.stdout
    told = ltbench_here(*asked, "--set", f"model.pretrained.sha256={digest}")
    assert f"sha256 {digest} (as the protocol states)" in told.stdout
    told = ltbench_here(*asked, "--set", f"model.pretrained.sha256={'0' * 64}")
    assert f"sha256 {digest} (the protocol states 0000" in told.stdout
    weights.unlink()
    refused = ltbench_here(*asked)
    assert refused.returncode == 2
    assert "start.pth cannot be read: No such file" in refused.stderr


def test_a_backbone_is_shown_with_what_it_costs(ltbench_here: CommandLine) -> None:
    told = ltbench_here("show", "resnext50_32x4d", "--protocol", "imagenet-lt")
    assert told.returncode == 0, told.stderr
    assert "usually 2" in told.stdout
    assert (
        "1,000     224           1  25,028,904         4,230.5 M" in told.stdout
    )  # as torchvision's
    refused = ltbench_here("show", "resnext")
    assert refused.returncode == 2
    assert "source, backbone or encoder is called 'resnext'" in refused.stderr


def test_a_backbone_of_ones_own_is_listed_trained_and_told_from_an_edited_one(
    ltbench_here: CommandLine, write: Callable[..., Path], tmp_path: Path
) -> None:
    plugin, results = tmp_path / "tiny.py", tmp_path / "results"
    plugin.write_text(TINY)
    listed = ltbench_here("list", "backbones", "--plugin", plugin)
    assert "tiny" in listed.stdout
    assert "resnext50_32x4d" in listed.stdout
    protocol = write()
    asked = ("--set", "model.backbone=tiny", "--plugin", plugin, "--results", results)
    told = ltbench_here("run", "--methods", "sade", "--protocol", protocol, *asked)
    assert told.returncode == 0, told.stderr
    record = records(results)["sade"]
    code = record["model"]["code"]
    assert record["protocol"]["version"] == f"1.0+tiny.{code[:8]}"
    assert record["identity"]["model"] == {"backbone": "tiny", "code": code}
    model = library.load_model(record["trial"], results=results, plugins=[str(plugin)])
    assert model(torch.zeros(1, 3, 32, 32, dtype=torch.uint8).numpy()).shape == (1, 3, 3)
    with pytest.raises(
        InputError, match=r"unknown backbone 'tiny'.*plugins=\[FILE\]\) makes it known"
    ):
        library.load_model(record["trial"], results=results)

    plugin.write_text(TINY.replace("else 32", "else 40"))
    with pytest.raises(InputError, match=r"code of backbone 'tiny'.* is another one"):
        library.load_model(record["trial"], results=results, plugins=[str(plugin)])
    again = ltbench_here("run", "--methods", "sade", "--protocol", protocol, *asked, "--dry-run")
    assert "new" in again.stdout
