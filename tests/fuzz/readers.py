"""Every reader of a file from outside: a valid file, how it is damaged, and the call that reads it."""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save as safetensors_bytes

from ltbench.data.class_names import names_in
from ltbench.data.decode import decode_exact, decode_resized, open_rgb
from ltbench.data.findings import Findings
from ltbench.data.list_file import read_list
from ltbench.data.table_file import columns_of, read_table, refuse_embedded
from ltbench.encoders.imports import read_arrays as read_feature_arrays
from ltbench.encoders.imports import read_classes as read_feature_classes
from ltbench.execute.user_config import engine_defaults
from ltbench.features.folder import FeatureFolder
from ltbench.imported.arrays import read_array
from ltbench.imported.class_names import read_classes
from ltbench.imported.prediction_table import read_predictions
from ltbench.models.pretrained import read_state
from ltbench.protocol.file import load_protocol_config
from ltbench.protocol.mix import read_mix_file
from ltbench.trial.asked_code import FILE, read_asked
from ltbench.trial.class_arrays import ClassArrays, read_arrays, write_arrays
from ltbench.trial.class_values import put_back
from ltbench.trial.holder import Holder, read_holder
from ltbench.trial.running import RUNNING, read_running
from ltbench.trial.store import failed_rows, finished_trial, recorded_command

from .mutations import (
    damaged_bytes,
    damaged_json,
    damaged_npy,
    damaged_safetensors,
    damaged_toml,
    damaged_zip,
    zipped,
)

Files = Mapping[str, bytes]
Strategy = st.SearchStrategy[bytes]


@dataclass(frozen=True)
class Reader:
    """file: the damaged one's name; read: gets the folder in which it lies; damaged: strategies;
    beside: sound files that lie there, too."""

    file: str
    valid: Callable[[], bytes]
    damaged: tuple[Callable[[bytes], Strategy], ...]
    read: Callable[[Path], Any]
    beside: Callable[[], Files] = dict

    def strategy(self) -> Strategy:
        valid = self.valid()
        return st.one_of([damage(valid) for damage in self.damaged])

    def lay(self, folder: Path, content: bytes) -> Path:
        for name, other in self.beside().items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(other)
        path = folder / self.file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path


def _as_json(valid: bytes) -> Strategy:
    return damaged_json(json.loads(valid))


def _as_toml(valid: bytes) -> Strategy:
    return damaged_toml(valid.decode())


def _json(value: Any) -> Callable[[], bytes]:
    return lambda: json.dumps(value).encode()


LOGITS = [[0.5, -1.25, 2.0], [1.5, 0.25, -0.5], [0.0, 1.0, 3.5], [2.0, 2.5, -1.0]]


@cache
def npy() -> bytes:
    whole = io.BytesIO()
    np.save(whole, np.array(LOGITS, dtype=np.float32))
    return whole.getvalue()


@cache
def npz() -> bytes:
    return zipped([("logits.npy", npy()), ("labels.npy", npy())])


@cache
def safetensors() -> bytes:
    return safetensors_bytes({"logits": torch.tensor(LOGITS), "more": torch.arange(3)})


@cache
def torch_file() -> bytes:
    whole = io.BytesIO()
    torch.save({"logits": torch.tensor(LOGITS)}, whole)
    return whole.getvalue()


@cache
def csv() -> bytes:
    return b"class 0,class 1,class 2\n" + b"".join(
        ",".join(map(str, row)).encode() + b"\n" for row in LOGITS
    )


@cache
def predictions() -> bytes:
    return b"index,label,cat,dog\n0,cat,0.75,0.25\n1,dog,0.5,0.5\n2,cat,0.125,0.875\n"


@cache
def predictions_parquet() -> bytes:
    return parquet(
        {"index": [0, 1], "label": ["cat", "dog"], "cat": [0.5, 0.25], "dog": [0.5, 0.75]}
    )


