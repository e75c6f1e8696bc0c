"""Features that were made elsewhere: two files of arrays, checked and written as a folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from ltbench.bombs import refuse_bomb
from ltbench.encoders.pieces import make_folder
from ltbench.errors import DataError, InputError
from ltbench.features.header import (
    CLEAN,
    HEADER,
    LABELS,
    ROW,
    TEST,
    TRAIN,
    Encoder,
    Header,
    Origin,
    copy_name,
)
from ltbench.features.write import FolderWriter
from ltbench.files import check_header, parse_json, read_whole

Arrays: TypeAlias = dict[str, NDArray[Any]]
_NAMES = {
    **dict.fromkeys(("features", "feature", "embedding", "embeddings", CLEAN), CLEAN),
    **dict.fromkeys(("labels", "label"), LABELS),
    ROW: ROW,
}
_KNOWN = "features, labels, and where there are some row (index in the source) and aug0, aug1, ..."


@dataclass(frozen=True)
class Stated:
    """What the user says of the features: the files cannot."""

    encoder: str = "imported"
    output: str = ""
    source: str = "imported"


def import_features(
    train: Path, test: Path, classes: Sequence[str], stated: Stated, folder: Path
) -> Header:
    """Two ``.npz``, ``.safetensors`` or ``.parquet`` files to a folder of features.

    Each holds ``features`` (N, D) or (E, N, D) of any float type and ``labels`` (N,) whole numbers
    0..C-1; where there are some ``row`` (N,), the places of its images in the source (else 0..N-1), and,
    of training images, augmented copies ``aug0``, ... like ``features``. No code is run: a pickled array
    is refused. Raises :class:`DataError` or :class:`InputError`, one line, with the file.
    """
    if (folder / HEADER).exists():
        raise InputError(f"{folder} holds features already; remove it or give another -o")
    found = {TRAIN: read_arrays(train), TEST: read_arrays(test)}
    for path, arrays in ((train, found[TRAIN]), (test, found[TEST])):
        _check(arrays, path, len(classes))
    shape, other = found[TRAIN][CLEAN].shape, found[TEST][CLEAN].shape
    if (shape[-1], shape[:-2]) != (other[-1], other[:-2]):
        raise DataError(f"{test}: features {other} do not go with those of {train}, {shape}")
    if any(name.startswith("aug") for name in found[TEST]):
        raise DataError(f"{test}: augmented copies are of training images only")
    absent = np.flatnonzero(np.bincount(found[TRAIN][LABELS], minlength=len(classes)) == 0)
    if len(absent):
        raise DataError(f"{train} has no image of class {classes[absent[0]]!r} (label {absent[0]})")
    make_folder(folder)
    writer = FolderWriter(folder)
    for path, (file, arrays) in zip((train, test), found.items(), strict=True):
        try:
            writer.file(file, {name: torch.tensor(array) for name, array in arrays.items()})
        except DataError as error:
            raise DataError(f"{path} as {error}") from None
    copies = sum(name.startswith("aug") for name in found[TRAIN])
    row = found[TRAIN][ROW]
    return writer.finish(
        Header(
            encoder=Encoder(stated.encoder, output=stated.output),
            dim=int(shape[-1]),
            experts=int(shape[0]) if len(shape) == 3 else 1,
            source=Origin(stated.source),
            class_names=tuple(classes),
            whole_pool=int(row.max()) == len(row) - 1,
            augmented=copies,
        )
    )


def read_classes(path: Path) -> list[str]:
    """A JSON list of names, in the order of the labels."""
    try:
        names = parse_json(read_whole(path))
    except (OSError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise InputError(f"--classes {path} cannot be read: {reason}") from None
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        raise InputError(f'--classes {path} must be a JSON list of names: ["cat", "dog"]')
    if len(names) < 2 or len(set(names)) != len(names):
        raise InputError(f"--classes {path} must list at least two different names")
    return names


def read_arrays(path: Path) -> Arrays:
    """The arrays of a file under the names of a folder of features."""
    readers = {".npz": _npz, ".safetensors": _safetensors, ".parquet": _parquet}
    reader = readers.get(path.suffix)
    if reader is None:
        raise InputError(f"{path}: expected a file {', '.join(readers)}")
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    arrays: Arrays = {}
    for name, array in reader(path).items():
        own = _NAMES.get(name, name)
        if own not in (CLEAN, LABELS, ROW) and not (own.startswith("aug") and own[3:].isdigit()):
            raise DataError(f"{path}: {name!r} is not known; expected {_KNOWN}")
        if own in arrays:
            raise DataError(f"{path}: there are two arrays of {own}")
        arrays[own] = array
    return arrays


def _npz(path: Path) -> Arrays:
    try:
        # Opened here: NumPy leaves a file open that is no archive.
        refuse_bomb(path)
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            found = {name: file[name] for name in file.files}
    except Exception as error:  # NumPy raises whatever a damaged header or archive leads it to
        if "allow_pickle" in str(error):
            raise DataError(
                f"{path} holds a pickled array, which could run any code; save plain numbers instead"
            ) from None
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise DataError(f"{path} cannot be read: {reason}") from None
    for name, array in found.items():
        if not isinstance(array, np.ndarray):  # the bytes of a member that is no .npy file
            raise DataError(f"{path}: {name!r} is no array")
    return found


def _safetensors(path: Path) -> Arrays:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        found = load_file(path)
        check_header(path)
    except (SafetensorError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {str(error).splitlines()[0]}") from None
    halves = {torch.bfloat16: torch.float32}  # NumPy has no such type
    return {name: t.to(halves.get(t.dtype, t.dtype)).numpy() for name, t in found.items()}


def _parquet(path: Path) -> Arrays:
    """Columns; a list column of equally long lists becomes (N, D)."""
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{path} cannot be read: {str(error).splitlines()[0]}") from None
    found: Arrays = {}
    for name in table.column_names:
        column = table[name].combine_chunks()
        if column.null_count:
            raise DataError(f"{path}: column {name!r} has {column.null_count} empty places")
        if pyarrow.types.is_list(column.type) or pyarrow.types.is_fixed_size_list(column.type):
            values, lengths = column.flatten(), column.value_lengths()
            widths = set(lengths.unique().to_pylist())
            if len(widths) != 1 or values.null_count:
                raise DataError(f"{path}: the lists of column {name!r} are not all of one length")
            numbers = values.to_numpy(zero_copy_only=False)
            found[name] = numbers.reshape(len(column), widths.pop())
        else:
            found[name] = column.to_numpy(zero_copy_only=False)
    return found


def _check(arrays: Arrays, path: Path, classes: int) -> None:
    """Raises :class:`DataError`; adds ``row`` where there is none, and makes whole numbers int64."""
    for name in (CLEAN, LABELS):
        if name not in arrays:
            raise DataError(
                f"{path} lacks {'features' if name == CLEAN else name}; expected {_KNOWN}"
            )
    clean = arrays[CLEAN]
    if clean.dtype.kind != "f" or clean.ndim not in (2, 3) or 0 in clean.shape:
        raise DataError(
            f"{path}: features are {clean.dtype} {clean.shape}; expected floats (N, D) or (E, N, D)"
        )
    images = clean.shape[-2]
    arrays.setdefault(ROW, np.arange(images))
    for name in (LABELS, ROW):
        if arrays[name].dtype.kind not in "iu" or arrays[name].shape != (images,):
            raise DataError(
                f"{path}: {name} are {arrays[name].dtype} {arrays[name].shape}; expected whole numbers "
                f"({images},), one an image"
            )
        arrays[name] = arrays[name].astype(np.int64)
    labels, row = arrays[LABELS], arrays[ROW]
    if labels.min() < 0 or labels.max() >= classes:
        bad = labels[(labels < 0) | (labels >= classes)][0]
        raise DataError(f"{path}: label {bad} is outside 0..{classes - 1} ({classes} class names)")
    if row.min() < 0 or len(np.unique(row)) != len(row):
        raise DataError(f"{path}: row must hold different numbers from 0 on")
    _check_copies(arrays, path)


def _check_copies(arrays: Mapping[str, NDArray[Any]], path: Path) -> None:
    copies = sorted(name for name in arrays if name.startswith("aug"))
    if copies != sorted(copy_name(k) for k in range(len(copies))):
        raise DataError(
            f"{path}: augmented copies must be aug0, aug1, ... without a gap, not {copies}"
        )
    for name in copies:
        if arrays[name].dtype.kind != "f" or arrays[name].shape != arrays[CLEAN].shape:
            raise DataError(
                f"{path}: {name} is {arrays[name].dtype} {arrays[name].shape}; features are "
                f"{arrays[CLEAN].shape}"
            )
