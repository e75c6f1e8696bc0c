"""Images of a list: found by folder, told apart by their sizes in bytes, opened one by one."""

from __future__ import annotations

import hashlib
import json
import os
from collections import defaultdict
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from ltbench.data.cache import cache_root
from ltbench.data.dataset import Dataset, Images
from ltbench.data.decode import mapper, open_rgb, square, to_array
from ltbench.data.findings import EXAMPLES, Findings, shown
from ltbench.data.list_file import Listing, Paths
from ltbench.files import write_atomically

Sizes: TypeAlias = NDArray[np.int64]
_FORMAT = 1  # raised when fingerprints or stored sizes mean something else


class ListDataset(Dataset):
    """Images of ``listing`` below ``root``, at the paths ``files``; sizes: of the files, in bytes.

    :meth:`read` gives the middle square of ``image_size`` pixels after the short side became
    ``resize``; :meth:`open` the image as it was taken.
    """

    def __init__(
        self,
        listing: Listing,
        root: Path,
        files: Paths,
        sizes: Sizes,
        class_names: tuple[str, ...],
        image_size: int,
        resize: int | None,
    ) -> None:
        self.root, self.files = root, files
        self.labels = listing.labels
        self.labels.flags.writeable = False
        self.class_names, self.image_size, self.resize = class_names, image_size, resize
        self._fingerprint = fingerprint(listing, sizes, class_names)

    @property
    def fingerprint(self) -> str:
        """SHA-256 over format, class names, lines of the list and sizes of the files; no pixel."""
        return self._fingerprint

    @property
    def streamed(self) -> bool:
        return True

    def path(self, index: int) -> Path:
        return self.root / self.files[index]

    def open(self, index: int) -> Image.Image:
        return open_rgb(self.path(int(index)))

    def read(self, indices: ArrayLike) -> Images:
        chosen = np.asarray(indices, dtype=np.int64).reshape(-1)
        if chosen.size and (chosen.min() < 0 or chosen.max() >= len(self)):
            raise IndexError(f"image indices must lie in 0..{len(self) - 1}")
        found = np.empty((len(chosen), 3, self.image_size, self.image_size), dtype=np.uint8)
        with mapper(threaded=len(chosen) > 1) as over:
            for place, pixels in enumerate(over(self.clean, chosen.tolist())):
                found[place] = pixels
        return found

    def clean(self, index: int) -> Images:
        """``(3, S, S)`` uint8."""
        return to_array(square(self.open(index), self.image_size, "crop", self.resize))


def fingerprint(listing: Listing, sizes: Sizes, class_names: tuple[str, ...]) -> str:
    """What identifies the images of a list. A resized copy has other sizes in bytes."""
    digest = hashlib.sha256(json.dumps(["lists", _FORMAT, class_names]).encode() + b"\n")
    for name, label in zip(listing.names, listing.labels.tolist(), strict=True):
        digest.update(os.fsencode(name) + b" %d\n" % label)
    digest.update(np.ascontiguousarray(sizes, dtype="<i8").tobytes())
    return digest.hexdigest()


def file_sizes(
    listing: Listing, root: Path, files: Paths, findings: Findings, *, anew: bool = False
) -> Sizes:
    """Bytes of every file, (N,) int64, -1 where it is missing; kept in the cache where none is.

    anew: look at the files even where that was done before. What is wrong goes into ``findings``:
    files that are missing, empty or behind a link that leaves ``root``.
    """
    stored = _stored(root, files)
    if not anew:
        try:
            known: Sizes = np.load(stored, allow_pickle=False)
            if known.shape == (len(files),) and known.dtype == np.int64:
                return known
        except (OSError, ValueError, EOFError):
            pass
    sizes, outside = _scan(root, files)
    for place in outside:
        findings.error(
            "links that leave the folder",
            f"{shown(listing.file)}: {shown(root / files[place])} is a link to outside of {shown(root)}",
        )
    _tell_missing(listing, root, files, sizes, findings)
    for place in np.flatnonzero(sizes == 0)[:EXAMPLES]:
        where = shown(root / files[int(place)])
        findings.error("empty files", f"{where} is not a readable image (an empty file)")
    if not outside and (sizes > 0).all():
        stored.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(stored, lambda path: _save(path, sizes))
    return sizes


def _save(path: Path, sizes: Sizes) -> None:
    with path.open("wb") as file:  # np.save would lengthen the name
        np.save(file, sizes, allow_pickle=False)


def _stored(root: Path, files: Paths) -> Path:
    digest = hashlib.sha256(json.dumps([_FORMAT, os.path.abspath(root)]).encode() + files.joined)
    digest.update(files.ends.tobytes())
    return cache_root() / "lists" / f"sizes-{digest.hexdigest()[:20]}.npy"


def _scan(root: Path, files: Paths) -> tuple[Sizes, list[int]]:
    """Sizes, -1 where there is no file, and the places of those that a link takes out of ``root``.

    One look at each folder instead of one at each file.
    """
    by_folder: dict[str, dict[str, int]] = defaultdict(dict)
    for place, name in enumerate(files):
        folder, _, last = name.rpartition("/")
        by_folder[folder][last] = place
    sizes = np.full(len(files), -1, dtype=np.int64)
    outside: list[int] = []
    home = os.path.realpath(root)
    for folder, wanted in by_folder.items():
        try:
            with os.scandir(root / folder) as entries:
                here = [entry for entry in entries if entry.name in wanted]
            if here and not _within(root / folder, home):
                outside += [wanted[here[0].name]]
            for entry in here:
                if entry.is_file():
                    sizes[wanted[entry.name]] = entry.stat().st_size
                if entry.is_symlink() and not _within(Path(entry.path), home):
                    outside.append(wanted[entry.name])
        except OSError:
            continue  # there is no such folder: its files are missing
    return sizes, sorted(set(outside))


def _within(path: Path, home: str) -> bool:
    return os.path.realpath(path).startswith(home.rstrip(os.sep) + os.sep) or (
        os.path.realpath(path) == home
    )


def _tell_missing(
    listing: Listing, root: Path, files: Paths, sizes: Sizes, findings: Findings
) -> None:
    missing = np.flatnonzero(sizes < 0)
    if not len(missing):
        return
    first = ", ".join(shown(files[int(place)]) for place in missing[:EXAMPLES])
    more = ", ..." if len(missing) > EXAMPLES else ""
    findings.error(
        "lists whose files are missing",
        f"{shown(listing.file)}: {len(missing):,} of {len(files):,} files are not below {shown(root)}: "
        f"{first}{more}",
    )
