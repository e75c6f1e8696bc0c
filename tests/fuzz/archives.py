"""Readers of many images in one file: shards, archives and the files of published sets."""

from __future__ import annotations

import bz2
import dataclasses
import gzip
import hashlib
import io
import json
import pickle
import tarfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st
from scipy.io import savemat

from ltbench.data.cifar import ARCHIVES as OFFICIAL
from ltbench.data.cifar import find_archive
from ltbench.data.dataset import check_labels
from ltbench.data.parquet import Layout, find_parquet
from ltbench.data.torchvision_files import (
    list_dtd,
    list_flowers102,
    list_food101,
    list_gtsrb,
    read_idx,
    read_svhn,
    read_usps,
)
from ltbench.data.unpickle import load_arrays

from .mutations import damaged_bytes, damaged_json, numbers_replaced
from .readers import Reader, image

HUB = {"info": {"features": {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}}}
_FILE = (damaged_bytes,)


def shard_of(
    images: Any, labels: Any, names: tuple[str, str] = ("img", "label"), hub: bytes = b""
) -> bytes:
    """images, labels: what pyarrow makes a column of."""
    table = pa.table([images, labels], names=list(names))
    if hub:
        table = table.replace_schema_metadata({b"huggingface": hub})
    whole = io.BytesIO()
    pq.write_table(table, whole)
    return whole.getvalue()


def cells(*contents: bytes | None) -> list[dict[str, Any]]:
    return [{"bytes": each, "path": f"{i}.png"} for i, each in enumerate(contents)]


@cache
def shard() -> bytes:
    return shard_of(cells(*[image("PNG")()] * 3), [0, 1, 0], hub=json.dumps(HUB).encode())


