"""F18, F20: archives that are cut short, and members that would leave the folder or fill the disk."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path

import pytest

from ltbench.data import cifar
from ltbench.data.cifar import ARCHIVES
from ltbench.data.sources import open_data
from ltbench.errors import DataError
from tests.faults.test_data_faults import CONFIG, write_archive
from tests.faults.test_data_faults import cache as cache  # a fixture

BASE = ARCHIVES["cifar100"].folder


def known(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    """Takes the file for the official one, so that it is opened."""
    made = write_archive(path.parent / "sound" / path.name)
    import dataclasses
    import hashlib

    md5 = hashlib.md5(path.read_bytes()).hexdigest()
    monkeypatch.setitem(ARCHIVES, "cifar100", dataclasses.replace(made, md5=md5))


def hostile(kind: str, outside: Path) -> tarfile.TarInfo:
    info = tarfile.TarInfo(f"{BASE}/train")
    if kind == "parent":
        info.name, info.size = f"{BASE}/../../../{outside.name}", 4
    elif kind == "absolute":
        info.name, info.size = str(outside), 4
    elif kind == "symlink":
        info.type, info.linkname = tarfile.SYMTYPE, str(outside)
    elif kind == "hard link":
        info.type, info.linkname = tarfile.LNKTYPE, str(outside)
    else:
        info.type = tarfile.CHRTYPE
    return info


@pytest.mark.parametrize("kind", ["parent", "absolute", "symlink", "hard link", "device"])
def test_f20_members_that_leave_the_folder_are_not_followed(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, outside = tmp_path / "mine" / ARCHIVES["cifar100"].filename, tmp_path / "outside"
    path.parent.mkdir()
    with tarfile.open(path, "w:gz") as tar:
        info = hostile(kind, outside)
        tar.addfile(info, io.BytesIO(b"evil") if info.size else None)
    known(monkeypatch, path)
    with pytest.raises(DataError, match=r"lacks .*train"):
        open_data(CONFIG, path.parent)
    assert not outside.exists()


def test_f20_a_bomb_is_refused_before_it_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mine" / ARCHIVES["cifar100"].filename
    path.parent.mkdir()
    info = tarfile.TarInfo(f"{BASE}/train")
    info.size = cifar._MEMBER_LIMIT + 1
    with gzip.open(path, "wb") as file:
        file.write(info.tobuf())
    known(monkeypatch, path)
    with pytest.raises(DataError, match=r"train is too large \(\d+ bytes\)"):
        open_data(CONFIG, path.parent)


def test_f18_an_archive_cut_short_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mine" / ARCHIVES["cifar100"].filename
    write_archive(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match=r"wrong checksum, expected md5 .*, got "):
        open_data(CONFIG, path.parent)
    known(monkeypatch, path)
    with pytest.raises(DataError, match="is not a readable archive") as caught:
        open_data(CONFIG, path.parent)
    assert "\n" not in str(caught.value)
