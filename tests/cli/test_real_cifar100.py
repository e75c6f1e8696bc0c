"""The real CIFAR-100, end to end: read, one short training, every distribution, report. And written as PNG
files and lists it is the same, bit for bit: in one file, so that its images are decoded once."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from ltbench import write_plugin
from ltbench.data.dataset import Dataset, channel_statistics
from ltbench.data.sources import open_data
from ltbench.protocol.file import load_protocol_config
from ltbench.protocol.protocol import DataConfig
from ltbench.shift.trainset import select_training

ROOT = Path(__file__).resolve().parents[2]
CIFAR100 = Path(os.environ.get("LTBENCH_CIFAR100", ROOT.parent / "shared" / "data" / "cifar100"))

pytestmark = [
    pytest.mark.real_data,
    pytest.mark.skipif(
        not CIFAR100.is_dir(),
        reason=f"needs CIFAR-100: set LTBENCH_CIFAR100 (looked in {CIFAR100})",
    ),
]

PROTOCOL = """
extends = "cifar100-lt"
name = "cifar-by-lists"
version = "1.0"
title = "CIFAR-100-LT by lists"
unset = ["train"]
[data]
source = "lists"
classes = 100
image_size = 32
mean = [0.50707516, 0.48654887, 0.44091784]
std = [0.26733429, 0.25643846, 0.27615047]
[data.lists]
train = { file = "train.txt" }
test = { file = "test.txt" }
[train]
profile = "all"
"""
# A fifth of the images: a largest class of 100 in place of 500, and groups that hold the same classes.
FEW = [
    "--set",
    "train.max_count=100",
    "--set",
    "groups.many_above=19",
    "--set",
    "groups.few_below=4",
]
SHORT = ["--methods", "ce", "--seeds", "1", "--device", "cpu", "--loaders", "0"]
SHORT += ["--set", "model.backbone=tiny", "--set", "test.draws=1", "--set", "recipe.epochs=1"]
SHORT += ["--set", "recipe.warmup_epochs=0", "--set", "recipe.batch_size=32"]


SIZES = {"forward50": 2486, "forward25": 2956, "forward10": 3876, "forward5": 4932}
SIZES |= {"forward2": 7166, "uniform": 10000, "backward2": 7166, "backward5": 4932}
SIZES |= {"backward10": 3876, "backward25": 2956, "backward50": 2486}
SIZES |= {"many-only": 3500, "medium-only": 3500, "few-only": 3000}


def test_it_is_read_whole_from_parquet() -> None:
    config = DataConfig(source="cifar100", classes=100, image_size=32)
    stages: list[tuple[str, int, int]] = []
    splits = open_data(config, CIFAR100, report=lambda *step: stages.append(step))
    if stages:  # unless another test has left it in the cache
        assert stages[-1] == ("decoding images", 60_000, 60_000)
    assert np.bincount(splits.train.labels).tolist() == [500] * 100
    assert np.bincount(splits.test.labels).tolist() == [100] * 100
    assert splits.train.class_names[0] == "apple"
    long_tailed = load_protocol_config("cifar100-lt").train
    assert select_training(splits.train.labels, 100, long_tailed).counts.sum() == 10_847
    mean, std = channel_statistics(splits.train)
    np.testing.assert_allclose(mean, [0.50707516, 0.48654887, 0.44091784], atol=1e-8)
    np.testing.assert_allclose(std, [0.26733429, 0.25643846, 0.27615047], atol=1e-8)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> list[str | Path]:
    """The options that make a network of two convolutions known."""
    folder = tmp_path_factory.mktemp("tiny")
    write_plugin("backbone", "tiny", folder)
    return ["--plugin", folder / "tiny.py"]


@pytest.fixture(scope="module")
def trained(
    ltbench_shared: Callable[..., subprocess.CompletedProcess[str]],
    tiny: list[str | Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """The results of one short training."""
    results = tmp_path_factory.mktemp("trained") / "results"
    words = ["run", *SHORT, *FEW, *tiny, "--protocol", "cifar100-lt", "--data-dir", CIFAR100]
    done = ltbench_shared(*words, "--results", results)
    assert done.returncode == 0, done.stdout + done.stderr
    return results


def test_a_small_network_end_to_end(
    ltbench_here: Callable[..., subprocess.CompletedProcess[str]], trained: Path
) -> None:
    (record,) = [
        json.loads(path.read_text())
        for path in trained.glob("cifar100-lt/ce/*/evaluations/ce+none-*.json")
    ]
    distributions = record["distributions"]
    assert {name: d["draws"]["0"]["n"] for name, d in distributions.items()} == SIZES
    assert [len(record["groups"][g]) for g in ("many", "medium", "few")] == [35, 35, 30]
    # An epoch learns something: a guess has 1 % on the uniform set, and the head comes first.
    top1 = {name: d["draws"]["0"]["top1"] for name, d in distributions.items()}
    assert top1["uniform"] > 2
    assert top1["forward50"] > top1["uniform"] > top1["backward50"]

    done = ltbench_here("report", "--results", trained, "--no-figures")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (trained / "report").is_dir()


def write(images: Dataset, chosen: np.ndarray, root: Path, split: str) -> None:
    """PNG files in a folder a class, and their list in the order of ``chosen``."""
    lines = []
    for folder in images.class_names:
        (root / split / folder).mkdir(parents=True)
    for index, pixels in zip(chosen.tolist(), images.read(chosen), strict=True):
        label = int(images.labels[index])
        name = f"{split}/{images.class_names[label]}/{index:05d}.png"
        whole = Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))
        whole.save(root / name, compress_level=1)
        lines.append(f"{name} {label}\n")
    (root / f"{split}.txt").write_text("".join(lines))


def test_cifar_100_lt_by_lists_is_cifar_100_lt(
    ltbench_here: Callable[..., subprocess.CompletedProcess[str]],
    tiny: list[str | Path],
    trained: Path,
    tmp_path: Path,
) -> None:
    """The 2,131 training images of imbalance 100 with a largest class of 100, and five test images a
    class."""
    protocol = load_protocol_config("cifar100-lt")
    splits = open_data(protocol.data, CIFAR100)
    train = select_training(splits.train.labels, 100, replace(protocol.train, max_count=100))
    tested = np.sort([np.flatnonzero(splits.test.labels == c)[:5] for c in range(100)], axis=None)
    write(splits.train, train.indices, tmp_path / "images", "train")
    write(splits.test, tested, tmp_path / "images", "test")
    (tmp_path / "cifar.toml").write_text(PROTOCOL)
    lists = ["--protocol", tmp_path / "cifar.toml", "--data-dir", tmp_path / "images"]
    lists += ["--set", "test.ratios=2", "--set", "test.max_count=5"]
    done = ltbench_here("run", *SHORT, *tiny, *lists, "--results", tmp_path / "results")
    assert done.returncode == 0, done.stderr
    weights, logits, counts, names = [], [], [], []
    for results in (trained, tmp_path / "results"):
        (path,) = results.rglob("trial.json")
        data = json.loads(path.read_text())["data"]
        counts.append(data["train_counts"])
        names.append(data["class_names"])
        weights.append((path.parent / "weights.safetensors").read_bytes())
        logits.append(load_file(path.parent / "logits.safetensors")["logits"])
    assert counts[0] == counts[1]
    assert (max(counts[0]), min(counts[0]), sum(counts[0])) == (100, 1, 2_131)
    assert names[0] == names[1]
    assert weights[0] == weights[1]
    assert torch.equal(logits[0][tested], logits[1])
