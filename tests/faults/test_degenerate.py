"""F23 and a user's own images: an image folder, end to end, with classes that are hardly there."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
from PIL import Image

from ltbench import load_results
from ltbench.report.page import picture

CommandLine = Callable[..., CompletedProcess[str]]

PROTOCOL = """
name = "shapes-lt"
version = "1.0"
title = "Shapes-LT"

[data]
source = "image-folder"
classes = {classes}
image_size = 8
path = "images"          # relative to this file; mean and std: of the training images

[train]
profile = "all"          # the images as they are
class_order = "size"

[groups]
many_above = {many_above}
few_below = {few_below}

[test]
ratios = [2]
draws = 2

[model]
backbone = "resnet8"

[recipe]
epochs = 2
batch_size = 16
lr = 0.05

[views]
pairs = 1
crop_padding = 1
"""


def write_images(folder: Path, counts: dict[str, tuple[int, int]]) -> None:
    """``counts``: name to images in train and test; class k is a bar in row k, plus noise."""
    generator = np.random.RandomState(0)
    for k, (name, (train, test)) in enumerate(counts.items()):
        for split, count in (("train", train), ("test", test)):
            place = folder / split / name
            place.mkdir(parents=True)
            for i in range(count):
                pixels = generator.randint(0, 60, (10, 12, 3)).astype(np.uint8)
                pixels[2 * k % 10, :, :] = 200 + 10 * k
                kind = "png" if i % 2 else "jpg"
                Image.fromarray(pixels).save(place / f"{i}.{kind}", quality=95)


def write_protocol(folder: Path, classes: int, many_above: int = 20, few_below: int = 5) -> Path:
    file = folder / "shapes.toml"
    file.write_text(PROTOCOL.format(classes=classes, many_above=many_above, few_below=few_below))
    return file


def report_texts(results: Path) -> dict[str, str]:
    found = {
        str(path.relative_to(results)): path.read_text()
        for path in (results / "report").rglob("*")
        if path.suffix in (".tex", ".md", ".csv")
    }
    assert len(found) > 10
    return found


def test_f23_an_image_folder_from_end_to_end(
    ltbench_here: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No few-shot class, and a class without test images: n/a, never NaN."""
    monkeypatch.setattr(picture, "KINDS", ("png",))  # a PDF takes longest
    monkeypatch.setattr(picture, "to_svg", lambda *_: "")  # nor is the page looked at
    monkeypatch.setenv("LTBENCH_CACHE", str(tmp_path / "cache"))  # not for other tests
    counts = {"bar": (40, 6), "circle": (24, 5), "cross": (12, 4), "unseen": (6, 0)}
    write_images(tmp_path / "images", counts)
    protocol, results = write_protocol(tmp_path, 4), tmp_path / "results"
    done = ltbench_here("data", "check", protocol)
    assert done.returncode == 0
    assert "82 images of 8 x 8 pixels, 4 classes of 6 to 40 images" in done.stdout
    assert "15 images of 8 x 8 pixels, 4 classes of 0 to 6 images" in done.stdout
    done = ltbench_here("run", "--methods", "ce,sade", "--protocol", protocol, "--results", results)
    assert done.returncode == 0, done.stdout
    assert "shapes-lt 1.0: 2 trials" in done.stdout

    (record,) = [json.loads(p.read_text()) for p in results.glob("shapes-lt/ce/*/trial.json")]
    assert record["data"]["class_names"] == ["bar", "circle", "cross", "unseen"]
    assert record["data"]["train_counts"] == [40, 24, 12, 6]
    assert record["data"]["groups"] == {"many": [0, 1], "medium": [2, 3], "few": []}
    assert all(0 < value < 1 for value in record["data"]["mean"] + record["data"]["std"])

    frame = load_results(results)
    assert "few-only" not in set(frame.distribution)
    assert {"forward2", "uniform", "backward2", "many-only", "medium-only"} <= set(
        frame.distribution
    )
    assert frame.top1.notna().all()
    uniform = frame[frame.distribution == "uniform"]
    assert uniform.few.isna().all()
    assert uniform.many.notna().all()

    done = ltbench_here("report", "--results", results)
    assert done.returncode == 0, done.stderr
    for name, text in report_texts(results).items():
        assert not re.search(r"\bnan\b", text, re.IGNORECASE), name
        assert not re.search(r"\binf\b", text, re.IGNORECASE), name
    tables = next((results / "report").glob("*/tables"))
    assert "n/a" in (tables / "groups.md").read_text()
    assert "n/a" in (tables / "groups.tex").read_text()
    assert list((results / "report").glob("*/figures/accuracy-per-class.png"))


