"""Features of others' files: the same folder whatever the format, one line for what is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from safetensors.numpy import save_file

from ltbench.encoders.imports import Stated, import_features, read_arrays, read_classes
from ltbench.errors import InputError
from ltbench.features.folder import FeatureFolder
from ltbench.features.header import TEST, TRAIN

CLASSES = ["cat", "dog", "owl"]
RANDOM = np.random.RandomState(0)


def arrays(images: int, **more: Any) -> dict[str, Any]:
    features = RANDOM.randn(images, 4).astype(np.float32)
    return {"features": features, "labels": np.arange(images) % 3} | more


def npz(folder: Path, name: str, content: dict[str, Any]) -> Path:
    path = folder / f"{name}.npz"
    np.savez(path, **content)
    return path


@pytest.mark.parametrize("kind", ["npz", "safetensors", "parquet"])
def test_every_format_gives_the_same_folder(kind: str, tmp_path: Path) -> None:
    contents = {"train": arrays(7), "test": arrays(5)}
    files = []
    for name, content in contents.items():
        path = tmp_path / f"{name}.{kind}"
        if kind == "npz":
            np.savez(path, **content)
        elif kind == "safetensors":
            save_file(content, path)
        else:
            columns = {"features": list(content["features"]), "label": content["labels"]}
            pyarrow.parquet.write_table(pyarrow.table(columns), path)
        files.append(path)
    header = import_features(*files, CLASSES, Stated("dino", source="pets"), tmp_path / "out")
    folder = FeatureFolder(tmp_path / "out")
    folder.verify()
    assert (header.dim, header.experts, header.whole_pool) == (4, 1, True)
    assert (header.encoder.name, header.source.name) == ("dino", "pets")
    for file, content in zip((TRAIN, TEST), contents.values(), strict=True):
        assert np.array_equal(folder.clean(file), content["features"].astype(np.float16))
        assert np.array_equal(folder.labels(file), content["labels"])
        assert np.array_equal(folder.row(file), np.arange(len(content["labels"])))


def test_rows_copies_and_sets_of_features_are_kept(tmp_path: Path) -> None:
    features = RANDOM.randn(2, 3, 4)
    row = np.array([5, 0, 2])
    train = npz(
        tmp_path,
        "train",
        {"clean": features, "labels": np.arange(3), "row": row, "aug0": features + 1},
    )
    test = npz(tmp_path, "test", {"clean": features, "labels": np.arange(3)})
    header = import_features(train, test, CLASSES, Stated(), tmp_path / "out")
    folder = FeatureFolder(tmp_path / "out")
    assert (header.dim, header.experts, header.augmented, header.whole_pool) == (4, 2, 1, False)
    assert np.array_equal(folder.row(TRAIN), row)
    assert np.array_equal(folder.copy(0), (features + 1).astype(np.float16))
    with pytest.raises(InputError, match="holds features already"):
        import_features(train, test, CLASSES, Stated(), tmp_path / "out")


FEATURES = np.ones((3, 4))
LABELS = np.arange(3)
GOOD = {"features": FEATURES, "labels": LABELS}


@pytest.mark.parametrize(
    ("train", "told"),
    [
        ({"labels": LABELS}, r"lacks features; expected features, labels"),
        ({"features": FEATURES}, r"lacks labels"),
        (GOOD | {"extra": LABELS}, r"'extra' is not known"),
        (GOOD | {"embedding": FEATURES}, r"there are two arrays of clean"),
        (
            GOOD | {"features": FEATURES[0]},
            r"features are float64 \(4,\); expected floats \(N, D\)",
        ),
        (
            GOOD | {"features": FEATURES.astype(int)},
            r"features are int64 \(3, 4\); expected floats",
        ),
        (
            GOOD | {"labels": np.arange(4)},
            r"labels are int64 \(4,\); expected whole numbers \(3,\)",
        ),
        (GOOD | {"labels": np.ones(3)}, r"labels are float64 \(3,\)"),
        (GOOD | {"labels": np.array([0, 1, 3])}, r"label 3 is outside 0..2 \(3 class names\)"),
        (GOOD | {"labels": np.array([0, 1, -1])}, r"label -1 is outside 0..2"),
        (GOOD | {"labels": np.array([0, 1, 1])}, r"has no image of class 'owl' \(label 2\)"),
        (GOOD | {"features": FEATURES * np.nan}, r"clean holds NaN or infinity"),
        (GOOD | {"features": FEATURES * 7e4}, r"clean holds 70000, beyond float16 \(65504\)"),
        (GOOD | {"features": np.ones((3, 5))}, r"\(3, 4\) do not go with those of .*, \(3, 5\)"),
        (GOOD | {"row": np.array([0, 1, 1])}, r"row must hold different numbers"),
        (GOOD | {"aug1": FEATURES}, r"must be aug0, aug1, ... without a gap"),
        (GOOD | {"aug0": FEATURES[:2]}, r"aug0 is float64 \(2, 4\); features are \(3, 4\)"),
        (
            GOOD | {"labels": np.array(["a", {}, 1], dtype=object)},
            r"pickled array, which could run",
        ),
    ],
)
def test_wrong_arrays_are_one_line(train: dict[str, Any], told: str, tmp_path: Path) -> None:
    wrong, right = npz(tmp_path, "train", train), npz(tmp_path, "test", GOOD)
    with pytest.raises(InputError, match=told) as found:
        import_features(wrong, right, CLASSES, Stated(), tmp_path / "out")
    assert "\n" not in str(found.value)
    assert not (tmp_path / "out" / "features.json").exists()


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.npz", b"nothing", r"a.npz cannot be read|a.npz holds a pickled"),
        ("a.npz", b"PK\x03\x04 cut off", r"a.npz cannot be read"),
        ("a.safetensors", b"nothing at all", r"a.safetensors cannot be read"),
        ("a.parquet", b"nothing at all", r"a.parquet cannot be read"),
        ("a.pt", b"nothing at all", r"expected a file .npz, .safetensors, .parquet"),
        ("a.npz", None, r"a.npz: no such file"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_line(
    name: str, content: bytes | None, told: str, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=told) as found:
        read_arrays(tmp_path / name)
    assert "\n" not in str(found.value)


def test_lists_of_two_lengths_are_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"features": [[1.0], [1.0, 2.0]]}), path)
    with pytest.raises(InputError, match="not all of one length"):
        read_arrays(path)
    pyarrow.parquet.write_table(pyarrow.table({"features": [[1.0], None]}), path)
    with pytest.raises(InputError, match="1 empty places"):
        read_arrays(path)


@pytest.mark.parametrize("content", ["{", "3", '["a"]', '["a", "a"]', '["a", 3]', '["a", ""]'])
def test_class_names_are_a_list_of_different_names(content: str, tmp_path: Path) -> None:
    path = tmp_path / "classes.json"
    path.write_text(content)
    with pytest.raises(InputError, match="--classes"):
        read_classes(path)
    path.write_text(json.dumps(CLASSES))
    assert read_classes(path) == CLASSES