@st.composite
def damaged_shard(draw: st.DrawFn, valid: bytes) -> bytes:
    """A sound Parquet file with other columns, cells, names or metadata than a shard has."""
    sound = image("PNG")()
    kinds = (sound, image("JPEG")(), image("GIF")(), b"", None, b"\x89PNG\r\n\x1a\n", sound[:-20])
    size = draw(st.integers(0, 3))
    content = [draw(st.sampled_from(kinds) | damaged_bytes(sound)) for _ in range(size)]
    columns = (
        pa.array(cells(*content), pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        pa.array(content, pa.binary()),
        pa.array(content, pa.large_binary()),
        pa.array(content, pa.binary()).dictionary_encode(),
        pa.array([[each] for each in content], pa.list_(pa.binary())),
        pa.array([{"bytes": "text"}] * size, pa.struct([("bytes", pa.string())])),
        pa.array([{"bytes": {"bytes": each}} for each in content]),
        pa.nulls(size),
    )
    numbers = st.sampled_from((0, 1, 2, -1, 2**31, 2**63 - 1, None))
    whole = pa.array(draw(st.lists(numbers, min_size=size, max_size=size)), pa.int64())
    labels = (
        *(whole, whole, whole.dictionary_encode(), pa.nulls(size), pa.array(["0"] * size)),
        *(
            pa.array([True] * size),
            pa.array([0.5] * size),
            pa.array([2**64 - 1] * size, pa.uint64()),
        ),
        pa.array([[0]] * size, pa.list_(pa.int64())),
    )
    names = draw(st.sampled_from((("img", "label"),) * 4 + (("x", "y"), ("img", "img"), ("", "."))))
    hub = draw(st.just(b"") | damaged_json(HUB) | st.just(numbers_replaced(HUB).encode()))
    return shard_of(draw(st.sampled_from(columns)), draw(st.sampled_from(labels)), names, hub)


def _read_shards(folder: Path) -> None:
    for exact in (True, False):
        found = find_parquet(folder, 2, 9, Layout(exact=exact))
        raw = found.read()
        for stream in raw.splits.values():
            for images, labels in stream.batches():
                assert images.shape == (len(labels), 3, 9, 9)
        found.findings.refuse()


PICKLE = {"data": np.zeros((2, 3072), np.uint8), "fine_labels": [0, 1]}


@cache
def cifar() -> bytes:
    meta = pickle.dumps({"fine_label_names": ["a", "b"]})
    return tarred([("meta", meta), *((name, pickle.dumps(PICKLE)) for name in ("train", "test"))])


def tarred(members: list[tuple[str, bytes]]) -> bytes:
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w") as tar:
        for name, content in members:
            info = tarfile.TarInfo(f"{OFFICIAL['cifar100'].folder}/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return gzip.compress(whole.getvalue(), mtime=0)


def damaged_tar(valid: bytes) -> st.SearchStrategy[bytes]:
    """What is within the compression damaged: headers, sizes, kinds of members, their content."""
    return damaged_bytes(gzip.decompress(valid)).map(lambda tar: gzip.compress(tar, mtime=0))


def damaged_bz2(valid: bytes) -> st.SearchStrategy[bytes]:
    return damaged_bytes(bz2.decompress(valid)).map(bz2.compress)


def _read_cifar(folder: Path) -> None:
    """Every checksum that is asked for is right: a stranger could have them all changed."""
    path = folder / "cifar.tar.gz"
    whole = hashlib.md5(path.read_bytes()).hexdigest()
    sums = {}
    with tarfile.open(fileobj=io.BytesIO(cifar())) as tar:
        for member in tar:
            content = tar.extractfile(member)
            assert content is not None
            sums[Path(member.name).name] = hashlib.md5(content.read()).hexdigest()
    archive = dataclasses.replace(
        OFFICIAL["cifar100"],
        md5=whole,
        **{split: ((split, sums[split]),) for split in ("train", "test")},
        meta=("meta", sums["meta"]),
    )
    for stream in find_archive(archive, path).read().splits.values():
        for images, labels in stream.batches():
            check_labels(labels, 2, str(path))
            assert images.shape == (len(labels), 3, 32, 32)


@cache
def idx() -> bytes:
    return b"\0\0\x08\x03" + b"".join(n.to_bytes(4, "big") for n in (2, 3, 4)) + bytes(range(24))


@cache
def usps() -> bytes:
    row = " ".join(f"{k + 1}:{k / 256 - 0.5:.3f}" for k in range(256))
    return bz2.compress(f"1 {row}\n10 {row}\n".encode())


def _mat(**arrays: Any) -> Callable[[], bytes]:
    @cache
    def content() -> bytes:
        whole = io.BytesIO()
        savemat(whole, arrays)
        return whole.getvalue()

    return content


_SETID = _mat(trnid=np.array([[1, 2]]), tstid=np.array([[3]]), valid=np.array([[4]]))
_LABELS = _mat(labels=np.array([[1, 2, 1, 2]]))
_FOOD = {"cat": ["cat/1", "cat/2"], "dog": ["dog/3"]}

MANY: dict[str, Reader] = {
    "shard of images": Reader(
        "train-0.parquet",
        shard,
        (damaged_shard, damaged_bytes),
        _read_shards,
        lambda: {"test-0.parquet": shard()},
    ),
    "CIFAR archive": Reader("cifar.tar.gz", cifar, (damaged_tar, damaged_bytes), _read_cifar),
    "CIFAR pickle": Reader(
        "train",
        lambda: pickle.dumps(PICKLE),
        _FILE,
        lambda folder: load_arrays((folder / "train").read_bytes(), str(folder / "train")),
    ),
    "IDX": Reader("i.idx", idx, _FILE, lambda folder: read_idx(folder / "i.idx")),
    "IDX, compressed": Reader(
        "i.gz",
        lambda: gzip.compress(idx(), mtime=0),
        (damaged_tar, damaged_bytes),
        lambda folder: read_idx(folder / "i.gz"),
    ),
    "USPS": Reader(
        "usps.bz2",
        usps,
        (damaged_bz2, damaged_bytes),
        lambda folder: read_usps(folder / "usps.bz2"),
    ),
    "SVHN": Reader(
        "s.mat",
        _mat(X=np.zeros((32, 32, 3, 2), np.uint8), y=np.array([[1], [10]])),
        _FILE,
        lambda folder: read_svhn(folder / "s.mat"),
    ),
    "Flowers102": Reader(
        "setid.mat",
        _SETID,
        _FILE,
        lambda folder: list_flowers102(folder, ("cat", "dog")),
        lambda: {"imagelabels.mat": _LABELS()},
    ),
    "Food101": Reader(
        "meta/test.json",
        lambda: json.dumps(_FOOD).encode(),
        (lambda valid: damaged_json(json.loads(valid)), damaged_bytes),
        list_food101,
        lambda: {"meta/train.json": json.dumps(_FOOD).encode()},
    ),
    "GTSRB": Reader(
        "GT-final_test.csv",
        lambda: b"Filename;Width;ClassId\n00000.ppm;53;1\n00001.ppm;42;0\n",
        _FILE,
        list_gtsrb,
        lambda: {f"GTSRB/Training/0000{c}/1.ppm": b"" for c in range(2)},
    ),
    "DTD": Reader(
        "dtd/labels/test1.txt",
        lambda: b"banded/1.jpg\ndotted/2.jpg\n",
        _FILE,
        lambda folder: list_dtd(folder, 1),
        lambda: {f"dtd/labels/{s}1.txt": b"banded/1.jpg\ndotted/2.jpg\n" for s in ("train", "val")},
    ),
}
