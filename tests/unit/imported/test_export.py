"""Exported index lists lead another code base to the very same images."""

from __future__ import annotations

import csv
import hashlib
import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from ltbench.api import load_protocol
from ltbench.data.digits import scale
from ltbench.data.sources import open_data
from ltbench.errors import InputError
from ltbench.imported.export import export_lists, indices_digest
from ltbench.task import Task, build_task


@pytest.fixture(scope="module")
def task() -> Task:
    protocol = load_protocol(
        "digits-lt", train={"holdout": 0.2}, test={"ratios": [2, 10], "draws": 3}
    )
    return build_task(protocol, open_data(protocol.data))


@pytest.fixture(scope="module")
def folder(task: Task, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lists") / "deep" / "lists"
    export_lists(task, folder)
    return folder


def rows(path: Path) -> list[dict[str, int]]:
    with path.open(newline="") as file:
        return [{key: int(value) for key, value in row.items()} for row in csv.DictReader(file)]


def test_every_set_and_draw_comes_back(task: Task, folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    expected = {"train.csv": task.train.indices, "holdout.csv": task.train.holdout}
    for test_set in task.test_sets:
        for draw in range(test_set.draws):
            chosen = test_set.indices(task.splits.test.labels, draw)
            expected[f"test/{test_set.name}-draw{draw}.csv"] = chosen
    assert {entry["file"] for entry in manifest["lists"]} == set(expected)
    assert {str(p.relative_to(folder)) for p in folder.rglob("*.csv")} == set(expected)
    assert len(expected) == 2 + 4 * 3 + 1 + 3
    for entry in manifest["lists"]:
        read = np.array([row["index"] for row in rows(folder / entry["file"])])
        np.testing.assert_array_equal(read, expected[entry["file"]])
        assert entry["n"] == len(read)
        assert entry["indices_sha256"] == indices_digest(read)
        content = (folder / entry["file"]).read_bytes()
        assert entry["sha256"] == hashlib.sha256(content).hexdigest()
        labels = getattr(task.splits, entry["split"]).labels
        assert [row["label"] for row in rows(folder / entry["file"])] == labels[read].tolist()


def test_the_manifest_names_the_data(task: Task, folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["train_fingerprint"] == task.splits.train.fingerprint
    assert manifest["test_fingerprint"] == task.splits.test.fingerprint
    assert manifest["train_counts"] == task.train.counts.tolist()
    assert manifest["protocol"]["name"] == "digits-lt"
    assert manifest["protocol"]["variant"] == "train.holdout=0.2"


def test_the_digits_are_found_in_scikit_learn_itself(task: Task, folder: Path) -> None:
    datasets = pytest.importorskip("sklearn.datasets")
    bunch = datasets.load_digits()
    for name, dataset in (
        ("train", task.splits.train),
        ("test/backward10-draw1", task.splits.test),
    ):
        found = rows(folder / f"{name}.csv")
        places = [row["sklearn_index"] for row in found]
        assert bunch.target[places].tolist() == [row["label"] for row in found]
        np.testing.assert_array_equal(
            scale(bunch.images[places]), dataset.read([row["index"] for row in found])
        )


def test_the_checksums_are_those_that_sha256sum_reads(folder: Path) -> None:
    for line in (folder / "SHA256SUMS").read_text().splitlines():
        digest, name = line.split("  ")
        assert digest == hashlib.sha256((folder / name).read_bytes()).hexdigest()
    assert len((folder / "SHA256SUMS").read_text().splitlines()) == 19


def test_one_draw_and_the_same_bytes_again(task: Task, tmp_path: Path) -> None:
    export_lists(task, tmp_path, draws=1)
    first = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert not [path for path in first if "draw1" in path.name]
    export_lists(task, tmp_path, draws=1)
    assert {path: path.read_bytes() for path in first} == first


def test_a_folder_of_other_files_is_left_alone(task: Task, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match="holds other files"):
        export_lists(task, tmp_path)
    with pytest.raises(InputError, match="is a file"):
        export_lists(task, tmp_path / "thesis.tex")


def test_the_command_writes_them(tmp_path: Path, environment: dict[str, str]) -> None:
    import sys

    done = subprocess.run(
        [sys.executable, "-m", "ltbench", "data", "export", "digits-lt", "--draws", "1"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "index lists" in done.stdout
    assert (tmp_path / "digits-lt-lists/test/forward20-draw0.csv").is_file()


def test_lists_of_a_subset_name_places_in_the_whole_source(tmp_path: Path) -> None:
    protocol = load_protocol(
        "digits-lt", data={"subset": [7, 2, 4]}, train={"imbalance": 4}, test={"ratios": []}
    )
    whole = open_data(protocol.data.__class__("digits", 10, 8))
    export_lists(build_task(protocol, open_data(protocol.data)), tmp_path)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["profile"] == "exponential"
    for entry in manifest["lists"]:
        listed = rows(tmp_path / entry["file"])
        read = np.array([row["index"] for row in listed])
        labels = getattr(whole, entry["split"]).labels[read]
        assert labels.tolist() == [(7, 2, 4)[row["label"]] for row in listed]
        assert entry["indices_sha256"] == indices_digest(read)


def test_image_folders_are_listed_with_their_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of a subset of the classes: its labels are new, its files are not."""
    from PIL import Image

    monkeypatch.setenv("LTBENCH_CACHE", str(tmp_path / "cache"))
    for split in ("train", "test"):
        for name in ("ant", "bee, big", "crow"):
            for number in range(4):
                path = tmp_path / "own" / split / name / f"{number}.{('png', 'gif')[number % 2]}"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.new("RGB", (8, 8), (number, 7, 9)).save(path)
    protocol = tmp_path / "own.toml"
    protocol.write_text(
        'name = "own"\nversion = "1.0"\ntitle = "Own"\n'
        '[data]\nsource = "image-folder"\npath = "own"\nclasses = 3\nimage_size = 8\n'
        '[train]\nprofile = "all"\n[test]\nratios = [2]\n'
        "[recipe]\nepochs = 1\nbatch_size = 4\nlr = 0.1\n"
    )
    for subset, names in (([], ["ant", "bee, big", "crow"]), (["crow", "ant"], ["crow", "ant"])):
        config = load_protocol(str(protocol), data={"subset": subset})
        task = build_task(config, open_data(config.data))
        folder = tmp_path / f"lists{len(subset)}"
        export_lists(task, folder)
        for path in folder.rglob("*.csv"):
            with path.open(newline="", encoding="utf-8") as file:
                found = list(csv.DictReader(file))
            assert found
            split = "train" if path.name == "train.csv" else "test"
            for row in found:
                assert (tmp_path / "own" / row["file"]).is_file()
                assert row["file"].split("/")[:2] == [split, names[int(row["label"])]]
