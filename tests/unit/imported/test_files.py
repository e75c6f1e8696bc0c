"""Text, ``.npz`` and PyTorch files: which numbers are meant, and what is wrong in which line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ltbench.errors import InputError
from ltbench.imported.arrays import read_array


def text(folder: Path, content: str | bytes, name: str = "labels.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize(
    "content",
    [
        "3\n1\n2\n",
        "label\n3\n1\n2",
        "3,1,2\n",
        "3 1 2\n",
        "3\t1\t2\n",
        "3;1;2",
        "\ufeff3\n1\n2\n",
        "\ufefflabel\r\n3\r\n1\r\n2\r\n",
        "\n# of the model\nlabel\n\n3\n1  # a comment\n\n2\n",
        "3.0\n1.0\n2e0\n",
    ],
)
def test_ways_to_write_the_same(tmp_path: Path, content: str) -> None:
    found = read_array(text(tmp_path, content), "labels")
    assert found.tolist() == [3, 1, 2]
    assert found.dtype == torch.int64


def test_headings_of_columns_and_files_of_savetxt(tmp_path: Path) -> None:
    path = text(tmp_path, "class 0,class 1\n0.5,-1\n2,3\n", "logits.csv")
    assert read_array(path, "logits").tolist() == [[0.5, -1], [2, 3]]
    values = np.array([[0.5, -np.inf], [2, 3]])
    np.savetxt(tmp_path / "z.txt", values)
    np.testing.assert_array_equal(read_array(tmp_path / "z.txt", "logits").numpy(), values)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("images/a.jpg 3\nimages/b.jpg 1\n", "line 1: 'images/a.jpg 3' is more than a number"),
        ("images/a,b.jpg 3\nimages/c,d.jpg 1\n", "line 1: 'images/a,b.jpg 3' is more than"),
        ("path label\nimages/a.jpg 3\nimages/b.jpg 1\n", "line 2: 'images/a.jpg 3' is more"),
        ("images/a.jpg,3\nimages/b.jpg,1\n", "line 1: 'images/a.jpg,3' is more than a number"),
        ("1,280\n640\n", "line 1: '1,280' are 2 numbers; .*thousands separators"),
        ("640\n1,280\n", "line 2: '1,280' are 2 numbers"),
        ("count\n\n1,280\n1,100\n", "line 3: '1,280' are 2 numbers"),
        ('"1,280"\n"640"\n', "line 1: "),
        ("1 280\n640\n", "line 1: '1 280' are 2 numbers"),
        ("cat\ndog\n", "line 1: 'cat' is not a number"),
        ("0\n1\n\nx\n", "line 4: 'x' is not a number"),
        ("0\r\n1\r\nx\r\n", "line 3: 'x' is not a number"),
        ("1_000\n2\n", "line 1: '1_000' is not a number"),
        ("# nothing\n\n", "holds no numbers"),
        ("0\n1\n".encode("utf-16"), "not text in UTF-8"),
    ],
)
@pytest.mark.parametrize("what", ["labels", "counts"])
def test_the_line_that_is_wrong_is_named(
    tmp_path: Path, content: str | bytes, message: str, what: str
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read_array(text(tmp_path, content), what)
    assert "\n" not in str(caught.value)


def test_lines_of_logits(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="line 4 has 1 numbers, line 2 has 2"):
        read_array(text(tmp_path, "a,b\n1.5,2\n\n3.5\n"), "logits")
    with pytest.raises(InputError, match="line 3: 'x' is not a number"):
        read_array(text(tmp_path, "a,b\n1.5,2\n3.5,x\n"), "logits")


ARRAY = np.array([[0.5, -1.0], [2.0, 3.0]], dtype=np.float32)


def npz(**arrays: Any) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        np.savez(folder / "x.npz", **arrays)
        return folder / "x.npz"

    return make


def pt(value: Any, name: str = "x.pt", **how: Any) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        torch.save(value, folder / name, **how)
        return folder / name

    return make


TENSOR = torch.from_numpy(ARRAY)


@pytest.mark.parametrize(
    "make",
    [
        npz(anything=ARRAY),
        npz(logits=ARRAY, labels=np.arange(2)),
        pt(TENSOR),
        pt(TENSOR, "x.pth", _use_new_zipfile_serialization=False),
        pt({"scores": TENSOR, "epoch": 200}),
        pt({"logits": TENSOR, "labels": torch.arange(2)}),
        pt(TENSOR.bfloat16()),
        pt(torch.nn.Parameter(TENSOR)),
    ],
)
def test_files_of_numpy_and_pytorch(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    found = read_array(make(tmp_path), "logits")
    assert not found.requires_grad
    np.testing.assert_array_equal(found.float().numpy(), ARRAY)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (npz(a=ARRAY, b=ARRAY), "one array, or one called 'logits'; it holds: a, b"),
        (npz(), "it holds: none"),
        (pt({"a": TENSOR, "b": TENSOR}), "one array, or one called 'logits'; it holds: a, b"),
        (pt([TENSOR, TENSOR]), "it holds a list, not a tensor"),
        (pt(3), "it holds an int, not a tensor"),
        (pt(TENSOR.to_sparse()), "sparse"),
        (pt(TENSOR.to(torch.complex64)), "must hold real numbers"),
        (lambda f: text(f, "nothing like it", "x.npz"), "pickle"),
        (lambda f: text(f, b"PK\x03\x04 cut", "x.npz"), "is no NumPy file"),
        (lambda f: text(f, b"PK\x03\x04 cut", "x.pt"), "damaged, or no PyTorch file"),
    ],
)
def test_what_is_not_meant_or_not_readable(
    tmp_path: Path, make: Callable[[Path], Path], message: str
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read_array(make(tmp_path), "logits")
    assert "\n" not in str(caught.value)


class Evil:
    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Path]]:
        return Path.touch, (Path("/tmp/ltbench-must-not-exist"),)


@pytest.mark.parametrize(
    ("make", "load"),
    [
        (pt({"logits": ARRAY}), "weights_only=False"),
        (pt(Evil()), "weights_only=False"),
        (npz(logits=np.array([[1, 2.5], [3, 4]], dtype=object)), "allow_pickle=True"),
        (npz(logits=np.array([Evil()], dtype=object)), "allow_pickle=True"),
    ],
)
def test_nothing_is_run_and_the_line_that_converts_is_told(
    tmp_path: Path, make: Callable[[Path], Path], load: str
) -> None:
    with pytest.raises(InputError, match="where you trust the file: python -c") as caught:
        read_array(make(tmp_path), "logits")
    assert load in str(caught.value)
    assert not Path("/tmp/ltbench-must-not-exist").exists()


@pytest.mark.parametrize(
    "make",
    [pt({"logits": ARRAY}), npz(logits=ARRAY.astype(object)), pt(ARRAY)],
)
def test_the_line_that_converts_works(
    tmp_path: Path, make: Callable[[Path], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError) as caught:
        read_array(make(tmp_path), "logits")
    code = str(caught.value).split('python -c "')[1].removesuffix('"')
    monkeypatch.chdir(tmp_path)
    exec(code, {})
    np.testing.assert_array_equal(read_array(tmp_path / "logits.npy", "logits").numpy(), ARRAY)


@pytest.mark.parametrize("kind", ["<u2", ">u4", "u8", "i1"])
def test_labels_of_any_whole_type(tmp_path: Path, kind: str) -> None:
    np.save(tmp_path / "y.npy", np.array([0, 2, 1], dtype=kind))
    assert read_array(tmp_path / "y.npy", "labels").long().tolist() == [0, 2, 1]
