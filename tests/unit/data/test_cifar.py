from __future__ import annotations

import dataclasses
import io
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ltbench.data import sources
from ltbench.data.cifar import ARCHIVES
from ltbench.data.dataset import Splits
from ltbench.data.unpickle import load_arrays
from ltbench.errors import DataError
from ltbench.protocol.protocol import DataConfig

Make = Callable[[str], Any]
CONFIGS = {
    "cifar10": DataConfig(source="cifar10", classes=10, image_size=32),
    "cifar100": DataConfig(source="cifar100", classes=100, image_size=32),
}
both = pytest.mark.parametrize("source", ["cifar10", "cifar100"])


def assert_is(splits: Splits, made: Any) -> None:
    for name, dataset in (("train", splits.train), ("test", splits.test)):
        np.testing.assert_array_equal(dataset.labels, made.labels[name])
        np.testing.assert_array_equal(dataset.read(np.arange(len(dataset))), made.images[name])
    assert splits.train.class_names[3] == "class 3"


@both
def test_addresses_and_checksums_are_those_of_torchvision(source: str) -> None:
    datasets = pytest.importorskip("torchvision.datasets")
    theirs = {"cifar10": datasets.CIFAR10, "cifar100": datasets.CIFAR100}[source]
    ours = ARCHIVES[source]
    assert (ours.url, ours.filename, ours.md5) == (theirs.url, theirs.filename, theirs.tgz_md5)
    assert ours.folder == theirs.base_folder
    assert [list(pair) for pair in ours.train] == theirs.train_list
    assert [list(pair) for pair in ours.test] == theirs.test_list
    assert ours.meta == (theirs.meta["filename"], theirs.meta["md5"])
    assert ours.names_key == theirs.meta["key"]
    assert ours.counts == (50_000, 10_000)


@both
@pytest.mark.parametrize("deeper", [False, True])
def test_archive_round_trip(source: str, deeper: bool, mini: Make) -> None:
    made = mini(source)
    folder = made.path.parent
    if deeper:
        (folder / source).mkdir()
        made.path.rename(folder / source / made.path.name)
    splits = sources.open_data(CONFIGS[source], folder)
    assert_is(splits, made)
    assert "official archive" in splits.origin


@both
def test_torchvision_reads_the_same_images(source: str, mini: Make, tmp_path: Path) -> None:
    datasets = pytest.importorskip("torchvision.datasets")
    made = mini(source)
    made.extract(tmp_path / "theirs")
    base = {"cifar10": datasets.CIFAR10, "cifar100": datasets.CIFAR100}[source]
    meta = {"filename": made.archive.meta[0], "key": made.archive.names_key}
    reader = type(
        "Reader",
        (base,),
        {
            "train_list": [list(pair) for pair in made.archive.train],
            "test_list": [list(pair) for pair in made.archive.test],
            "meta": {**meta, "md5": made.archive.meta[1]},
        },
    )
    splits = sources.open_data(CONFIGS[source], made.path.parent)
    for train, ours in ((True, splits.train), (False, splits.test)):
        theirs = reader(tmp_path / "theirs", train=train)
        np.testing.assert_array_equal(
            ours.read(np.arange(len(ours))), theirs.data.transpose(0, 3, 1, 2)
        )
        assert ours.labels.tolist() == theirs.targets
        assert list(ours.class_names) == theirs.classes


@both
@pytest.mark.parametrize("inside", [False, True])
def test_extracted_folder(source: str, inside: bool, mini: Make, tmp_path: Path) -> None:
    made = mini(source)
    folder = made.extract(tmp_path / "mine")
    splits = sources.open_data(CONFIGS[source], folder if inside else folder.parent)
    assert_is(splits, made)


def test_extracted_folder_that_is_incomplete_or_changed(mini: Make, tmp_path: Path) -> None:
    made = mini("cifar10")
    folder = made.extract(tmp_path / "mine")
    (folder / "data_batch_3").write_bytes(made.files["data_batch_2"])
    with pytest.raises(DataError, match="data_batch_3 has a wrong checksum"):
        sources.open_data(CONFIGS["cifar10"], folder)
    (folder / "data_batch_3").unlink()
    with pytest.raises(DataError, match="incomplete, it lacks data_batch_3"):
        sources.open_data(CONFIGS["cifar10"], folder)


def test_number_of_images_is_checked(mini: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    made = mini("cifar10")
    expected = dataclasses.replace(made.archive, counts=(50_000, 10_000))
    monkeypatch.setitem(ARCHIVES, "cifar10", expected)
    with pytest.raises(DataError, match="50 training and 10 test images, CIFAR-10 has 50000"):
        sources.open_data(CONFIGS["cifar10"], made.path.parent)


def test_number_of_classes_and_image_size_are_checked(mini: Make) -> None:
    made = mini("cifar10")
    with pytest.raises(DataError, match="has 10 classes, the protocol says 20"):
        sources.open_data(DataConfig("cifar10", 20, 32), made.path.parent)
    with pytest.raises(DataError, match="images of 32 pixels, the protocol says 64"):
        sources.open_data(DataConfig("cifar10", 10, 64), made.path.parent)


def test_links_in_an_archive_are_not_followed(mini: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    made = mini("cifar10")
    with tarfile.open(made.path, "w:gz") as tar:
        for name, content in made.files.items():
            info = tarfile.TarInfo(f"{made.archive.folder}/{name}")
            if name == "test_batch":
                info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
                tar.addfile(info)
            else:
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    monkeypatch.setattr("ltbench.data.cifar.file_md5", lambda path: made.archive.md5)
    with pytest.raises(DataError, match="lacks test_batch"):
        sources.open_data(CONFIGS["cifar10"], made.path.parent)


@pytest.mark.parametrize("protocol", [3, 4])
def test_unpickler_reads_arrays_of_python_3(protocol: int) -> None:
    value = {"data": np.arange(12, dtype=np.uint8).reshape(3, 4), "labels": [1, 2], "name": "x"}
    back = load_arrays(pickle.dumps(value, protocol=protocol), "here")
    np.testing.assert_array_equal(back["data"], value["data"])
    assert back["labels"] == [1, 2]
    assert back["name"] == "x"
