"""``ltbench data split`` and the table that it writes, from class folders to a checked data set."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
from PIL import Image

from ltbench.data.findings import DataProblems
from ltbench.data.folder_scan import VALIDATION_USE
from ltbench.data.sources import describe, open_data
from ltbench.errors import DataError
from ltbench.protocol.protocol import DataConfig

CommandLine = Callable[..., CompletedProcess[str]]
PROTOCOL = """
name = "mine"
version = "1.0"
title = "Mine"
[data]
source = "{source}"
path = "{path}"
classes = 3
image_size = 8
[train]
profile = "all"
[test]
ratios = [2]
[recipe]
epochs = 1
batch_size = 4
lr = 0.1
"""
CLASSES = {"1": 20, "10": 8, "2": 12}


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Class folders without train and test; all images differ."""
    monkeypatch.setenv("LTBENCH_CACHE", str(tmp_path / "cache"))
    random = np.random.RandomState(0)
    for name, count in CLASSES.items():
        (tmp_path / "my photos" / name).mkdir(parents=True)
        for number in range(count):
            pixels = random.randint(0, 256, (8, 8, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "my photos" / name / f"{number}, x.png")
    return tmp_path / "my photos"


def rows(table: Path) -> list[dict[str, str]]:
    with table.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def config(table: Path) -> DataConfig:
    return DataConfig("table", 3, 8, path=str(table))


def write(table: Path, found: list[dict[str, str]]) -> None:
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, found[0])
        writer.writeheader()
        writer.writerows(found)


def test_from_folders_to_a_data_set(
    photos: Path, ltbench_here: CommandLine, tmp_path: Path
) -> None:
    table = tmp_path / "tables" / "mine.csv"
    done = ltbench_here("data", "split", photos, "--min-per-class", 3, "-o", table)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1:4] == ["  1: 16, 4", "  2: 9, 3", "  10: 5, 3"]
    found = rows(table)
    assert list(found[0]) == ["file", "label", "split"]
    assert len(found) == 40
    for row in found:
        assert (table.parent / row["file"]).parent.name == row["label"]
    (tmp_path / "tables" / "p.toml").write_text(PROTOCOL.format(source="table", path="mine.csv"))
    done = ltbench_here("data", "check", tmp_path / "tables" / "p.toml")
    assert done.returncode == 0, done.stderr
    assert "train      30 images" in done.stdout
    splits = open_data(config(table))
    assert splits.train.class_names == ("1", "2", "10")
    assert np.bincount(splits.train.labels).tolist() == [16, 9, 5]
    assert np.bincount(splits.test.labels).tolist() == [4, 3, 3]
    assert splits.files is not None
    for place, (name, label) in enumerate(splits.files.test):
        with Image.open(table.parent / name) as image:
            pixels = np.asarray(image).transpose(2, 0, 1)
        np.testing.assert_array_equal(splits.test.read([place])[0], pixels)
        assert splits.test.labels[place] == label
    again = tmp_path / "again.csv"
    ltbench_here("data", "split", photos, "--min-per-class", 3, "-o", again)
    sides = [
        {Path(r["file"]).name + r["label"]: r["split"] for r in rows(t)} for t in (table, again)
    ]
    assert sides[0] == sides[1]  # wherever the table lies


def test_equal_files_stay_on_one_side(
    photos: Path, ltbench_here: CommandLine, tmp_path: Path
) -> None:
    for number in range(5):  # five pairs within a class, three over two classes
        content = (photos / "1" / f"{number}, x.png").read_bytes()
        (photos / "1" / f"copy{number}.png").write_bytes(content)
        if number < 3:
            (photos / "2" / f"copy{number}.png").write_bytes(content)
    for seed in range(4):
        table = tmp_path / f"mine{seed}.csv"
        done = ltbench_here("data", "split", photos, "--seed", seed, "-o", table)
        assert done.returncode == 0, done.stderr
        assert "note: files with one content, kept on one side: 13" in done.stdout
        contents = {
            side: {(tmp_path / r["file"]).read_bytes() for r in rows(table) if r["split"] == side}
            for side in ("train", "test")
        }
        assert contents["train"].isdisjoint(contents["test"])
        assert "train and test" not in str(open_data(config(table), thorough=True).warnings)


def test_groups_of_a_table_stay_on_one_side(
    photos: Path, ltbench_here: CommandLine, tmp_path: Path
) -> None:
    files = sorted(photos.rglob("*.png"))
    listed = [
        {
            "label": path.parent.name,
            "patient": f"p{place // 2}",
            "file": f"my photos/{path.parent.name}/{path.name}",
        }
        for place, path in enumerate(files)
    ]
    write(tmp_path / "scans.csv", listed)
    arguments = ("data", "split", tmp_path / "scans.csv", "--group", "patient")
    done = ltbench_here(*arguments, "--min-per-class", 2, "-o", tmp_path / "mine.csv")
    assert done.returncode == 0, done.stderr
    side = {row["file"]: row["split"] for row in rows(tmp_path / "mine.csv")}
    patients: dict[str, set[str]] = {}
    for row in listed:
        patients.setdefault(row["patient"], set()).add(side[row["file"]])
    assert all(len(sides) == 1 for sides in patients.values())
    assert set(side.values()) == {"train", "test"}
    done = ltbench_here("data", "split", photos, "--group", "patient", "-o", tmp_path / "x.csv")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "--group patient needs a table" in done.stderr
    done = ltbench_here("data", "split", tmp_path / "scans.csv", "--group", "patent", "-o", "x.csv")
    assert "has no column 'patent'" in done.stderr
    assert "'patient'" in done.stderr


