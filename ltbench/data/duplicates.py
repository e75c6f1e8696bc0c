"""Image files with the same content: within a class, under two labels, in training and test."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from pathlib import Path
from typing import TypeAlias

from ltbench.data.dataset import FileNames
from ltbench.data.findings import EXAMPLES, Findings, shown

ACROSS = "files with one content in train and test"
TWO_LABELS = "files with one content under two labels"
REPEATED = "files with one content twice in a class of one split"

_Copy: TypeAlias = tuple[str, str, int]
"""Split, name and label of a file."""


def find_duplicates(names: FileNames, findings: Findings) -> None:
    """Warns of files that are equal byte by byte; one line names all files of one content.

    A content may belong to several kinds: in training under one label and in test under another.
    A file that cannot be read is equal to none: reading its image tells of it.
    """
    files: list[_Copy] = [("train", *one) for one in names.train]
    files += [("test", *one) for one in names.test]
    for places in same_content([names.root / name for _, name, _ in files]):
        copies = [files[place] for place in places]
        line = _line(copies)
        if len({split for split, _, _ in copies}) > 1:
            findings.warn(ACROSS, line)
        if len({label for _, _, label in copies}) > 1:
            findings.warn(TWO_LABELS, line)
        if _repeats((split, label) for split, _, label in copies):
            findings.warn(REPEATED, line)


def same_content(paths: Sequence[Path]) -> list[list[int]]:
    """Places in ``paths`` of two files or more that are equal byte by byte, by the first of them."""
    by_size: dict[int, list[int]] = defaultdict(list)
    for place, path in enumerate(paths):
        try:
            by_size[path.stat().st_size].append(place)
        except OSError:
            continue
    by_content: dict[bytes, list[int]] = defaultdict(list)
    for places in by_size.values():
        for place in places if len(places) > 1 else ():  # a size of its own is a content of its own
            try:
                with paths[place].open("rb") as file:
                    by_content[hashlib.file_digest(file, "sha256").digest()].append(place)
            except OSError:
                continue
    return sorted(places for places in by_content.values() if len(places) > 1)


def _line(copies: Sequence[_Copy]) -> str:
    """The first of each split and label come first, so that what differs is named."""
    seen: set[tuple[str, int]] = set()
    first: list[str] = []
    rest: list[str] = []
    for copy in copies:
        place = (copy[0], copy[2])
        (rest if place in seen else first).append(shown(copy[1]))
        seen.add(place)
    named = [*first, *rest]
    more = f" and {len(named) - EXAMPLES:,} more" if len(named) > EXAMPLES else ""
    return " = ".join(named[:EXAMPLES]) + more


def _repeats(items: Iterable[Hashable]) -> bool:
    found = list(items)
    return len(set(found)) < len(found)
