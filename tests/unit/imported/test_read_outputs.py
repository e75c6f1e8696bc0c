"""Files of a user's own model: the three formats mean the same, and each mistake gets one line."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from ltbench.errors import InputError
from ltbench.imported.arrays import read_array
from ltbench.imported.outputs import ModelOutputs, read_outputs

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(6, 3)).astype(np.float32)
LABELS = np.array([0, 1, 2, 2, 1, 0])
COUNTS = np.array([30, 12, 4])


def write(path: Path, array: np.ndarray[Any, Any]) -> Path:
    if path.suffix == ".npy":
        np.save(path, array)
    elif path.suffix == ".csv":
        fmt = "%d" if array.dtype.kind in "iu" else "%.9g"
        np.savetxt(path, array, delimiter=",", fmt=fmt)
    else:
        save_file({"data": np.ascontiguousarray(array)}, path)
    return path


def read(folder: Path, suffix: str = ".npy", **arrays: np.ndarray[Any, Any]) -> ModelOutputs:
    given = {"logits": LOGITS, "labels": LABELS, "counts": COUNTS, **arrays}
    paths = {name: write(folder / f"{name}{suffix}", array) for name, array in given.items()}
    return read_outputs(**paths)


@pytest.mark.parametrize("suffix", [".npy", ".csv", ".safetensors"])
def test_every_format_gives_the_same(tmp_path: Path, suffix: str) -> None:
    bias = np.log(COUNTS / COUNTS.sum()).astype(np.float32)
    outputs = read(tmp_path, suffix, bias=bias)
    assert outputs.logits.shape == (6, 1, 3)
    assert outputs.logits.dtype == torch.float32
    np.testing.assert_array_equal(outputs.logits[:, 0].numpy(), LOGITS)
    assert outputs.labels.tolist() == LABELS.tolist()
    assert outputs.counts is not None
    assert outputs.counts.tolist() == COUNTS.tolist()
    assert outputs.bias is not None
    np.testing.assert_array_equal(outputs.bias.numpy(), bias[None])


def test_headings_row_vectors_half_precision_and_byte_order(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("label\n0\n1\n2\n")
    assert read_array(path, "labels").tolist() == [0, 1, 2]
    path.write_text("0,1,2\n")
    assert read_array(path, "labels").tolist() == [0, 1, 2]
    experts = np.stack([LOGITS, -LOGITS], axis=1).astype(np.float16)
    assert read(tmp_path, logits=experts, bias=np.zeros((2, 3))).logits.shape == (6, 2, 3)
    np.testing.assert_array_equal(
        read(tmp_path, logits=LOGITS.astype(">f4")).logits[:, 0].numpy(), LOGITS
    )


def test_a_safetensors_file_of_several_tensors_is_read_by_name(tmp_path: Path) -> None:
    path = tmp_path / "all.safetensors"
    save_file({"logits": LOGITS, "labels": LABELS}, path)
    outputs = read_outputs(path, path, write(tmp_path / "counts.npy", COUNTS))
    assert outputs.labels.tolist() == LABELS.tolist()
    with pytest.raises(InputError, match=r"called 'counts'; it holds: labels, logits"):
        read_outputs(path, path, path)


def with_value(array: np.ndarray[Any, Any], value: float) -> np.ndarray[Any, Any]:
    changed = array.copy()
    changed[1] = value
    return changed


def softmax(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    powers = np.exp(array)
    result: np.ndarray[Any, Any] = powers / powers.sum(axis=1, keepdims=True)
    return result


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"logits": with_value(LOGITS, np.nan)}, "image 1 are NaN or infinite"),
        ({"logits": with_value(LOGITS.astype(np.float64), 1e300)}, "image 1 are NaN or infinite"),
        (
            {"logits": LOGITS[None, None]},
            r"shape \(1, 1, 6, 3\); expected \(N, C\) or \(N, E, C\) with C >= 2",
        ),
        ({"logits": LABELS}, "holds whole numbers"),
        ({"logits": LOGITS > 0}, "holds whole numbers"),
        ({"logits": softmax(LOGITS)}, "holds probabilities"),
        ({"logits": LOGITS[:0]}, r"empty array \(0, 3\)"),
        ({"logits": LOGITS.astype(str)}, "must hold numbers"),
        ({"labels": LABELS[:5]}, "has 5 labels, the logits have 6 images"),
        ({"labels": with_value(LABELS, 3)}, r"label 3 of image 1 is outside 0\.\.2"),
        ({"labels": with_value(LABELS, -1)}, "label -1 of image 1"),
        ({"labels": LABELS + 0.5}, "must hold whole numbers"),
        ({"labels": np.eye(3)[LABELS]}, "expected one whole number"),
        ({"counts": COUNTS[:2]}, "has 2 classes, the logits have 3"),
        ({"counts": with_value(COUNTS, 0)}, "class 1 has 0 training images"),
        ({"counts": COUNTS / 46}, "must hold whole numbers"),
        ({"bias": np.zeros(2)}, r"expected \(3,\) or \(1, 3\)"),
        ({"bias": with_value(np.zeros(3), np.inf)}, "NaN or infinite"),
    ],
)
def test_each_mistake_gets_one_line_that_names_the_file(
    tmp_path: Path, arrays: dict[str, np.ndarray[Any, Any]], message: str
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read(tmp_path, **arrays)
    (name,) = arrays
    assert f"{name} file {tmp_path / name}" in str(caught.value)
    assert "\n" not in str(caught.value)


def empty(path: Path) -> Path:
    path.write_bytes(b"")
    return path


def words(path: Path) -> Path:
    path.write_text("a,b\nc,d\n")
    return path


def heading(path: Path) -> Path:
    path.write_text("label\n")
    return path


def ragged(path: Path) -> Path:
    path.write_text("1.5,2\n3.5\n")
    return path


class Evil:
    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return Path.touch, (Path("/tmp/ltbench-must-not-exist"),)  # type: ignore[return-value]


def objects(path: Path) -> Path:
    np.save(path, np.array([Evil()], dtype=object), allow_pickle=True)
    return path


def a_pickle(path: Path) -> Path:
    path.write_bytes(pickle.dumps(Evil()))
    return path


@pytest.mark.parametrize(
    ("name", "make", "message"),
    [
        ("x.npy", empty, "is empty"),
        ("x.npy", lambda path: path, "does not exist"),
        ("x.npy", objects, "is not readable: .*allow_pickle"),
        ("x.npy", a_pickle, "is not readable"),
        ("x.safetensors", words, "is not readable"),
        ("x.csv", words, "is not readable"),
        ("x.csv", ragged, "is not readable"),
        ("x.csv", heading, "holds no numbers"),
        ("x.pt", words, "is not readable"),
        (
            "x.pkl",
            a_pickle,
            r"must end in \.safetensors, \.npy, \.npz, \.pt, \.pth, \.csv or \.txt",
        ),
    ],
)
def test_unreadable_files_are_told_and_nothing_is_unpickled(
    tmp_path: Path, name: str, make: Callable[[Path], Path], message: str
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read_array(make(tmp_path / name), "logits")
    assert "\n" not in str(caught.value)
    assert not Path("/tmp/ltbench-must-not-exist").exists()
