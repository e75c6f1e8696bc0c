from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ltbench.data.cache import cache_root, entry_path, load_or_build
from ltbench.data.dataset import Images, Labels
from ltbench.data.raw import Found, Raw, Stream
from ltbench.data.sources import open_data
from ltbench.errors import DataError, InputError, LtbenchError
from ltbench.protocol.protocol import DataConfig

PIXELS = np.random.RandomState(2).randint(0, 256, (10, 3, 4, 4)).astype(np.uint8)
LABELS = np.arange(10, dtype=np.int64) % 2


class Source:
    """A source that counts how often it is decoded."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "images.bin"
        self.file.write_bytes(b"content")
        self.decoded = 0

    def found(self, **options: int | str) -> Found:
        return Found("test", "here", (self.file,), self.read, options)

    def read(self) -> Raw:
        self.decoded += 1
        return Raw(("a", "b"), 4, Stream(7, lambda: parts(0, 7)), Stream(3, lambda: parts(7, 10)))


def parts(first: int, last: int) -> Iterator[tuple[Images, Labels]]:
    for start in range(first, last, 2):
        rows = slice(start, min(start + 2, last))
        yield PIXELS[rows], LABELS[rows]


@pytest.fixture
def source(tmp_path: Path) -> Source:
    return Source(tmp_path)


def test_a_hit_is_mapped_and_not_decoded_again(source: Source) -> None:
    steps: list[tuple[str, int, int]] = []
    first = load_or_build(source.found(), lambda *step: steps.append(step))
    again = load_or_build(source.found())
    assert source.decoded == 1
    assert steps[-1] == ("decoding images", 10, 10)
    assert again.origin == "here"
    assert first.train.fingerprint == again.train.fingerprint
    np.testing.assert_array_equal(again.train.read(np.arange(7)), PIXELS[:7])
    np.testing.assert_array_equal(again.test.read([2]), PIXELS[[9]])
    assert again.test.labels.tolist() == LABELS[7:].tolist()
    assert isinstance(again.train._images, np.memmap)  # type: ignore[attr-defined]
    entry = entry_path(source.found())
    assert {path.name for path in entry.parent.iterdir()} == {entry.name}


def test_changed_file_or_options_are_another_entry(source: Source) -> None:
    base = entry_path(source.found())
    assert entry_path(source.found(size=4)) != base
    os.utime(source.file, ns=(1, 1))
    assert entry_path(source.found()) != base
    with pytest.raises(DataError, match="cannot be read"):
        entry_path(Found("test", "", (source.file.with_name("gone"),), source.read))


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def object_array(path: Path) -> None:
    np.save(path, np.array([{}] * 7, dtype=object), allow_pickle=True)


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("train-images.npy", flip),
        ("test-labels.npy", flip),
        ("train-images.npy", lambda path: path.write_bytes(path.read_bytes()[:-20])),
        ("train-images.npy", lambda path: path.write_bytes(b"")),
        ("train-labels.npy", object_array),
        ("meta.json", lambda path: path.write_text("{")),
        ("meta.json", lambda path: path.write_text("[]")),
        ("meta.json", Path.unlink),
        ("test-images.npy", Path.unlink),
    ],
)
def test_damaged_entries_are_built_anew(source: Source, name: str, damage: object) -> None:
    load_or_build(source.found())
    damage(entry_path(source.found()) / name)  # type: ignore[operator]
    splits = load_or_build(source.found())
    assert source.decoded == 2
    np.testing.assert_array_equal(splits.train.read(np.arange(7)), PIXELS[:7])
    load_or_build(source.found())
    assert source.decoded == 2
    assert len(list(entry_path(source.found()).parent.iterdir())) == 1


def test_a_source_that_fails_leaves_nothing(source: Source) -> None:
    bad = Raw(("a",), 4, Stream(7, lambda: parts(0, 7)), Stream(3, lambda: parts(7, 10)))
    found = Found("test", "here", (source.file,), lambda: bad)
    with pytest.raises(DataError, match=r"here, train images: label 1 is outside 0\.\.0"):
        load_or_build(found)
    short = Raw(("a", "b"), 4, Stream(8, lambda: parts(0, 7)), Stream(3, lambda: parts(7, 10)))
    with pytest.raises(DataError, match="8 train images announced, 7 read"):
        load_or_build(Found("test", "here", (source.file,), lambda: short))
    assert list(entry_path(found).parent.iterdir()) == []


def test_full_disk_and_unusable_folder(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full() -> Iterator[tuple[Images, Labels]]:
        raise OSError(errno.ENOSPC, "No space left on device")
        yield

    raw = Raw(("a", "b"), 100, Stream(7, full), Stream(3, full))
    with pytest.raises(LtbenchError, match=r"no space left .* 0 MB are needed"):
        load_or_build(Found("test", "here", (source.file,), lambda: raw))
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LTBENCH_CACHE", str(tmp_path / "file"))
    with pytest.raises(InputError, match="set LTBENCH_CACHE to a folder that can be written"):
        load_or_build(source.found())


def test_what_a_dead_process_left_is_removed_after_a_day(source: Source, cache: Path) -> None:
    old, new = cache / "datasets" / ".building-old", cache / "datasets" / ".building-new"
    for left in (old, new):
        left.mkdir(parents=True)
    os.utime(old, (1, 1))
    load_or_build(source.found())
    assert not old.exists()
    assert new.exists()


# Imports first, then waits for the other, then decodes slowly: the two do meet.
RACER = """
import sys, time
from pathlib import Path
from ltbench.data.sources import open_data
from ltbench.protocol.protocol import DataConfig
import ltbench.data.folder
Path(sys.argv[2]).touch()
while not Path(sys.argv[3]).exists():
    time.sleep(0.005)
slow = lambda stage, done, total: time.sleep(0.1)
splits = open_data(DataConfig("image-folder", 2, 4), Path(sys.argv[1]), report=slow)
print(splits.train.fingerprint, splits.test.fingerprint)
"""


@pytest.mark.parametrize("damaged", [False, True])
def test_two_processes_may_race(tmp_path: Path, cache: Path, damaged: bool) -> None:
    root = tmp_path / "images"
    for number, pixels in enumerate(PIXELS):
        for split in ("train", "test"):
            path = root / split / "ab"[number % 2] / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels.transpose(1, 2, 0)).save(path)
    if damaged:
        open_data(DataConfig("image-folder", 2, 4), root)
        flip(next(cache.glob("datasets/*/train-images.npy")))
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    ready = [tmp_path / "ready0", tmp_path / "ready1"]
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, root, ready[me], ready[1 - me]],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        for me in (0, 1)
    ]
    first, second = (racer.communicate(timeout=60)[0].split() for racer in racers)
    assert [racer.returncode for racer in racers] == [0, 0]
    splits = open_data(DataConfig("image-folder", 2, 4), root)
    assert first == second == [splits.train.fingerprint, splits.test.fingerprint]
    assert len(list((cache / "datasets").iterdir())) == 1


def test_cache_root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert cache_root() == tmp_path / "cache"
    monkeypatch.delenv("LTBENCH_CACHE")
    if sys.platform == "linux":
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        assert cache_root() == tmp_path / "ltbench"
        monkeypatch.delenv("XDG_CACHE_HOME")
        assert cache_root() == Path.home() / ".cache" / "ltbench"
