"""Features of every image of a protocol's source, written as a folder."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ltbench import encoder as contract
from ltbench.data.dataset import Dataset, Splits
from ltbench.data.raw import Report
from ltbench.encoders.encode import Encode
from ltbench.encoders.parts import Part, parts_of
from ltbench.encoders.pieces import PIECE, Pieces, make_folder
from ltbench.encoders.preprocess import check
from ltbench.errors import InputError
from ltbench.features.folder import FeatureFolder
from ltbench.features.header import (
    HEADER,
    HEADS,
    LABELS,
    ROW,
    TEST,
    TEXT,
    TRAIN,
    Encoder,
    Header,
    Origin,
    Preprocessing,
)
from ltbench.features.views import views_identity
from ltbench.features.write import FolderWriter
from ltbench.protocol.protocol import Protocol
from ltbench.trial import tensor_file
from ltbench.trial.environment import device_name

UNFINISHED = "unfinished"
"""Folder of pieces within the folder of features, gone when that is whole."""


@dataclass(frozen=True)
class Wanted:
    """pairs of views, augmented copies; prompt: with ``{}`` for a class's name, empty for no texts."""

    pairs: int = 0
    copies: int = 0
    prompt: str = ""


@dataclass
class Extracted:
    """What was done. seconds: spent in reading and encoding ``images`` new ones; kept: images of pieces
    that were there; whole: the folder was complete before."""

    header: Header
    images: int = 0
    kept: int = 0
    damaged: int = 0
    seconds: float = 0.0
    whole: bool = False
    by_part: dict[str, tuple[int, float]] = field(default_factory=dict)


def extract(
    protocol: Protocol,
    splits: Splits,
    encode: Encode,
    wanted: Wanted,
    folder: Path,
    report: Report | None = None,
) -> Extracted:
    """Encodes what ``wanted`` asks for and writes ``folder``; what an earlier call left half done counts.

    Raises :class:`InputError`, one line, where the folder holds other features, and what
    :class:`Encode` raises. Interrupted at any point it has lost one piece of images at most.
    """
    parts = parts_of(splits, protocol, wanted.pairs, wanted.copies)
    check(encode.chosen.loaded.preprocessing, splits.train.image_size)
    if (needed := encode.chosen.image_size) and needed != splits.train.image_size:
        raise InputError(
            f"{encode.chosen.name} was trained on images of {needed} pixels, those of {protocol.name} have "
            f"{splits.train.image_size}"
        )
    header = _header(protocol, splits, encode, wanted)
    text = _text(encode, splits, wanted.prompt)
    if (folder / HEADER).exists():
        return _already(folder, header, wanted, report)
    make_folder(folder)
    pieces = Pieces(folder / UNFINISHED, _request(header, protocol, splits, wanted))
    done = Extracted(header)
    for part in parts:
        _encode_part(part, encode, pieces, done, report)
    done.header = _write(folder, header, parts, pieces, splits, text)
    done.damaged = pieces.damaged
    pieces.remove()
    return done


def _encode_part(
    part: Part, encode: Encode, pieces: Pieces, done: Extracted, report: Report | None
) -> None:
    images, began = 0, time.monotonic()
    for start in range(0, part.count, PIECE):
        stop = min(start + PIECE, part.count)
        if pieces.load(str(part), start, stop - start) is None:
            pieces.save(str(part), start, encode(part.read(start, stop)))
            images += stop - start
        else:
            done.kept += stop - start
        if report is not None:
            report(f"encoding {part}", stop, part.count)
    seconds = time.monotonic() - began
    done.images += images
    done.seconds += seconds if images else 0.0
    done.by_part[str(part)] = (images, seconds)


def _write(
    folder: Path,
    header: Header,
    parts: Sequence[Part],
    pieces: Pieces,
    splits: Splits,
    text: Tensor | None,
) -> Header:
    writer = FolderWriter(folder)
    shape = tuple(pieces.get(str(parts[0]), 0, min(PIECE, parts[0].count)).shape[1:])
    experts = shape[0] if len(shape) == 2 else 1
    for file in dict.fromkeys(part.file for part in parts):
        tensors: dict[str, tensor_file.Pieces | Tensor] = {}
        for part in (p for p in parts if p.file == file):
            whole = (experts, part.count, shape[1]) if len(shape) == 2 else (part.count, *shape)
            stored = _stored(part, pieces, experts if len(shape) == 2 else 0)
            tensors[part.tensor] = tensor_file.Pieces(whole, torch.float16, stored)
        images = {TRAIN: splits.train, TEST: splits.test}.get(file)
        writer.file(file, {**tensors, **(_labels(images) if images is not None else {})})
    if text is not None:
        writer.file(HEADS, {TEXT: text})
    return writer.finish(dataclasses.replace(header, dim=shape[-1], experts=experts))