def test_f23_groups_without_classes(
    ltbench_here: CommandLine, quick: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every class many-shot, then few-shot, then medium-shot: three variants of one training."""
    monkeypatch.setattr(picture, "KINDS", ())  # the CSV counts here
    monkeypatch.setattr(picture, "to_svg", lambda *_: "")
    monkeypatch.setenv("LTBENCH_CACHE", str(tmp_path / "cache"))  # not for other tests
    results = tmp_path / "results"
    asked = [
        "run",
        "--methods",
        "ce",
        *(word.replace("epochs=2", "epochs=1") for word in quick),
        *("--set", "train.max_count=30", "--set", "train.imbalance=30"),
        "--results",
        results,
    ]
    present = {(0, 1): "many-only", (1000, 1001): "few-only", (1000, 0): "medium-only"}
    for many, few in present:
        sets = ["--set", f"groups.many_above={many}", "--set", f"groups.few_below={few}"]
        assert ltbench_here(*asked, *sets).returncode == 0
    assert len(list(results.rglob("trial.json"))) == 1
    frame = load_results(results)
    partial = frame[(frame.kind == "partial") & (frame.strategy == "none")]
    found = dict(zip(partial.variant, partial.distribution, strict=True))
    assert len(found) == len(partial) == 3
    assert sorted(found.values()) == sorted(present.values())
    assert ltbench_here("report", "--methods", "ce", "--results", results).returncode == 0
    for name, text in report_texts(results).items():
        assert not re.search(r"\b(nan|inf)\b", text, re.IGNORECASE), name


@pytest.mark.parametrize(
    ("counts", "classes", "expected"),
    [
        ({"a": (3, 2)}, 2, r"at least 2 classes, not 1"),
        ({"a": (3, 2)}, 1, r"classes = 1 must be at least 2"),
        ({"a": (3, 2), "b": (3, 2)}, 3, r"has 2 classes, the protocol says 3"),
        ({"a": (3, 2), "b": (0, 2)}, 2, r"train/b has no images; each class needs"),
        ({"a": (3, 0), "b": (3, 0)}, 2, r"test has no images"),
        ({"a": (3, 2), "b": (3, 0)}, 2, r"at least two classes must have images"),
        ({"a": (9, 2), "b": (3, 1)}, 2, r"test ratio 2: the smallest class would have no image"),
    ],
)
def test_f23_images_that_allow_no_benchmark(
    counts: dict[str, tuple[int, int]],
    classes: int,
    expected: str,
    ltbench_here: CommandLine,
    tmp_path: Path,
) -> None:
    write_images(tmp_path / "images", counts)
    protocol, results = write_protocol(tmp_path, classes), tmp_path / "results"
    done = ltbench_here("run", "--methods", "ce", "--protocol", protocol, "--results", results)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert re.search(expected, line), line
    assert not [path for path in results.rglob("*") if path.is_file()]


def test_f23_one_image_a_class_and_a_batch_of_one(
    ltbench_here: CommandLine, tmp_path: Path
) -> None:
    """The smallest that can be: BatchNorm meets a last batch of one image."""
    write_images(tmp_path / "images", {"a": (16, 2), "b": (1, 2)})
    protocol, results = write_protocol(tmp_path, 2), tmp_path / "results"
    asked = ["run", "--methods", "ce,sade,ride", "--protocol", protocol, "--results", results]
    done = ltbench_here(*asked)
    assert done.returncode == 0, done.stdout
    frame = load_results(results)
    assert set(frame.method) == {"ce", "sade", "ride"}
    assert frame.top1.between(0, 100).all()
    assert ltbench_here("report", "--results", results, "--no-figures").returncode == 0


def test_f19_a_damaged_image(ltbench_here: CommandLine, tmp_path: Path) -> None:
    write_images(tmp_path / "images", {"a": (4, 2), "b": (4, 2)})
    (tmp_path / "images" / "train" / "b" / "0.jpg").write_bytes(b"no image")
    protocol, results = write_protocol(tmp_path, 2), tmp_path / "results"
    done = ltbench_here("run", "--methods", "ce", "--protocol", protocol, "--results", results)
    assert done.returncode == 2
    assert "train/b/0.jpg" in done.stderr
    assert len(done.stderr.splitlines()) == 1
