"""The small study that the storm of kills disturbs, and what must come out of it to the last bit."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import numpy as np
from PIL import Image

PROTOCOL = """
name = "storm"
version = "1.0"
title = "Storm"
[data]
source = "image-folder"
path = "images"
classes = 4
image_size = 8
[train]
imbalance = 10
[groups]
many_above = 30
few_below = 10
[test]
ratios = [2, 5]
draws = 2
[model]
backbone = "resnet8"
[recipe]
epochs = 4
batch_size = 32
lr = 0.05
[views]
pairs = 2
crop_padding = 1
"""
METHODS = "sade,ce+em"


def write_study(folder: Path, rows: str | None = None) -> list[list[str]]:
    """Images of four classes and their protocol; the words of the commands, which follow each other.
    rows: of the report, all of them by default."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 60), ("test", 30)):
        for label in range(4):
            place = folder / "images" / split / f"class{label}"
            place.mkdir(parents=True, exist_ok=True)
            for number in range(count):
                pixels = rng.integers(0, 140, (8, 8, 3))
                pixels[label : label + 3, label : label + 3] += 90
                path = place / f"{number}.png"
                Image.fromarray(pixels.astype(np.uint8)).save(path)
                os.utime(path, (1e9, 1e9))  # the cache tells images by it
    (folder / "storm.toml").write_text(PROTOCOL)
    run = ["run", "--methods", METHODS, "--protocol", "storm.toml", "--jobs", "1"]
    report = ["report", *(["--methods", rows] if rows else [])]
    return [[*words, "--results", "results"] for words in (run, report)]


def outcome(folder: Path) -> dict[str, str]:
    """Digests of everything that is the same in every run of the study: weights, logits, predictions,
    scores, losses, tables, figures, decoded images and views. Seconds, dates and hosts are not."""
    found: dict[str, str] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        hidden = any(
            part.startswith(".") for part in path.relative_to(folder).parts
        )  # half written
        content = _lasting(path) if path.is_file() and not hidden else None
        if content is not None:
            found[name] = hashlib.sha256(content).hexdigest()
    return found


def _lasting(path: Path) -> bytes | None:
    """What of a file does not depend on when and how often it was begun; None for nothing."""
    if path.suffix in (".safetensors", ".npz", ".npy", ".toml", ".png"):
        return path.read_bytes()
    if path.parent.name == "evaluations":
        return json.dumps(json.loads(path.read_text())["distributions"]).encode()
    if path.name == "history.jsonl":
        lines = map(json.loads, path.read_text().splitlines())
        return json.dumps([line["loss"] for line in lines]).encode()
    if path.suffix == ".csv" and path.stem not in ("cost", "accuracy-over-cost"):
        return path.read_bytes()
    if path.name == "trial.json":
        return json.dumps(json.loads(path.read_text())["carried_prior"]).encode()
    return None


def leftovers(folder: Path) -> list[str]:
    """Files that only an unfinished piece of work needs; there must be none at the end. In the report's
    folder, as in the cache, several processes may write, and young temporary files stay for an hour."""
    left = {"starts.json", "failed.json", "failure.log", ".claim.lock"}
    return [
        path.relative_to(folder).as_posix()
        for path in (folder / "results").rglob("*")
        if path.is_file()
        and "report" not in path.relative_to(folder).parts
        and (path.name in left or path.suffix == ".tmp" or path.name.startswith("checkpoint"))
    ]
