"""A user's own images by a table: a file, a label and a split in each row, the files wherever they lie."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path

from ltbench.data.class_order import BY_VALUE, ordered_classes
from ltbench.data.dataset import FileNames
from ltbench.data.findings import Findings, shown
from ltbench.data.folder import file_stream, fit_option
from ltbench.data.folder_scan import SPLITS, VALIDATION, VALIDATION_USE
from ltbench.data.raw import Found, Raw
from ltbench.data.table_columns import Columns
from ltbench.data.table_file import Line, read_table
from ltbench.errors import nearest

_HELD = VALIDATION[0]
_USUAL = Columns()
_OTHERS = "; [data.options] file_column, label_column and split_column name others"


def find_table(
    table: Path,
    base: Path,
    image_size: int,
    fit: str = "crop",
    columns: Columns = _USUAL,
) -> Found:
    """The images that ``table`` lists, its file names below ``base``.

    Labels are texts, classes those of the training images: whole numbers by value, others by name.
    Rows of a validation split are the source's validation images. What is wrong is gathered in the result's
    ``findings``: other splits, files that are missing, empty or listed twice, a test class unknown
    in training, a split without images. Rows of one group in training and in test are a warning,
    which names lines: what a group is called is kept nowhere. Raises :class:`DataError` where it is no
    such table.
    """
    findings = Findings()
    asked = [columns.file, columns.label, columns.split, *filter(None, [columns.group])]
    lines = _sound(read_table(table, asked, others=_OTHERS), base, findings)
    if columns.group:
        _check_groups(lines, findings)
    names = ordered_classes(line.cells[1] for line in lines if line.cells[2] == "train")
    if names != tuple(sorted(names)):
        findings.note(BY_VALUE, f"{shown(names[0])} to {shown(names[-1])}")
    numbers = {name: label for label, name in enumerate(names)}
    _check_classes(table, lines, names, findings)
    listed = {
        split: sorted(
            (
                (line.cells[0], numbers[line.cells[1]])
                for line in lines
                if _of(line, split, numbers)
            ),
            key=lambda one: (one[1], one[0]),
        )
        for split in (*SPLITS, _HELD)
    }
    parts = [[(base / name, label) for name, label in listed[split]] for split in listed]

    def read() -> Raw:
        streams = [file_stream(part, image_size, findings, fit) for part in parts]
        return Raw(names, image_size, streams[0], streams[1], streams[2] if parts[2] else None)

    # The rows, not the table: a table written anew with the same rows is the same data.
    if not listed[_HELD]:
        del listed[_HELD]  # as it was before there were any
    rows = hashlib.sha256(json.dumps([names, listed]).encode()).hexdigest()
    return Found(
        kind="table",
        origin=f"{shown(table)} (table of image files, {len(names)} classes)",
        files=tuple(path for part in parts for path, _ in part),
        read=read,
        options={"image_size": image_size, "rows": rows, **fit_option(fit)},
        findings=findings,
        names=FileNames(base, *map(tuple, listed.values())),
    )


def _of(line: Line, split: str, numbers: dict[str, int]) -> bool:
    return line.cells[2] == split and line.cells[1] in numbers


def _named(line: Line) -> Line:
    """With one name for a validation split, whatever it is called."""
    name, label, split, *group = line.cells
    return Line(line.where, (name, label, _HELD if split in VALIDATION else split, *group))


def _sound(lines: list[Line], base: Path, findings: Findings) -> list[Line]:
    """The rows that can be used; of the others what is wrong or why they are left out."""
    sound = []
    seen: dict[str, str] = {}
    for line in lines:
        name, _, split = line.cells[:3]
        if split not in (*SPLITS, *VALIDATION):
            findings.error(
                "rows of unknown splits",
                f"{line.where}: split {shown(split)!r} is neither 'train' nor 'test'"
                f"{nearest(split, SPLITS)}",
            )
        elif name in seen:
            findings.error(
                "files listed twice", f"{line.where}: {shown(name)} is also in {seen[name]}"
            )
        elif not (base / name).is_file():
            findings.error("files that are missing", f"{line.where}: no file {shown(base / name)}")
        elif (base / name).stat().st_size == 0:
            findings.error(
                "empty files", f"{shown(base / name)} is not a readable image (an empty file)"
            )
        else:
            if split in VALIDATION:
                findings.note(VALIDATION_USE, shown(name))
            sound.append(_named(line))
        seen.setdefault(name, line.where)
    return sound


def _check_groups(lines: list[Line], findings: Findings) -> None:
    first: dict[tuple[str, str], str] = {}
    for line in lines:
        first.setdefault((line.cells[3], line.cells[2]), line.where)
    for group, split in first:
        if split == "train" and (group, "test") in first:
            findings.warn(
                "groups with images in train and in test",
                f"{first[group, 'train']} and {first[group, 'test']}",
            )


def _check_classes(
    table: Path, lines: list[Line], names: tuple[str, ...], findings: Findings
) -> None:
    count = Counter(line.cells[2] for line in lines)
    wrong = bool(findings.errors)
    for split in SPLITS:
        if not count[split] and not wrong:
            findings.error(
                "splits without images", f"{shown(table)} has no rows of split {split!r}"
            )
    tested = {line.cells[1]: line for line in reversed(lines) if line.cells[2] == "test"}
    held = {line.cells[1]: line for line in reversed(lines) if line.cells[2] == _HELD}
    for what, found in (("test", tested), ("validation", held)):
        for name in sorted(found.keys() - set(names)) if names else ():
            findings.error(
                f"{what} classes that are unknown in train",
                f"{found[name].where}: label {shown(name)!r} has no training image"
                f"{nearest(name, names)}",
            )
    for name in names:
        if name not in tested and tested:
            findings.note("classes without test images, in no test set", shown(name))