def parquet(columns: Mapping[str, Any]) -> bytes:
    whole = io.BytesIO()
    pq.write_table(pa.table(dict(columns)), whole)
    return whole.getvalue()


def image(kind: str, **options: Any) -> Callable[[], bytes]:
    @cache
    def content() -> bytes:
        whole = io.BytesIO()
        mode = "P" if kind == "GIF" else "RGB"
        picture = Image.linear_gradient("L").resize((9, 9)).convert(mode)
        picture.save(whole, kind, **options)
        return whole.getvalue()

    return content


@cache
def features() -> Files:
    """A folder of features: its files by name."""
    from ltbench.features.header import Encoder, Header, Origin
    from ltbench.features.write import FolderWriter

    header = Header(
        Encoder("test:tiny"), 4, source=Origin("test"), class_names=("a", "b"), whole_pool=True
    )
    split = {
        "clean": torch.arange(24.0).reshape(6, 4),
        "labels": torch.arange(6) % 2,
        "row": torch.arange(6),
    }
    with tempfile.TemporaryDirectory() as name:
        writer = FolderWriter(Path(name))
        writer.file("train.safetensors", split)
        writer.file("test.safetensors", split)
        writer.finish(header)
        return {path.name: path.read_bytes() for path in Path(name).iterdir()}


def _open_features(folder: Path) -> None:
    found = FeatureFolder(folder)
    found.verify()
    assert found.clean("train.safetensors").shape == (6, 4)


@cache
def class_arrays() -> bytes:
    one = ClassArrays(
        '{"kind": "uniform"}',
        2,
        np.arange(9).reshape(3, 3),
        np.array([0.5, np.nan, 1.0]),
        np.array([0.5, np.nan, 1.0]),
        np.array([0.5, 0.25]),
        np.arange(4).reshape(2, 2),
    )
    with tempfile.TemporaryDirectory() as name:
        path = Path(name, "x.npz")
        write_arrays(path, {"uniform": one, "forward2": one})
        return path.read_bytes()


def _read_class_arrays(folder: Path) -> None:
    from ltbench.errors import InputError

    try:
        found = read_arrays(folder / "x.npz")
    except ValueError as error:  # which its callers pass over: the record counts without
        raise InputError(" ".join(str(error).split())) from error
    for one in found.values():
        assert len(one.confusion) == len(one.auroc)


VALUES = {"schema": 1, "train_counts": [1], "bias": {"values": {"class values": "logits"}}}


def _put_back(folder: Path) -> None:
    """As a record whose digest is that of the damaged file: a stranger can write both."""
    import hashlib

    digest = hashlib.sha256((folder / "x.values.npz").read_bytes()).hexdigest()
    put_back({**VALUES, "class_values": digest}, folder / "x.json")


PROTOCOL = """name = "mine"
version = "1.0"
title = "Mine"
extends = "digits-lt"
unset = ["train.max_count"]
seeds = [0, 1]
[data]
source = "digits"
classes = 10
image_size = 8
[train]
imbalance = 20
holdout = 0.1
[test]
ratios = [2, 5.0]
draws = 2
partial = true
[test.subsets]
animals = [1, 2, 3]
[test.mixes]
clinic = { 0 = 0.5, 1 = 0.5 }
ward = "0=1,1=2"
[recipe]
epochs = 2
lr = 0.1
milestones = [0.5, 0.75]
[model]
backbone = "resnet8"
[groups]
many_above = 20
[methods.sade]
tau = 1.0
[methods.sade.recipe]
epochs = 3
[ensembles]
plain = ["ce", "ce"]
[[study]]
name = "main"
methods = ["ce", "sade"]
set = ["recipe.epochs=1"]
seeds = 1
"""

CONFIG = """[engine.slurm]
partition = "gpu"
gpus = 1
[engine.local]
jobs = 2
[engine.ray]
address = "auto"
"""


