"""A cache of its own for each test, and official CIFAR archives in miniature."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ltbench.data.cifar import ARCHIVES, Archive


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("LTBENCH_CACHE", str(folder))
    monkeypatch.delenv("LTBENCH_MIRROR", raising=False)
    return folder


def python2_pickle(value: object) -> bytes:
    """``value`` as Python 2's cPickle wrote it (protocol 2): the format of the official files.

    Python 3 cannot write it: there bytes and text are other opcodes, and NumPy's module moved.
    """
    return b"\x80\x02" + _emit(value) + b"."


def _emit(value: object) -> bytes:
    if isinstance(value, dict):
        items = b"".join(_emit(key) + _emit(item) for key, item in value.items())
        return b"}(" + items + b"u"
    if isinstance(value, list):
        return b"](" + b"".join(_emit(item) for item in value) + b"e"
    if isinstance(value, str):
        return _string(value.encode("latin1"))
    if isinstance(value, int):
        return b"J" + struct.pack("<i", value)
    assert isinstance(value, np.ndarray)
    assert value.dtype == np.uint8
    made = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n" + _emit(0) + b"\x85"
    made += _string(b"b") + b"\x87R"
    shape = b"(" + b"".join(_emit(length) for length in value.shape) + b"t"
    kind = b"cnumpy\ndtype\n" + _string(b"u1") + _emit(0) + _emit(1) + b"\x87R("
    kind += _emit(3) + _string(b"|") + b"NNN" + _emit(-1) + _emit(-1) + _emit(0) + b"tb"
    return made + b"(" + _emit(1) + shape + kind + b"\x89" + _string(value.tobytes()) + b"tb"


def _string(content: bytes) -> bytes:
    return b"T" + struct.pack("<i", len(content)) + content


@dataclasses.dataclass(frozen=True)
class Mini:
    """A miniature of an official archive, its content, and where it was written."""

    archive: Archive
    path: Path
    files: dict[str, bytes]
    images: dict[str, np.ndarray]
    labels: dict[str, np.ndarray]

    def extract(self, folder: Path) -> Path:
        target = folder / self.archive.folder
        target.mkdir(parents=True)
        for name, content in self.files.items():
            (target / name).write_bytes(content)
        return target


MakeMini = Callable[[str], Mini]


@pytest.fixture
def mini(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeMini:
    """Writes ``official/<archive>`` and lets ltbench take it for the official one."""

    def make(source: str) -> Mini:
        archive = ARCHIVES[source]
        classes = 100 if source == "cifar100" else 10
        generator = np.random.RandomState(7)
        names = [f"class {label}" for label in range(classes)]
        files = {archive.meta[0]: python2_pickle({archive.names_key: names})}
        images: dict[str, np.ndarray] = {}
        labels: dict[str, np.ndarray] = {}
        for split, batches in (("train", archive.train), ("test", archive.test)):
            count = len(batches) * classes
            images[split] = generator.randint(0, 256, (count, 3, 32, 32)).astype(np.uint8)
            labels[split] = np.concatenate([generator.permutation(classes) for _ in batches])
            for number, (name, _) in enumerate(batches):
                rows = slice(number * classes, (number + 1) * classes)
                batch = {
                    "data": images[split][rows].reshape(classes, -1),
                    archive.label_key: [int(label) for label in labels[split][rows]],
                }
                files[name] = python2_pickle(batch)

        folder = tmp_path / "official"
        folder.mkdir()
        path = folder / archive.filename
        with tarfile.open(path, "w:gz") as tar:
            for name, content in files.items():
                info = tarfile.TarInfo(f"{archive.folder}/{name}")
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
        sums = {name: hashlib.md5(content).hexdigest() for name, content in files.items()}
        patched = dataclasses.replace(
            archive,
            md5=hashlib.md5(path.read_bytes()).hexdigest(),
            train=tuple((name, sums[name]) for name, _ in archive.train),
            test=tuple((name, sums[name]) for name, _ in archive.test),
            meta=(archive.meta[0], sums[archive.meta[0]]),
            counts=(len(labels["train"]), len(labels["test"])),
        )
        monkeypatch.setitem(ARCHIVES, source, patched)
        return Mini(patched, path, files, images, labels)

    return make