def _labels(images: Dataset) -> dict[str, Tensor]:
    return {LABELS: torch.tensor(images.labels), ROW: torch.arange(len(images))}


def _stored(part: Part, pieces: Pieces, experts: int) -> Iterator[Tensor]:
    """Expert after expert, since ``(E, N, D)`` is stored so."""
    for expert in range(max(experts, 1)):
        for start in range(0, part.count, PIECE):
            found = pieces.get(str(part), start, min(PIECE, part.count - start))
            yield found[:, expert] if experts else found


def _header(protocol: Protocol, splits: Splits, encode: Encode, wanted: Wanted) -> Header:
    """All but what is known when the first images are encoded: D and E."""
    chosen = encode.chosen
    library, version = chosen.loaded.library
    return Header(
        encoder=Encoder(chosen.name, library, version, chosen.loaded.weights, chosen.output),
        dim=1,
        source=Origin(protocol.data.source, splits.train.fingerprint),
        class_names=splits.train.class_names,
        whole_pool=True,
        preprocessing=told(chosen.loaded.preprocessing),
        views=views_identity(protocol.views) if wanted.pairs else None,
        pairs=wanted.pairs,
        augmented=wanted.copies,
        device=device_name(encode.device),
    )


def told(made: contract.Preprocessing) -> Preprocessing:
    return Preprocessing(
        made.resize or None,
        made.crop or None,
        made.interpolation,
        made.antialias,
        made.mean,
        made.std,
    )


def _request(header: Header, protocol: Protocol, splits: Splits, wanted: Wanted) -> dict[str, Any]:
    """What decides the numbers of a piece; how many copies or pairs there are does not."""
    recipe = dataclasses.asdict(protocol.recipe)
    augmentation = ("crop_padding", "flip", "rotation", "augment", "crop_scale", "jitter")
    facts = {
        "encoder": dataclasses.asdict(header.encoder),
        "preprocessing": dataclasses.asdict(header.preprocessing) if header.preprocessing else None,
        "train images": splits.train.fingerprint,
        "test images": splits.test.fingerprint,
        "views": views_identity(protocol.views),
        "augmentation": {key: recipe.get(key) for key in augmentation},
        "device": header.device,
        "torch": torch.__version__,
        "piece": PIECE,
    }
    return _plain(facts)  # type: ignore[no-any-return]


def _plain(value: Any) -> Any:
    """As JSON gives it back: lists for tuples."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, tuple | list) else value


def _text(encode: Encode, splits: Splits, prompt: str) -> Tensor | None:
    """``(C, D)``; raises :class:`InputError` where the encoder knows no texts."""
    if not prompt:
        return None
    make = encode.chosen.loaded.text
    if make is None:
        raise InputError(f"--prompt: {encode.chosen.name} was trained without texts")
    if "{}" not in prompt:
        raise InputError(f"--prompt {prompt!r} needs {{}} where the name of the class goes")
    names = [name.replace("_", " ") for name in splits.train.class_names]
    return torch.cat(
        [
            make([prompt.replace("{}", name) for name in names[i : i + 100]])
            for i in range(0, len(names), 100)
        ]
    )


def _already(folder: Path, header: Header, wanted: Wanted, report: Report | None) -> Extracted:
    """A folder that is complete, checked in full. Raises :class:`InputError` for other features."""
    there = FeatureFolder(folder)
    same = (
        "encoder",
        "preprocessing",
        "source",
        "class_names",
        "views",
        "pairs",
        "augmented",
        "device",
    )
    for name in same:
        if getattr(there.header, name) != getattr(header, name):
            raise InputError(
                f"{folder} holds other features ({name} {getattr(there.header, name)}, asked is "
                f"{getattr(header, name)}); remove it or give another -o"
            )
    if (there.text is not None) != bool(wanted.prompt):
        raise InputError(
            f"{folder} was written with another --prompt; remove it or give another -o"
        )
    there.verify(report)
    return Extracted(there.header, whole=True)
