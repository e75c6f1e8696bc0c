"""Decode once: images and labels as ``.npy`` in the cache folder, memory-mapped when opened.

An entry is a folder ``datasets/<kind>-<key>`` with ``train-images.npy``, ``train-labels.npy``, the
same for ``test``, and ``meta.json``. It is written under a temporary name and renamed, and its
fingerprints are compared at every opening: an entry that a crash or a disk damaged is built anew.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from ltbench.data.dataset import ArrayDataset, FingerprintDigest, Splits, check_labels
from ltbench.data.raw import Found, Raw, Report, Stream
from ltbench.errors import DataError, InputError, LtbenchError
from ltbench.files import read_json, write_json

_FORMAT = 1  # raised when entries of an older ltbench must not be read any more
_ABANDONED = 24 * 3600.0  # seconds after which a half-built folder can only be a dead process's


def cache_root() -> Path:
    """The cache folder: ``LTBENCH_CACHE``, else ``ltbench`` in the platform's own cache folder."""
    if chosen := os.environ.get("LTBENCH_CACHE"):
        return Path(chosen).expanduser().absolute()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "ltbench"
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA")
        return (Path(local) if local else Path.home() / "AppData" / "Local") / "ltbench" / "cache"
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "ltbench"


def entry_path(found: Found) -> Path:
    """Where ``found`` is or would be stored; :class:`DataError` if a file is missing."""
    files = []
    for path in sorted(found.files):
        try:
            status = path.stat()
        except OSError as error:  # a broken link, or removed in this moment
            raise DataError(f"{path} cannot be read: {error.strerror}") from error
        # Absolute but with links unresolved: an image's class is the folder that it is listed in.
        files.append([os.path.abspath(path), status.st_size, status.st_mtime_ns])
    identity = [_FORMAT, found.kind, files, dict(sorted(found.options.items()))]
    key = hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:20]
    return cache_root() / "datasets" / f"{found.kind}-{key}"


def load_or_build(found: Found, report: Report | None = None) -> Splits:
    """Opens the stored images of ``found``; decodes and stores them first where needed.

    Several processes may do so at once: the first to finish wins, the others use its entry.
    Raises :class:`DataError` where the source is damaged, :class:`InputError` where the cache
    folder cannot be written, :class:`LtbenchError` where the disk is full.
    """
    entry = entry_path(found)
    for _ in range(3):  # a rival that repairs the same entry may take ours away between two steps
        splits = _load(entry, found.origin)
        if splits is not None:
            return splits
        _build(entry, found, report)
    raise LtbenchError(f"{entry} is damaged each time it is written; is the disk in order?")


def load(found: Found) -> Splits:
    """The images of ``found``, decoded into memory and kept nowhere; errors as :func:`load_or_build`."""
    raw = found.read()
    read = {
        split: _in_memory(stream, raw, found.origin, split) for split, stream in raw.splits.items()
    }
    found.findings.refuse()
    return Splits(read["train"], read["test"], found.origin, holdout=read.get("holdout"))


def _in_memory(stream: Stream, raw: Raw, origin: str, split: str) -> ArrayDataset:
    batches = list(stream.batches())
    images = np.concatenate(
        [np.zeros((0, 3, raw.image_size, raw.image_size), np.uint8), *(one for one, _ in batches)]
    )
    labels = np.concatenate([np.zeros(0, np.int64), *(each for _, each in batches)])
    _check_count(origin, split, stream.count, len(labels))
    check_labels(labels, len(raw.class_names), f"{origin}, {split} images")
    return ArrayDataset(images, labels, raw.class_names)


def _check_count(origin: str, split: str, announced: int, read: int) -> None:
    if announced != read:
        raise DataError(f"{origin}: {announced} {split} images announced, {read} read")


def _load(entry: Path, origin: str) -> Splits | None:
    """None where the entry is absent or damaged."""
    try:
        meta = read_json(entry / "meta.json")
        if meta["format"] != _FORMAT:
            return None
        notes = meta.get("notes", {})  # entries of an older ltbench have none
        found = {name: _load_split(entry, name, meta) for name in meta["fingerprints"]}
        return Splits(found["train"], found["test"], origin, notes, holdout=found.get("holdout"))
    except (OSError, ValueError, KeyError, TypeError, EOFError):
        return None


