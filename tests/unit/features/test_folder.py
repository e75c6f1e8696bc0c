"""The folder of features: what is written is read back, and a folder that lies is refused in one line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from ltbench.errors import DataError, InputError
from ltbench.features.folder import FeatureFolder
from ltbench.features.header import Encoder, Header, Origin
from ltbench.features.write import FolderWriter
from ltbench.trial.tensor_file import Pieces

HEADER = Header(
    Encoder("test:tiny"), 4, source=Origin("test"), class_names=("a", "b"), whole_pool=True
)


def write(
    folder: Path,
    header: Header = HEADER,
    *,
    images: int = 6,
    change: dict[str, torch.Tensor] | None = None,
) -> None:
    rng = torch.Generator().manual_seed(0)

    def split() -> dict[str, torch.Tensor]:
        return {
            "clean": torch.randn(header.feature_shape(images), generator=rng),
            "labels": torch.arange(images) % 2,
            "row": torch.arange(images).flip(0),
        }

    writer = FolderWriter(folder)
    copies = {
        f"aug{k}": torch.randn(header.feature_shape(images), generator=rng)
        for k in range(header.augmented)
    }
    writer.file("train.safetensors", split() | copies | (change or {}))
    writer.file("test.safetensors", split())
    for k in range(header.pairs):
        both = {s: torch.randn(header.feature_shape(images), generator=rng) for s in "ab"}
        writer.file(f"pair{k}.safetensors", both)
    writer.finish(header)


def lie(folder: Path, *keys: str, value: object) -> None:
    path = folder / "features.json"
    header = json.loads(path.read_text())
    at = header
    for key in keys[:-1]:
        at = at[key]
    at[keys[-1]] = value
    path.write_text(json.dumps(header))


@pytest.mark.parametrize("experts", [1, 3])
def test_what_is_written_is_read_back(tmp_path: Path, experts: int) -> None:
    header = Header(
        Encoder("test:tiny", weights="sha256:1"),
        4,
        source=Origin("test", "f" * 64),
        class_names=("a", "b"),
        whole_pool=True,
        experts=experts,
        views="v",
        pairs=1,
        augmented=2,
    )
    write(tmp_path, header)
    folder = FeatureFolder(tmp_path)
    folder.verify()
    assert folder.header.encoder == header.encoder
    rng = torch.Generator().manual_seed(0)
    copies = [torch.randn(header.feature_shape(6), generator=rng).half() for _ in range(3)]
    assert np.array_equal(folder.copy(1), copies[1].numpy())
    assert np.array_equal(folder.clean("train.safetensors"), copies[2].numpy())
    assert folder.row("train.safetensors").tolist() == [5, 4, 3, 2, 1, 0]
    assert folder.pair(0)[1].shape == header.feature_shape(6)


def test_the_files_are_what_the_library_of_the_format_reads(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    write(tmp_path)
    theirs = load_file(tmp_path / "test.safetensors")
    ours = FeatureFolder(tmp_path)
    assert np.array_equal(theirs["clean"].numpy(), ours.clean("test.safetensors"))


def test_pieces_are_written_as_a_whole_tensor_is(tmp_path: Path) -> None:
    whole = torch.randn(5, 4, generator=torch.Generator().manual_seed(1)).half()
    one, other = FolderWriter(tmp_path / "1"), FolderWriter(tmp_path / "2")
    one.file("x.safetensors", {"clean": whole})
    other.file("x.safetensors", {"clean": Pieces((5, 4), torch.float16, whole.split(2))})
    first, second = (tmp_path / k / "x.safetensors" for k in "12")
    assert first.read_bytes() == second.read_bytes()
    assert one._tensors == other._tensors


@pytest.mark.parametrize(
    ("bad", "message"),
    [(float("nan"), "NaN or infinity"), (7e4, "beyond float16"), (float("inf"), "NaN or infinity")],
)
def test_what_float16_cannot_hold_is_not_written(tmp_path: Path, bad: float, message: str) -> None:
    with pytest.raises(DataError, match=message):
        write(tmp_path, change={"clean": torch.full((6, 4), bad)})
    assert not (tmp_path / "features.json").exists()
    assert not (tmp_path / "train.safetensors").exists()


def test_files_unlike_their_header_are_not_finished(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"clean is float16 \(6, 3\); expected float16 \(6, 4\)"):
        write(tmp_path, change={"clean": torch.zeros(6, 3)})
    assert not (tmp_path / "features.json").exists()


def test_writing_anew_removes_the_old_header_first(tmp_path: Path) -> None:
    write(tmp_path)
    FolderWriter(tmp_path).file("train.safetensors", {"clean": torch.zeros(1, 4)})
    with pytest.raises(DataError, match=r"holds no features\.json"):
        FeatureFolder(tmp_path)


@pytest.mark.parametrize(
    ("keys", "value", "message"),
    [
        (("dim",), 5, r"clean is float16 \(6, 4\); expected float16 \(6, 5\)"),
        (("class_names",), ["a", "a"], "two different names"),
        (("format",), 2, "format 2 is not read here"),
        (("whole_pool",), "perhaps", "must be true or false"),
        (("encoder", "wheights"), "x", "has no 'wheights'"),
        (("augmented",), 1, "lacks 'aug0'"),
        (("pairs",), 1, "needs views"),
        (("bytes", "test.safetensors"), 9, "features.json says 9"),
        (("bytes",), {}, "bytes must give"),
        (("tensors", "train.safetensors", "clean", "sha256"), "x", "64 digits"),
        (("experts",), 2, r"expected float16 \(2, 6, 4\)"),
    ],
)
def test_a_header_that_lies_is_one_line(
    tmp_path: Path, keys: tuple[str, ...], value: object, message: str
) -> None:
    write(tmp_path)
    lie(tmp_path, *keys, value=value)
    with pytest.raises(DataError, match=message) as error:
        FeatureFolder(tmp_path)
    assert "\n" not in str(error.value)
    assert "features.json" in str(error.value)


def test_a_wrong_digest_is_found_when_it_is_looked_for(tmp_path: Path) -> None:
    write(tmp_path)
    lie(tmp_path, "tensors", "test.safetensors", "clean", "sha256", value="0" * 64)
    with pytest.raises(DataError, match=r"clean has the SHA-256 .*; features.json says 000"):
        FeatureFolder(tmp_path).verify()


def test_fewer_class_names_than_labels(tmp_path: Path) -> None:
    header = Header(Encoder("t"), 4, source=Origin("t"), class_names=("a", "b"), whole_pool=True)
    write(tmp_path, header, change={"labels": torch.arange(6)})
    with pytest.raises(DataError, match=r"label 2 is outside 0\.\.1"):
        FeatureFolder(tmp_path)


@pytest.mark.parametrize("row", [[0, 1, 2, 3, 4, 6], [0, 0, 1, 2, 3, 4]])
def test_rows_that_are_not_the_whole_pool(tmp_path: Path, row: list[int]) -> None:
    write(tmp_path, change={"row": torch.tensor(row)})
    with pytest.raises(DataError, match="row"):
        FeatureFolder(tmp_path)


def test_a_file_that_is_cut_off_missing_or_damaged(tmp_path: Path) -> None:
    write(tmp_path)
    path = tmp_path / "test.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-2])
    with pytest.raises(DataError, match=r"features\.json says"):
        FeatureFolder(tmp_path)
    lie(tmp_path, "bytes", "test.safetensors", value=len(whole) - 2)
    with pytest.raises(DataError, match="its own header says"):
        FeatureFolder(tmp_path)
    lie(tmp_path, "bytes", "test.safetensors", value=4)
    path.write_bytes(b"\x00\x01\x02\x03")
    with pytest.raises(DataError, match="no safetensors file"):
        FeatureFolder(tmp_path)
    path.unlink()
    with pytest.raises(DataError, match=r"test\.safetensors is missing"):
        FeatureFolder(tmp_path)


def test_nan_that_was_put_there_later(tmp_path: Path) -> None:
    write(tmp_path)
    path = tmp_path / "test.safetensors"
    values = FeatureFolder(tmp_path).clean("test.safetensors")
    content = bytearray(path.read_bytes())
    content[values.offset : values.offset + 2] = b"\x00\x7e"  # float16's NaN
    path.write_bytes(content)
    with pytest.raises(DataError, match="clean holds NaN or infinity"):
        FeatureFolder(tmp_path).verify()