def test_what_cannot_be_split_is_refused(
    photos: Path, ltbench_here: CommandLine, tmp_path: Path
) -> None:
    done = ltbench_here("data", "split", photos, "--min-per-class", 8, "-o", tmp_path / "x.csv")
    assert done.returncode == 2
    assert "Error: class '10' has 8 images, too few for 8 test images" in done.stderr
    assert not (tmp_path / "x.csv").exists()
    (tmp_path / "notes.csv").write_text("of mine\n")
    done = ltbench_here("data", "split", photos, "-o", tmp_path / "notes.csv")
    assert "exists and is no table of ltbench" in done.stderr
    assert (tmp_path / "notes.csv").read_text() == "of mine\n"
    photos.rename(tmp_path / "train")
    (tmp_path / "train").rename(tmp_path / "own")
    (tmp_path / "set").mkdir()
    (tmp_path / "own").rename(tmp_path / "set" / "train")
    done = ltbench_here("data", "split", tmp_path / "set", "-o", tmp_path / "x.csv")
    assert "has a folder 'train' already" in done.stderr
    done = ltbench_here("data", "split", tmp_path / "gone", "-o", tmp_path / "x.csv")
    assert "does not exist" in done.stderr
    assert "Traceback" not in done.stderr


def test_folders_without_a_test_set_are_shown_the_way(
    photos: Path, ltbench_here: CommandLine, tmp_path: Path
) -> None:
    (tmp_path / "p.toml").write_text(PROTOCOL.format(source="image-folder", path="my photos"))
    command = f"`ltbench data split '{photos}' -o mine.csv`"
    for verb in ("where", "check"):
        done = ltbench_here("data", verb, tmp_path / "p.toml")
        assert command in done.stdout
    whole = tmp_path / "moved"
    photos.rename(whole)
    photos.mkdir()
    whole.rename(photos / "train")
    (photos / "val" / "1").mkdir(parents=True)
    for verb in ("where", "check"):
        done = ltbench_here("data", verb, tmp_path / "p.toml")
        assert f"`ltbench data split '{photos / 'train'}' -o mine.csv`" in done.stdout
        assert "its folder 'val' is not used: rename it to 'test'" in done.stdout
    (photos / "test" / "1").mkdir(parents=True)
    done = ltbench_here("data", "where", tmp_path / "p.toml")
    assert "data split" not in done.stdout
    assert f"note: folders beside train and test, not used: 1 ({photos / 'val'})" in done.stdout


def test_everything_wrong_in_a_table_is_told_at_once(photos: Path, tmp_path: Path) -> None:
    good = [
        {"file": f"my photos/{name}/{n}, x.png", "label": name, "split": ("train", "test")[n % 2]}
        for name in CLASSES
        for n in range(4)
    ]
    table = tmp_path / "mine.csv"
    used = {"file": "my photos/1/8, x.png", "label": "1", "split": "val"}
    write(table, [*good, used])
    assert open_data(config(table)).notes[VALIDATION_USE] == [1, used["file"]]
    bad = [
        {"file": "my photos/1/8, x.png", "label": "1", "split": "trian"},
        {"file": "my photos/1/0, x.png", "label": "2", "split": "test"},
        {"file": "my photos/1/99.png", "label": "1", "split": "train"},
        {"file": "my photos/1/9, x.png", "label": "stranger", "split": "test"},
    ]
    write(table, [*good, *bad])
    with pytest.raises(DataProblems) as caught:
        open_data(config(table))
    errors = caught.value.findings.errors
    assert (
        "line 14: split 'trian' is neither 'train' nor 'test'"
        in errors["rows of unknown splits"][0]
    )
    assert "line 15: my photos/1/0, x.png is also in " in errors["files listed twice"][0]
    assert "99.png" in errors["files that are missing"][0]
    assert "label 'stranger'" in errors["test classes that are unknown in train"][0]
    write(table, [row for row in good if row["split"] == "train"])
    with pytest.raises(DataError, match="has no rows of split 'test'"):
        open_data(config(table))
    table.write_text("image,label,split\nx,y,train\n")
    with pytest.raises(
        DataError, match=r"mine\.csv has no column 'file' \(it has: image, label, split"
    ):
        open_data(config(table))


def test_where_the_table_and_its_files_are(photos: Path, tmp_path: Path) -> None:
    table = tmp_path / "tables" / "mine.csv"
    table.parent.mkdir()
    names = [(name, n) for name in CLASSES for n in range(4)]
    write(
        table,
        [
            {"file": f"{c}/{n}, x.png", "label": c, "split": ("train", "test")[n % 2]}
            for c, n in names
        ],
    )
    with pytest.raises(DataProblems, match="no file"):
        open_data(config(table))
    assert len(open_data(config(table), photos).train) == 6  # --data-dir: what the names are below
    status = describe(DataConfig("table", 3, 8))
    assert "needs its table: give data.path" in status.missing
    assert "ltbench data split" in status.remedy
    assert "does not exist" in describe(config(tmp_path / "gone.csv")).missing
    assert "is a folder, no table" in describe(config(photos)).missing