def _read_config(folder: Path) -> None:
    import os
    from unittest.mock import patch

    with patch.dict(os.environ, {"LTBENCH_CONFIG": str(folder / "config.toml")}):
        engine_defaults(("local", "slurm", "ray"))


LIST = b"train/a/1.jpg 0\ntrain/b b/2.jpg 1\r\ntrain/\xe9/3.jpg 2\n"


def _read_list(folder: Path) -> None:
    findings = Findings()
    listing = read_list(folder / "list.txt", 3, findings)
    assert len(listing.names) == len(listing.labels)
    findings.refuse()


TABLE = (
    b'file,label,split\na/1.png,cat,train\n"b, c/2.png",dog,test\n\xef\xbb\xbf/3.png,cat,train\n'
)


def _read_table(name: str) -> Callable[[Path], None]:
    def read(folder: Path) -> None:
        path = folder / name
        columns_of(path)
        refuse_embedded(path)
        for line in read_table(path, ("file", "label", "split")):
            assert len(line.cells) == 3

    return read


def _read_picture(folder: Path) -> None:
    path = folder / "x.png"
    for read in (
        lambda: decode_resized(path, 4),
        lambda: decode_resized(path, 4, "pad", upright=False),
        lambda: decode_exact(path.read_bytes(), 9, str(path)),
        lambda: open_rgb(path),
    ):
        read()


def _logits(name: str) -> Callable[[Path], None]:
    def read(folder: Path) -> None:
        read_array(folder / name, "logits")

    return read


def _read_protocol(folder: Path) -> None:
    """Its errors name the protocol, as ``mine.train.imbalance``, and not always the file."""
    from ltbench.errors import InputError

    path = folder / "mine.toml"
    try:
        load_protocol_config(str(path))
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _holder() -> bytes:
    return Holder("host", 1, "machine", "space", "123", "2025", "ab" * 8).to_bytes()


def _read_claim(folder: Path) -> None:
    from ltbench.trial.standing import holder_of, standing

    held = read_holder(folder / ".claim.lock")
    if held is not None:
        str(held)
        held.lives()
    standing(folder)
    holder_of(folder)


RUN_FACTS = {
    **{"token": "abab", "engine": "local", "device": "cpu", "job": "", "stage": "epoch"},
    **{"done": 1, "total": 2, "seconds": 0.5},
}
_FILE = (damaged_bytes,)
_JSON = (_as_json, damaged_bytes)
_TOML = (_as_toml, damaged_bytes)
_NPZ = (damaged_zip, damaged_bytes)
_TENSORS = (damaged_safetensors, damaged_bytes)

