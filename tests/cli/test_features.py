"""`ltbench features`: the encoder of the docs, a trial's own network, imports, and what is refused."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import ltbench as library
from ltbench.contract.check import checks_of
from ltbench.data.sources import open_data
from ltbench.encoders.encode import Encode
from ltbench.encoders.trial import trial_encoder
from ltbench.features.folder import FeatureFolder
from ltbench.features.header import TEST, TRAIN
from ltbench.models.network import ExpertNetwork
from ltbench.protocol.file import load_protocol_config

CommandLine = Callable[..., CompletedProcess[str]]
PAGE = Path(__file__).resolve().parents[2] / "docs" / "frozen-features.md"
EXAMPLE = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    file = tmp_path / "patches.py"
    file.write_text(EXAMPLE[0])
    return file


def test_the_encoder_of_the_page_takes_15_lines_and_its_features_are_stored(
    ltbench_here: CommandLine, plugin: Path, tmp_path: Path
) -> None:
    assert len(EXAMPLE) == 1
    checks = checks_of(plugin)
    assert len(checks) == 5
    for check in checks:
        check()
    assert len([line for line in EXAMPLE[0].splitlines() if line.strip()]) <= 15
    out = tmp_path / "digits"
    words = ("features", "--protocol", "digits-lt", "--encoder", "patches", "--plugin", plugin)
    words = (*words, "--views", "1", "--device", "cpu", "-o", out)
    told = ltbench_here(*words)
    assert told.returncode == 0, told.stderr
    assert "train-clean: 1,197 images encoded in" in told.stdout
    assert "64 numbers an image of patches (features), 10 classes" in told.stdout
    assert "strategies that need views want the protocol's 5" in told.stdout
    header = FeatureFolder(out).header
    assert (header.dim, header.pairs, header.whole_pool) == (64, 1, True)
    assert header.encoder.weights.startswith("state-sha256:")

    torch.manual_seed(0)
    linear = nn.Linear(192, 64)
    images = open_data(load_protocol_config("digits-lt").data).test.read(np.arange(600))
    pixels = torch.from_numpy(images).flatten(1) / 255
    expected = ((pixels - 0.5) / 0.25 @ linear.weight.T + linear.bias).clamp_min(0)
    found = torch.from_numpy(np.array(FeatureFolder(out).clean(TEST))).float()
    assert (found - expected).abs().max() < 5e-3

    again = ltbench_here(*words)
    assert again.returncode == 0
    assert "was complete; every digest is as the header says" in again.stdout
    checked = ltbench_here("features", "--check", out)
    assert checked.returncode == 0
    content = bytearray((out / "train.safetensors").read_bytes())
    content[5000] ^= 1
    (out / "train.safetensors").write_bytes(content)
    damaged = ltbench_here("features", "--check", out)
    assert damaged.returncode == 2
    assert "has the SHA-256" in damaged.stderr


FROZEN = """
extends = "digits-lt"
name = "digits-frozen"
version = "1.0"
title = "Digits, frozen"
[data]
source = "features"
classes = 10
[data.encoder]
name = "patches"
[groups]
many_above = 40
few_below = 10
[model]
backbone = "frozen"
head = "cosine"
scale = 25
[recipe]
epochs = 2
"""


def test_heads_are_trained_on_them_and_meet_the_stored_views(
    ltbench_here: CommandLine, plugin: Path, tmp_path: Path
) -> None:
    words = ("--protocol", "digits-lt", "--encoder", "patches", "--plugin", plugin, "--views", "5")
    told = ltbench_here("features", *words, "--device", "cpu", "-o", tmp_path / "f", "--quiet")
    assert (told.returncode, told.stdout) == (0, "")
    protocol = tmp_path / "frozen.toml"
    protocol.write_text(FROZEN)
    words = ("--methods", "ce,sade", "--protocol", protocol, "--data-dir", tmp_path / "f")
    told = ltbench_here("run", *words, "--results", tmp_path / "results")
    assert told.returncode == 0, told.stderr
    assert len(list((tmp_path / "results").rglob("trial.json"))) == 2


def test_the_protocol_of_the_page_is_valid(tmp_path: Path) -> None:
    (text,) = re.findall(r"```toml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    file = tmp_path / "c100_r50.toml"
    file.write_text(text)
    assert load_protocol_config(str(file)).model.scale == 25


def test_it_is_listed_and_shown(ltbench_here: CommandLine, plugin: Path) -> None:
    listed = ltbench_here("list", "encoders", "--plugin", plugin)
    assert listed.returncode == 0
    assert re.search(r"patches +Random features", listed.stdout)
    assert re.search(r"timm:NAME", listed.stdout)
    shown = ltbench_here("show", "open_clip")
    assert "--output: embedding, pre-projection" in shown.stdout
    assert "weights: its own" in ltbench_here("show", "patches", "--plugin", plugin).stdout


def test_the_heads_of_a_trial_on_its_own_features_give_its_logits(
    ltbench_here: CommandLine, quick: list[str], tmp_path: Path
) -> None:
    """In float32 as they were computed; from what is stored as far as float16 goes."""
    results = tmp_path / "results"
    told = ltbench_here("run", "--methods", "ce,sade+none", *quick, "--results", results)
    assert told.returncode == 0, told.stderr
    images = open_data(load_protocol_config("digits-lt").data).test.read(np.arange(600))
    for method, experts in (("ce", 1), ("sade", 3)):
        (trial,) = (results / "digits-lt").glob(f"*{method}*/*") or [None]
        logits = load_file(trial / "logits.safetensors")["logits"].float()
        network = library.load_model(trial).network
        assert isinstance(network, ExpertNetwork)
        heads = list(network.heads())

        def on(features: torch.Tensor, heads: list[nn.Module] = heads) -> torch.Tensor:
            with torch.no_grad():
                return torch.stack([h(features[:, e]) for e, h in enumerate(heads)], dim=1)

        whole = Encode(trial_encoder(trial, results), torch.device("cpu"))(images)
        assert (on(whole.view(600, experts, -1)) - logits).abs().max() < 1e-5

        out = tmp_path / method
        words = ("features", "--protocol", "digits-lt", "--trial", trial, "--device", "cpu")
        done = ltbench_here(*words, "-o", out)
        assert done.returncode == 0, done.stderr
        folder = FeatureFolder(out)
        assert folder.header.experts == experts
        assert folder.header.encoder.name == f"trial:{method}/{trial.name}"
        stored = torch.from_numpy(np.array(folder.clean(TEST))).float()
        own = stored.view(experts, 600, -1).transpose(0, 1)
        difference = (on(own) - logits).abs().max()
        assert 0 < difference < 2e-3 * logits.abs().max()
        assert len(folder.labels(TRAIN)) == 1197  # the pool, not what the trial was trained on

    wrong = ltbench_here(
        *("features", "--protocol", "cifar10-lt", "--trial", trial, "-o", tmp_path / "no"),
        *("--output", "embedding"),
    )
    assert wrong.returncode == 2
    assert "has weights and preprocessing of its own; leave --output out" in wrong.stderr


def test_features_of_ones_own_are_imported(ltbench_here: CommandLine, tmp_path: Path) -> None:
    for name in ("train", "test"):
        np.savez(tmp_path / f"{name}.npz", features=np.eye(4), labels=np.arange(4) % 2)
    (tmp_path / "classes.json").write_text(json.dumps(["cat", "dog"]))
    files = (tmp_path / "train.npz", tmp_path / "test.npz")
    words = ("features", "--import", *files, "--encoder", "dino", "-o", tmp_path / "out")
    told = ltbench_here(*words)
    assert told.returncode == 2
    assert "--import needs --classes FILE.json" in told.stderr
    told = ltbench_here(*words, "--classes", tmp_path / "classes.json")
    assert told.returncode == 0, told.stderr
    assert "4 numbers an image of dino, 2 classes" in told.stdout
    FeatureFolder(tmp_path / "out").verify()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("", r"nothing to do; give one of --encoder, --trial, --import and --check"),
        ("--encoder a --trial b -o c", r"--trial and --encoder exclude each other"),
        ("--encoder torchvision:resnet18", r"-o FOLDER says where"),
        ("--encoder torchvision:resnet18 -o f", r"--encoder needs --protocol"),
        (
            "--encoder torchvision:resnet18 --protocol digits-lt -o f",
            r"needs its weights: --weights",
        ),
        ("--encoder resnet18 --protocol digits-lt -o f", r"unknown encoder 'resnet18'"),
        ("--encoder patches --protocol digits-lt -o f --crop 9 --plugin P", r"--crop 9 must be 0"),
        (
            "--encoder patches --protocol digits-lt -o f --resize 9 --plugin P",
            r"failed on images of 9",
        ),
        ("--encoder patches --protocol digits-lt -o f --views 6 --plugin P", r"views.pairs = 5"),
        (
            "--encoder patches --protocol digits-lt -o f --prompt 'a {}' --plugin P",
            r"without texts",
        ),
        ("--trial absent --protocol digits-lt -o f", r"absent"),
        ("--check absent", r"absent holds no features.json"),
    ],
)
def test_bad_input_is_one_line(
    words: str, told: str, ltbench_here: CommandLine, plugin: Path
) -> None:
    import shlex

    asked = [str(plugin) if word == "P" else word for word in shlex.split(words)]
    found = ltbench_here("features", *asked)
    assert found.returncode in ((1, 2) if "failed" in told else (2,))
    assert re.search(told, found.stderr), found.stderr
    lines = [line for line in found.stderr.strip().splitlines() if not line.endswith("...")]
    assert len(lines) == 1
