"""Images that lie in the folders of a list or table and that it does not name: told, never used."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Set
from heapq import nsmallest
from pathlib import Path

from PIL import Image

from ltbench.data.dataset import Splits
from ltbench.data.findings import EXAMPLES, shown
from ltbench.data.list_file import map_prefix
from ltbench.protocol.protocol import LISTS, DataConfig

_KIND = "images beside those that are listed, not used"
_TABLE = "table"


def unlisted_notes(config: DataConfig, splits: Splits) -> dict[str, list[object]]:
    """How many and the first of them, as the notes of ``splits``; nothing where there are none.

    Only of sources that name single files. In folders of classes every image counts, and what lies beside
    these is noted when they are read.
    """
    files = splits.files
    if config.source not in (LISTS, _TABLE) or files is None:
        return {}
    parts = (files.train, files.test, files.holdout)
    names = (map_prefix(name, config.paths) for part in parts for name, _ in part)
    count, examples = unlisted(files.root, names)
    return {_KIND: [count, *examples]} if count else {}


def unlisted(root: Path, names: Iterable[str]) -> tuple[int, list[str]]:
    """Images that are in a folder of ``names`` (below ``root``, with ``/``) and none of them.

    Their number and the first, by folder and name. Images are told by the ends of their names, as Pillow
    reads them; one look at each folder, none at a file, none into folders where nothing is listed.
    """
    spelled: dict[str, str] = {}
    wanted: dict[str, set[str]] = {}
    for name in names:
        folder, _, last = name.rpartition("/")
        if folder not in spelled:  # one folder may be named in several ways
            spelled[folder] = os.path.realpath(root / folder)
        wanted.setdefault(spelled[folder], set()).add(last)
    first = {spelled[folder]: folder for folder in sorted(spelled, reverse=True)}
    ends = {end for end, kind in Image.registered_extensions().items() if kind in Image.OPEN}
    count, examples = 0, list[str]()
    for place in sorted(wanted, key=lambda place: first[place]):
        here = [name for name in _images(place, ends) if name not in wanted[place]]
        count += len(here)
        for name in nsmallest(EXAMPLES - len(examples), here):
            examples.append(shown(f"{first[place]}/{name}" if first[place] else name))
    return count, examples


def _images(folder: str, ends: Set[str]) -> Iterator[str]:
    """Names of image files; a hidden file is what a system left there."""
    with os.scandir(folder) as entries:
        for entry in entries:
            end = os.path.splitext(entry.name)[1].lower()
            if end in ends and not entry.name.startswith(".") and entry.is_file():
                yield entry.name
