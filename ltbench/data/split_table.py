"""A table of training and test images, drawn from images that have no test set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ltbench.data.class_order import ordered_classes
from ltbench.data.findings import Findings
from ltbench.data.split import SplitRule, split_files
from ltbench.data.table_columns import Columns
from ltbench.data.table_file import write_table
from ltbench.data.to_split import labelled_files
from ltbench.files import path_from


@dataclass(frozen=True)
class Drawn:
    """``counts``: of a class and side (``train`` or ``test``); ``identical``: files of one content;
    ``columns``: of the table that was split, None for a folder."""

    classes: tuple[str, ...]
    counts: Counter[tuple[str, str]]
    identical: int
    findings: Findings
    columns: Columns | None


def draw_table(source: Path, rule: SplitRule, stated: Mapping[str, str], output: Path) -> Drawn:
    """Splits ``source`` (class folders, or a table) by ``rule`` and writes the table ``output``.

    stated: as for :func:`labelled_files`.

    Raises what :func:`labelled_files`, :func:`split_files` and :func:`write_table` raise.
    """
    files = labelled_files(source, stated)
    test = split_files(files.labels, files.bound, rule)
    names = [path_from(path, output.parent) for path in files.paths]
    sides = ["test" if one else "train" for one in test]
    write_table(output, sorted(zip(names, files.labels, sides, strict=True)))
    counts = Counter(zip(files.labels, sides, strict=True))
    classes = ordered_classes(files.labels)
    return Drawn(classes, counts, files.identical, files.findings, files.columns)
