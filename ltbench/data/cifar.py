"""The official CIFAR files (Krizhevsky 2009), in NumPy's form for Python.

They are read from the archive, member by member in memory and never unpacked onto the disk, or from
the folder that an earlier extraction left. Either is read only after its checksum matched.
"""

from __future__ import annotations

import hashlib
import tarfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ltbench.data.dataset import Images, Labels, check_labels
from ltbench.data.download import file_md5
from ltbench.data.raw import Found, Raw, Stream
from ltbench.data.unpickle import load_arrays
from ltbench.errors import DataError
from ltbench.files import read_whole

_SIDE = 32
_MEMBER_LIMIT = 1 << 29  # bytes; the largest official member has 155 MB


@dataclass(frozen=True)
class Archive:
    """An official archive: where it is, its checksums, and what its files contain.

    ``train``, ``test`` and ``meta`` pair the name of a file in ``folder`` with its MD5;
    ``names_key`` is where ``meta`` keeps the class names; ``counts`` are training and test images.
    """

    title: str
    url: str
    md5: str
    folder: str
    train: tuple[tuple[str, str], ...]
    test: tuple[tuple[str, str], ...]
    meta: tuple[str, str]
    names_key: str
    label_key: str
    counts: tuple[int, int] = (50_000, 10_000)

    @property
    def filename(self) -> str:
        return self.url.rsplit("/", 1)[-1]

    @property
    def files(self) -> tuple[tuple[str, str], ...]:
        return (*self.train, *self.test, self.meta)


# The values of torchvision.datasets.CIFAR10 and CIFAR100, which a test compares; written out
# because importing torchvision takes seconds.
ARCHIVES: dict[str, Archive] = {
    "cifar10": Archive(
        title="CIFAR-10",
        url="https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
        md5="c58f30108f718f92721af3b95e74349a",
        folder="cifar-10-batches-py",
        train=(
            ("data_batch_1", "c99cafc152244af753f735de768cd75f"),
            ("data_batch_2", "d4bba439e000b95fd0a9bffe97cbabec"),
            ("data_batch_3", "54ebc095f3ab1f0389bbae665268c751"),
            ("data_batch_4", "634d18415352ddfa80567beed471001a"),
            ("data_batch_5", "482c414d41f54cd18b22e5b47cb7c3cb"),
        ),
        test=(("test_batch", "40351d587109b95175f43aff81a1287e"),),
        meta=("batches.meta", "5ff9c542aee3614f3951f8cda6e48888"),
        names_key="label_names",
        label_key="labels",
    ),
    "cifar100": Archive(
        title="CIFAR-100",
        url="https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
        md5="eb9058c3a382ffc7106e4002c42a8d85",
        folder="cifar-100-python",
        train=(("train", "16019d7e3df5f24257cddd939b257f8d"),),
        test=(("test", "f0ef6b0ae62326f3e7ffdfab6717acfc"),),
        meta=("meta", "7973b15100ade9c7d40fb424638fde48"),
        names_key="fine_label_names",
        label_key="fine_labels",
    ),
}


def find_archive(archive: Archive, path: Path) -> Found:
    """The archive at ``path``; its checksum is compared when it is read."""
    return Found(
        "cifar", f"{path} (official archive)", (path,), lambda: _read_archive(archive, path)
    )


def find_extracted(archive: Archive, folder: Path) -> Found:
    """The extracted ``folder``; raises :class:`DataError` where a file of it is missing."""
    files = tuple(folder / name for name, _ in archive.files)
    if missing := [path.name for path in files if not path.is_file()]:
        raise DataError(f"{folder} is incomplete, it lacks {', '.join(missing)}")
    origin = f"{folder} (official files)"
    return Found(
        "cifar", origin, files, lambda: _parse(archive, lambda name: _file(folder / name), folder)
    )


def _file(path: Path) -> bytes:
    try:
        return read_whole(path, _MEMBER_LIMIT)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error


def _read_archive(archive: Archive, path: Path) -> Raw:
    got = file_md5(path)
    if got != archive.md5:
        raise DataError(
            f"{path} has a wrong checksum, expected md5 {archive.md5}, got {got}; "
            f"get it again from {archive.url}"
        )
    members = _members(archive, path)
    return _parse(archive, lambda name: members.pop(name), path)


def _members(archive: Archive, path: Path) -> dict[str, bytes]:
    """The wanted members, by name; links, devices and other paths are never followed."""
    wanted = {f"{archive.folder}/{name}": name for name, _ in archive.files}
    members: dict[str, bytes] = {}
    try:
        with tarfile.open(path, "r:gz") as tar:
            for member in tar:
                name = wanted.get(member.name)
                if name is None or not member.isfile():
                    continue
                if member.size > _MEMBER_LIMIT:
                    raise DataError(f"{path}: {member.name} is too large ({member.size} bytes)")
                content = tar.extractfile(member)
                members[name] = content.read() if content is not None else b""
    except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
        raise DataError(f"{path} is not a readable archive: {error}") from error
    if missing := sorted(set(wanted.values()) - set(members)):
        raise DataError(f"{path} lacks {', '.join(missing)}")
    return members


def _parse(archive: Archive, content: Callable[[str], bytes], where: Path) -> Raw:
    names = _class_names(archive, content(archive.meta[0]), where)
    parts: dict[str, list[tuple[Images, Labels]]] = {"train": [], "test": []}
    for split, files in (("train", archive.train), ("test", archive.test)):
        for name, md5 in files:
            part = _batch(content(name), archive.label_key, md5, f"{where}: {name}")
            check_labels(part[1], len(names), f"{where}: {name}")
            parts[split].append(part)
    return Raw(names, _SIDE, _stream(parts["train"]), _stream(parts["test"]))


def _stream(parts: Sequence[tuple[Images, Labels]]) -> Stream:
    def batches() -> Iterator[tuple[Images, Labels]]:
        return iter(parts)

    return Stream(sum(len(labels) for _, labels in parts), batches)


def _checked(content: bytes, md5: str, where: str) -> object:
    got = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if got != md5:
        raise DataError(f"{where} has a wrong checksum, expected md5 {md5}, got {got}")
    return load_arrays(content, where)


def _class_names(archive: Archive, content: bytes, where: Path) -> tuple[str, ...]:
    name, md5 = archive.meta
    meta = _checked(content, md5, f"{where}: {name}")
    names = meta.get(archive.names_key) if isinstance(meta, dict) else None
    if not isinstance(names, list) or not all(isinstance(item, str) for item in names):
        raise DataError(f"{where}: {name} has no list of class names {archive.names_key!r}")
    return tuple(names)


def _batch(content: bytes, label_key: str, md5: str, where: str) -> tuple[Images, Labels]:
    """Images (N, 3, 32, 32), a view of the rows (red, green, blue plane), and labels (N,)."""
    batch = _checked(content, md5, where)
    data, labels = (
        (batch.get("data"), batch.get(label_key)) if isinstance(batch, dict) else (None, None)
    )
    if (
        not isinstance(data, np.ndarray)
        or data.dtype != np.uint8
        or data.shape[1:] != (3 * _SIDE**2,)
    ):
        raise DataError(f"{where} has no images (N, {3 * _SIDE**2}) of type uint8")
    if not isinstance(labels, list) or not all(isinstance(label, int) for label in labels):
        raise DataError(f"{where} has no list of labels {label_key!r}")
    if len(labels) != len(data):
        raise DataError(f"{where} has {len(data)} images but {len(labels)} labels")
    return data.reshape(-1, 3, _SIDE, _SIDE), np.array(labels, dtype=np.int64)
