"""Labelled files that have no test set yet: class folders, or a table of files and labels."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ltbench.data.duplicates import same_content
from ltbench.data.findings import Findings, shown
from ltbench.data.folder_scan import SPLITS, scan
from ltbench.data.table_columns import Columns, option_of, recognise
from ltbench.data.table_file import read_table
from ltbench.errors import DataError, InputError


@dataclass(frozen=True)
class Labelled:
    """Files with their labels, in an order that does not depend on where the folder lies.

    ``bound``: places of files that belong together; ``identical`` of these are equal files; ``columns``:
    of the table that they were read from.
    """

    paths: list[Path]
    labels: list[str]
    bound: list[list[int]]
    identical: int
    findings: Findings
    columns: Columns | None = None


def labelled_files(source: Path, stated: Mapping[str, str]) -> Labelled:
    """``source``: a folder of class folders, or a table with a column of files and one of labels.

    stated: names of the columns ``file``, ``label`` and ``group``, of which equal values keep files
    together; others are found by :func:`recognise`. Raises :class:`DataError`
    where there is neither or where it is split already, :class:`DataProblems` for what is wrong in
    the folder, :class:`InputError` for a column without a table.
    """
    groups: list[list[int]] = []
    if source.is_dir():
        for role, name in stated.items():
            told = "--group" if role == "group" else option_of(role)
            raise InputError(f"{told} {name} needs a table; {shown(source)} is a folder")
        found = _class_folders(source)
    elif source.is_file():
        found, groups = _listed(source, recognise(source, stated))
    else:
        raise DataError(f"{shown(source)} does not exist; give a folder <class>/* or a table")
    equal = same_content(found.paths)
    return replace(found, bound=[*equal, *groups], identical=sum(map(len, equal)))


def _class_folders(folder: Path) -> Labelled:
    for split in SPLITS:
        if (folder / split).is_dir():
            raise DataError(
                f"{shown(folder)} has a folder {split!r} already; to split what lies in it, name it: "
                f"`ltbench data split {shown(folder / split)}`"
            )
    whole = Path(os.path.abspath(folder))  # "." has no name
    findings = Findings()
    classes = scan(whole.parent, whole.name, findings)
    findings.refuse()
    pairs = [(path, name) for name in sorted(classes) for path in classes[name]]
    return Labelled([path for path, _ in pairs], [name for _, name in pairs], [], 0, findings)


def _listed(table: Path, columns: Columns) -> tuple[Labelled, list[list[int]]]:
    findings = Findings()
    paths: list[Path] = []
    labels: list[str] = []
    seen: dict[str, str] = {}
    groups: dict[str, list[int]] = defaultdict(list)
    group = columns.group
    lines = read_table(table, [columns.file, columns.label, *([group] if group else [])])
    for line in sorted(lines, key=lambda line: line.cells[0]):
        name = line.cells[0]
        path = table.parent / name
        if name in seen:
            findings.error(
                "files listed twice", f"{line.where}: {shown(name)} is also in {seen[name]}"
            )
        elif not path.is_file():
            findings.error("files that are missing", f"{line.where}: no file {shown(path)}")
        seen.setdefault(name, line.where)
        if group:
            groups[line.cells[2]].append(len(paths))
        paths.append(path)
        labels.append(line.cells[1])
    findings.refuse()
    if not paths:
        raise DataError(f"{shown(table)} lists no files")
    return Labelled(paths, labels, [], 0, findings, columns), list(groups.values())