READERS: dict[str, Reader] = {
    "protocol": Reader(
        "mine.toml",
        PROTOCOL.encode,
        _TOML,
        _read_protocol,
    ),
    "user config": Reader("config.toml", CONFIG.encode, _TOML, _read_config),
    "list of images": Reader("list.txt", lambda: LIST, _FILE, _read_list),
    "mix": Reader(
        "mix.csv",
        lambda: b"class,count\ncat,95\ndog,5.5\n",
        _FILE,
        lambda folder: read_mix_file(folder / "mix.csv", "--mix"),
    ),
    "table of files, CSV": Reader("t.csv", lambda: TABLE, _FILE, _read_table("t.csv")),
    "table of files, Parquet": Reader(
        "t.parquet",
        lambda: parquet({"file": ["a", "b"], "label": ["x", "y"], "split": ["train", "test"]}),
        _FILE,
        _read_table("t.parquet"),
    ),
    "classes.json": Reader(
        "classes.json", _json(["cat", "dog"]), _JSON, lambda folder: names_in([folder])
    ),
    "PNG": Reader("x.png", image("PNG"), _FILE, _read_picture),
    "JPEG": Reader("x.png", image("JPEG", quality=90), _FILE, _read_picture),
    "GIF": Reader("x.png", image("GIF"), _FILE, _read_picture),
    "TIFF": Reader("x.png", image("TIFF"), _FILE, _read_picture),
    "WebP": Reader("x.png", image("WEBP"), _FILE, _read_picture),
    "logits.npy": Reader("l.npy", npy, (damaged_npy, damaged_bytes), _logits("l.npy")),
    "logits.npz": Reader("l.npz", npz, _NPZ, _logits("l.npz")),
    "logits.safetensors": Reader("l.safetensors", safetensors, _TENSORS, _logits("l.safetensors")),
    "logits.pt": Reader("l.pt", torch_file, (damaged_zip, damaged_bytes), _logits("l.pt")),
    "logits.csv": Reader("l.csv", csv, _FILE, _logits("l.csv")),
    "predictions.csv": Reader(
        "p.csv", predictions, _FILE, lambda folder: read_predictions(folder / "p.csv", None)
    ),
    "predictions.parquet": Reader(
        "p.parquet",
        predictions_parquet,
        _FILE,
        lambda folder: read_predictions(folder / "p.parquet", ("cat", "dog")),
    ),
    "class names, text": Reader(
        "c.txt", lambda: b"cat\ndog\n", _FILE, lambda folder: read_classes(folder / "c.txt")
    ),
    "class names, JSON": Reader(
        "c.json",
        _json({"cat": 0, "dog": 1}),
        _JSON,
        lambda folder: read_classes(folder / "c.json"),
    ),
    "class names of features": Reader(
        "c.json",
        _json(["cat", "dog"]),
        _JSON,
        lambda folder: read_feature_classes(folder / "c.json"),
    ),
    **{
        f"features{ending}": Reader(
            f"f{ending}",
            valid,
            damaged,
            lambda folder, ending=ending: read_feature_arrays(folder / f"f{ending}"),  # type: ignore[misc]
        )
        for ending, valid, damaged in (
            (".npz", lambda: zipped([("features.npy", npy())]), _NPZ),
            (
                ".safetensors",
                lambda: safetensors_bytes({"features": torch.tensor(LOGITS)}),
                _TENSORS,
            ),
            (".parquet", lambda: parquet({"features": [[1.0, 2.0]] * 2, "labels": [0, 1]}), _FILE),
        )
    },
    "folder of features, header": Reader(
        "features.json", lambda: features()["features.json"], _JSON, _open_features, features
    ),
    "folder of features, tensors": Reader(
        "train.safetensors",
        lambda: features()["train.safetensors"],
        _TENSORS,
        _open_features,
        features,
    ),
    "pretrained weights, safetensors": Reader(
        "w.safetensors", safetensors, _TENSORS, lambda folder: read_state(folder / "w.safetensors")
    ),
    "pretrained weights, PyTorch": Reader(
        "w.pth", torch_file, _NPZ, lambda folder: read_state(folder / "w.pth")
    ),
    "class arrays": Reader("x.npz", class_arrays, _NPZ, _read_class_arrays),
    "class values": Reader("x.values.npz", npz, _NPZ, _put_back, lambda: {"x.json": b"{}"}),
    "claim": Reader(".claim.lock", _holder, _JSON, _read_claim),
    "running": Reader(
        RUNNING, _json(RUN_FACTS), _JSON, lambda folder: read_running(folder, "abab")
    ),
    "code that was asked for": Reader(
        FILE,
        _json({"schema": 1, "method": {"ce": ["ab", "cd"]}, "strategy": {"em": ["ef"]}}),
        _JSON,
        read_asked,
    ),
    "starts": Reader(
        "starts.json", _json({"starts": 1, "command": ["ltbench", "run"]}), _JSON, recorded_command
    ),
    "a failed row": Reader(
        "failures/x.json", _json({"schema": 1, "label": "a", "error": "b"}), _JSON, failed_rows
    ),
    "whether a trial is finished": Reader(
        "trial.json", _json({"schema": 1, "status": "finished"}), _JSON, finished_trial
    ),
}
