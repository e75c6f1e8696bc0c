"""Validation images of a folder or table: ``train.holdout = "val"`` uses them, and nothing else does."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
from PIL import Image

from ltbench import load_images, load_logits, load_results, plan_trials
from ltbench.data.sources import open_data
from ltbench.errors import DataError
from ltbench.protocol.file import load_protocol_config

CommandLine = Callable[..., CompletedProcess[str]]
PROTOCOL = """
name = "mine"
version = "1.0"
title = "Mine"
[data]
source = "{source}"
path = "{path}"
classes = 2
image_size = 16
[train]
profile = "all"
holdout = {holdout}
[test]
ratios = [2]
[recipe]
epochs = 1
batch_size = 8
lr = 0.1
"""


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LTBENCH_CACHE", str(tmp_path / "cache"))
    random = np.random.RandomState(0)
    for split, counts in (("train", (9, 4)), ("test", (4, 4)), ("valid", (3, 2))):
        for name, count in zip("ab", counts, strict=True):
            folder = tmp_path / "set" / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = random.randint(0, 256, (16, 16, 3)).astype(np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.png")
    return tmp_path / "set"


def protocol(
    folder: Path, holdout: str = '"val"', source: str = "image-folder", path: str = "set"
) -> Path:
    file = folder / "mine.toml"
    file.write_text(PROTOCOL.format(source=source, path=path, holdout=holdout))
    return file


def listed(photos: Path, table: Path) -> None:
    with table.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "label", "split"])
        for path in sorted(photos.rglob("*.png")):
            label, split = path.parent.name, path.parent.parent.name
            writer.writerow([path.relative_to(table.parent).as_posix(), label, split])


def test_a_folder_and_its_table_give_the_same_validation_images(photos: Path) -> None:
    here = photos.parent
    listed(photos, here / "mine.csv")
    of_folder = load_images(str(protocol(here)), "holdout")
    of_table = load_images(str(protocol(here, source="table", path="mine.csv")), "holdout")
    assert of_folder.counts.tolist() == [3, 2]
    assert of_folder.images.shape == (5, 3, 16, 16)
    np.testing.assert_array_equal(of_folder.images, of_table.images)
    expected = [np.asarray(Image.open(p)) for p in sorted((photos / "valid").rglob("*.png"))]
    np.testing.assert_array_equal(of_folder.images.transpose(0, 2, 3, 1), expected)
    trained = load_images(str(protocol(here)), "train")
    assert trained.counts.tolist() == [9, 4]  # all of them: nothing is held out of these


def test_strategies_get_their_logits_and_the_identity_their_fingerprint(
    ltbench_here: CommandLine, photos: Path, tmp_path: Path
) -> None:
    file = protocol(photos.parent)
    results = tmp_path / "results"
    words = (
        "--methods",
        "ce+tilt-holdout",
        "--protocol",
        file,
        "--results",
        results,
        "--device",
        "cpu",
    )
    done = ltbench_here("run", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    (row,) = load_results(results).query("label == 'ce+tilt-holdout'")["label"].unique()
    (trial,) = (results / "mine" / "ce").iterdir()
    stored = load_logits(trial, data_dir=photos)
    assert stored.holdout is not None
    assert (row, len(stored.holdout)) == ("ce+tilt-holdout", 5)
    assert stored.holdout_labels is not None
    assert stored.holdout_labels.tolist() == [0, 0, 0, 1, 1]
    planned = plan_trials("ce+tilt-holdout", str(file), results=results)
    assert list(planned["state"][:1]) == ["finished"]
    pixels = np.zeros((16, 16, 3), np.uint8)
    Image.fromarray(pixels).save(photos / "valid" / "a" / "0.png")  # another image: another trial
    planned = plan_trials("ce+tilt-holdout", str(file), results=results)
    assert set(planned["state"]) == {"new"}


def test_without_being_asked_for_they_change_nothing(photos: Path) -> None:
    file = protocol(photos.parent, holdout="0.0")
    config = load_protocol_config(str(file)).data
    splits = open_data(config)
    assert splits.holdout is not None
    before = (splits.train.fingerprint, splits.test.fingerprint)
    for path in (photos / "valid").rglob("*.png"):
        path.unlink()
    without = open_data(config)
    assert without.holdout is None
    assert (without.train.fingerprint, without.test.fingerprint) == before


def test_a_class_that_training_lacks_and_a_missing_split_are_told(
    ltbench_here: CommandLine, photos: Path, tmp_path: Path
) -> None:
    (photos / "valid" / "b").rename(photos / "valid" / "c")
    with pytest.raises(DataError, match=r"c is a class of the validation images without a folder"):
        open_data(load_protocol_config(str(protocol(photos.parent))).data)
    (photos / "valid").rename(photos / "more")
    done = ltbench_here("run", "--methods", "ce", "--protocol", tmp_path / "mine.toml")
    assert done.returncode == 2
    assert "has no validation images (a folder or split named val, valid" in done.stderr
    assert done.stderr.count("\n") == 1
    done = ltbench_here(
        "run",
        "--methods",
        "ce",
        "--protocol",
        tmp_path / "mine.toml",
        "--set",
        "train.holdout=value",
    )
    assert "holdout = 'value' must be a number, or \"val\"" in done.stderr