def _load_split(entry: Path, split: str, meta: dict[str, Any]) -> ArrayDataset:
    images = np.load(entry / f"{split}-images.npy", mmap_mode="r", allow_pickle=False)
    labels = np.load(entry / f"{split}-labels.npy", allow_pickle=False)
    dataset = ArrayDataset(images, labels, meta["class_names"])
    # About 0.1 s for CIFAR: cheap against a training run on images that a disk has changed.
    if dataset.fingerprint != meta["fingerprints"][split]:
        raise DataError(f"{entry}: the {split} images differ from what was stored")
    return dataset


def _build(entry: Path, found: Found, report: Report | None) -> None:
    temporary: Path | None = None
    needed = 0
    told = set(found.findings.notes)  # what lies where, which is looked up each time
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        _sweep(entry.parent)
        temporary = Path(tempfile.mkdtemp(prefix=".building-", dir=entry.parent))
        finished = temporary / "entry"  # mkdtemp's own folder is private, this one obeys the umask
        finished.mkdir()
        raw = found.read()
        needed = raw.count * (3 * raw.image_size**2 + 8)
        _write(finished, raw, found, report, told)
        _publish(finished, entry, temporary)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise LtbenchError(
                f"no space left for decoded images in {entry.parent}: {needed / 1e6:.0f} MB are "
                "needed; free some or set LTBENCH_CACHE to another folder"
            ) from error
        raise InputError(
            f"cannot use the cache folder {entry.parent}: {error.strerror or error}; "
            "set LTBENCH_CACHE to a folder that can be written"
        ) from error
    finally:
        for kind in found.findings.notes.keys() - told:
            del found.findings.notes[kind]  # they are the entry's now
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


def _write(folder: Path, raw: Raw, found: Found, report: Report | None, told: set[str]) -> None:
    origin = found.origin
    before = 0
    fingerprints = {}
    for split, stream in raw.splits.items():
        labels: list[Any] = []
        shape = (stream.count, 3, raw.image_size, raw.image_size)
        digest = FingerprintDigest(shape, raw.class_names)
        # Plain writes, not a writable memory map: there a full disk would kill the process.
        with (folder / f"{split}-images.npy").open("wb") as file:
            header = {"descr": "|u1", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            done = 0
            for images, part in stream.batches():
                file.write(np.ascontiguousarray(images).tobytes())
                digest.add_images(images)
                labels.append(part)
                done += len(part)
                if report is not None:
                    report("decoding images", before + done, raw.count)
        joined = np.concatenate([np.zeros(0, dtype=np.int64), *labels]).astype(np.int64)
        _check_count(origin, split, stream.count, len(joined))
        check_labels(joined, len(raw.class_names), f"{origin}, {split} images")
        np.save(folder / f"{split}-labels.npy", joined, allow_pickle=False)
        fingerprints[split] = digest.finish(joined)
        before += stream.count
    found.findings.refuse()  # only now: all files that cannot be read are told together
    meta = {
        "format": _FORMAT,
        "class_names": list(raw.class_names),
        "fingerprints": fingerprints,
        "notes": {k: v for k, v in found.findings.tallies().items() if k not in told},
    }
    write_json(folder / "meta.json", meta)


def _publish(finished: Path, entry: Path, temporary: Path) -> None:
    """Renames ``finished`` to ``entry``, in the place of a damaged one."""
    if entry.exists() and _load(entry, "") is None:
        with contextlib.suppress(FileNotFoundError):  # a rival has just removed it
            os.rename(entry, temporary / "damaged")
    try:
        os.rename(finished, entry)
    except OSError:
        if not entry.exists():
            raise  # otherwise a rival was first, with the same images


def _sweep(folder: Path) -> None:
    for left in folder.glob(".building-*"):
        try:
            if time.time() - left.stat().st_mtime > _ABANDONED:
                shutil.rmtree(left, ignore_errors=True)
        except FileNotFoundError:  # its owner finished in this moment
            continue
