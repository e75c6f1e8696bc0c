"""F18, F20, F21: bad downloads and hostile files. Nothing of them runs or is left behind."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import os
import pickle
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from ltbench.data.cifar import ARCHIVES, Archive
from ltbench.data.download import download
from ltbench.data.sources import describe, open_data
from ltbench.data.unpickle import load_arrays
from ltbench.errors import DataError
from ltbench.protocol.protocol import DataConfig

CONFIG = DataConfig(source="cifar100", classes=2, image_size=32)
PIXELS = np.random.RandomState(1).randint(0, 256, (4, 3072)).astype(np.uint8)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LTBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


class Hostile:
    """Unpickling it creates the file ``sentinel``."""

    def __init__(self, sentinel: Path) -> None:
        self.sentinel = sentinel

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.sentinel),)


def write_archive(path: Path, poison: object = None) -> Archive:
    """A small archive with right checksums; ``poison`` is put into its training file."""
    base = ARCHIVES["cifar100"]
    batch = {"data": PIXELS, "fine_labels": [0, 1, 0, 1]}
    files = {
        "meta": {"fine_label_names": ["a", "b"]},
        "test": batch,
        "train": batch if poison is None else {**batch, "extra": poison},
    }
    contents = {name: pickle.dumps(value, protocol=4) for name, value in files.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as tar:
        for name, content in contents.items():
            info = tarfile.TarInfo(f"{base.folder}/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    sums = {name: hashlib.md5(content).hexdigest() for name, content in contents.items()}
    return dataclasses.replace(
        base,
        md5=hashlib.md5(path.read_bytes()).hexdigest(),
        train=(("train", sums["train"]),),
        test=(("test", sums["test"]),),
        meta=("meta", sums["meta"]),
        counts=(4, 4),
    )


class Server(ThreadingHTTPServer):
    body = b""
    announced: int | None = None
    status = 200
    requests = 0


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.requests += 1
        self.send_response(self.server.status)
        length = self.server.announced
        self.send_header("Content-Length", str(len(self.server.body) if length is None else length))
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as running:
        monkeypatch.setenv("LTBENCH_MIRROR", f"http://127.0.0.1:{running.server_port}/mirror/")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        thread = threading.Thread(target=running.serve_forever, args=(0.02,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def archive(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> Archive:
    """Served by ``server``, and taken for the official one."""
    path = tmp_path / "origin" / "archive.tar.gz"
    made = write_archive(path)
    monkeypatch.setitem(ARCHIVES, "cifar100", made)
    server.body = path.read_bytes()
    return made


def test_download_decode_and_use_again(archive: Archive, server: Server, cache: Path) -> None:
    steps: list[tuple[str, int, int]] = []
    splits = open_data(CONFIG, report=lambda *step: steps.append(step))
    size = len(server.body)
    assert (f"downloading {archive.filename}", size, size) in steps
    assert steps[-1] == ("decoding images", 8, 8)
    np.testing.assert_array_equal(splits.train.read(range(4)), PIXELS.reshape(4, 3, 32, 32))
    assert open_data(CONFIG).train.fingerprint == splits.train.fingerprint
    assert server.requests == 1
    assert [path.name for path in (cache / "downloads").iterdir()] == [archive.filename]
    assert describe(CONFIG).ready


def fails(server: Server, archive: Archive, cache: Path, *texts: str) -> None:
    with pytest.raises(DataError) as caught:
        open_data(CONFIG)
    message = str(caught.value)
    for text in (*texts, os.environ["LTBENCH_MIRROR"], archive.url, "by hand", "--data-dir"):
        assert text in message
    assert "\n" not in message
    assert caught.value.exit_code == 2
    assert list((cache / "downloads").iterdir()) == []
    assert server.requests <= 1
    assert not describe(CONFIG).ready


def test_f18_wrong_checksum(archive: Archive, server: Server, cache: Path) -> None:
    middle = len(server.body) // 2
    flipped = bytes([server.body[middle] ^ 1])
    server.body = server.body[:middle] + flipped + server.body[middle + 1 :]
    got = hashlib.md5(server.body).hexdigest()
    fails(server, archive, cache, "wrong checksum", f"expected md5 {archive.md5}, got {got}")


def test_f18_web_page(archive: Archive, server: Server, cache: Path) -> None:
    server.body = b"\n <!DOCTYPE html><html>please log in</html>"
    fails(server, archive, cache, "web page")


def test_f18_truncated(archive: Archive, server: Server, cache: Path) -> None:
    size = len(server.body)
    server.announced, server.body = size, server.body[: size // 2]
    fails(server, archive, cache, "the connection ended early")


def test_f18_empty_answer_and_error_status(archive: Archive, server: Server, cache: Path) -> None:
    server.body = b""
    fails(server, archive, cache, "wrong checksum", "(0 bytes)")
    server.status, server.requests = 404, 0
    fails(server, archive, cache, "HTTP Error 404")


def test_f18_no_server(archive: Archive, server: Server, cache: Path) -> None:
    server.shutdown()
    server.server_close()
    fails(server, archive, cache, "refused")


def test_f18_other_kinds_of_address_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LTBENCH_MIRROR", "file:///etc")
    with pytest.raises(DataError, match="no http or https address"):
        download("https://example.org/passwd", tmp_path / "x", "0" * 32)


def test_f21_archive_of_the_user_with_a_wrong_checksum_is_not_opened(tmp_path: Path) -> None:
    sentinel = tmp_path / "executed"
    folder = tmp_path / "mine"
    write_archive(folder / ARCHIVES["cifar100"].filename, Hostile(sentinel))
    with pytest.raises(
        DataError, match="wrong checksum, expected md5 eb9058c3a382ffc7106e4002c42a"
    ):
        open_data(CONFIG, folder)
    assert not sentinel.exists()


def test_f21_hostile_pickle_behind_right_checksums(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sentinel = tmp_path / "executed"
    path = tmp_path / "mine" / ARCHIVES["cifar100"].filename
    archive = write_archive(path, Hostile(sentinel))
    monkeypatch.setitem(ARCHIVES, "cifar100", archive)
    with pytest.raises(DataError, match=r"train is refused, .* it asks for \w+\.mkdir"):
        open_data(CONFIG, path.parent)
    assert not sentinel.exists()
    with tarfile.open(path) as tar:  # it would have worked
        pickle.loads(tar.extractfile(f"{archive.folder}/train").read())  # type: ignore[union-attr]
    assert sentinel.exists()


@pytest.mark.parametrize(
    "content",
    [
        b"cos\nsystem\n(S'touch /nowhere'\ntR.",
        b"cbuiltins\neval\n(S'1'\ntR.",
        b"cnumpy\nload\n(S'x'\ntR.",
        b"cnumpy._core.multiarray\nscalar\n.",
        b"\x80\x04\x8c\x05numpy\x8c\x0endarray.tofile\x93.",
        b"(S'x'\nios\nsystem\n.",
        b"Ppersistent\n.",
        b"\x82\x01.",
        b"",
        b"\x80\x02]",
    ],
)
def test_f21_everything_but_arrays_is_refused(content: bytes) -> None:
    with pytest.raises(DataError, match="here is refused, it is not a plain pickle of arrays"):
        load_arrays(content, "here")


def test_f21_hostile_object_array_in_the_cache(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mine" / ARCHIVES["cifar100"].filename
    monkeypatch.setitem(ARCHIVES, "cifar100", write_archive(path))
    good = open_data(CONFIG, path.parent).train.fingerprint
    sentinel = tmp_path / "executed"
    for name in ("train-images.npy", "train-labels.npy"):
        entry = next(cache.glob(f"datasets/*/{name}"))
        np.save(entry, np.array([Hostile(sentinel)] * 4, dtype=object), allow_pickle=True)
        assert open_data(CONFIG, path.parent).train.fingerprint == good
    assert not sentinel.exists()


def test_corrupt_parquet_is_one_clear_line(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    folder = tmp_path / "shards"
    folder.mkdir()
    noise = np.random.RandomState(0).bytes(3000)
    table = pa.table({"img": [{"bytes": noise}] * 50, "label": [0, 1] * 25})
    for split in ("train", "test"):
        parquet.write_table(table, folder / f"{split}-00000-of-00001.parquet", compression="zstd")
    shard = folder / "train-00000-of-00001.parquet"
    whole = shard.read_bytes()
    config = DataConfig(source="parquet", classes=2, image_size=8)
    with pytest.raises(DataError, match=r"train-00000-of-00001\.parquet, row 0 is not a readable"):
        open_data(config, folder)
    damaged = bytearray(whole)
    damaged[4:2000] = noise[:1996]
    for content in (b"", b"junk" * 100, whole[:-200], bytes(damaged)):
        shard.write_bytes(content)
        with pytest.raises(DataError, match=r"train-00000-of-00001\.parquet is not") as caught:
            open_data(config, folder)
        assert "\n" not in str(caught.value)
