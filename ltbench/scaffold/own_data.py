"""A user's own images as ``ltbench new protocol`` sees them: counts, sizes, what the test set allows."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from PIL import Image

from ltbench.data.findings import Findings
from ltbench.data.folder import find_folder
from ltbench.data.raw import Found
from ltbench.data.table import find_table
from ltbench.data.table_columns import Columns
from ltbench.protocol.protocol import LARGEST, GroupsConfig, TestConfig
from ltbench.shift.groups import class_groups
from ltbench.shift.profiles import Counts, training_rank
from ltbench.shift.testsets import plan_test_sets

RATIOS = (2, 5, 10, 25, 50, 100)
_SIZES = (8, 16, 24, 28, 32, 48, 64)  # beyond, a CIFAR ResNet on few cores takes days
_LOOKED_AT = 100  # headers read: sizes of a data set are alike


@dataclass(frozen=True)
class OwnData:
    """``train``, ``test`` ``(C,)``: images of each class; ``validation``: how many there are.

    ``sides``: short sides in pixels of a sample; ``options``: ``[data.options]`` that the source needs.
    """

    source: str
    path: Path
    classes: tuple[str, ...]
    train: Counts
    test: Counts
    validation: int
    sides: tuple[int, ...]
    findings: Findings
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def image_size(self) -> int:
        """The largest of the usual sizes that most images fill, 64 at most."""
        if not self.sides:
            return 32
        fitting = [size for size in _SIZES if size <= statistics.median(self.sides)]
        return max(fitting, default=_SIZES[0])

    @property
    def groups(self) -> GroupsConfig:
        """The usual thresholds, or thirds of the classes where those leave a group empty."""
        usual = GroupsConfig()
        if all(class_groups(self.train, usual).values()):
            return usual
        counts = np.sort(self.train)
        third = max(len(counts) // 3, 1)
        many_above = int(counts[-third - 1])
        return GroupsConfig(many_above, min(int(counts[third]), many_above + 1))

    @property
    def ratios(self) -> tuple[int, ...]:
        """Of the usual imbalance ratios those that leave each class an image, forward and backward."""
        if not self.test.any():
            return ()
        config = TestConfig(ratios=RATIOS, size=LARGEST)
        groups = class_groups(self.train, self.groups)
        rank = training_rank(self.train)
        left = plan_test_sets(config, self.test, rank, groups, self.classes)[1]
        return tuple(r for r in RATIOS if not {f"forward{r}", f"backward{r}"} & set(left))


def look_at_folder(folder: Path) -> OwnData:
    """``folder`` with ``train/<class>/*`` and ``test/<class>/*``. Reads no image, a few headers.

    Raises :class:`ltbench.errors.DataError` where it is no such folder.
    """
    return _own("image-folder", folder, find_folder(folder, _SIZES[0]))


def look_at_table(table: Path, columns: Columns | None = None) -> OwnData:
    """``table`` with the columns ``file,label,split``, or others; as :func:`look_at_folder`."""
    columns = columns or Columns()
    found = find_table(table, table.parent, _SIZES[0], columns=columns)
    return replace(_own("table", table, found), options=columns.options)


def _own(source: str, path: Path, found: Found) -> OwnData:
    found.findings.refuse()
    names = found.read().class_names
    assert found.names is not None  # both kinds name their files
    train, test = (
        np.bincount([label for _, label in part], minlength=len(names)).astype(np.int64)
        for part in (found.names.train, found.names.test)
    )
    sides = _short_sides(found.files)
    held = len(found.names.holdout)
    return OwnData(source, path, names, train, test, held, sides, found.findings)


def _short_sides(files: tuple[Path, ...]) -> tuple[int, ...]:
    sides = []
    for path in files[:: max(len(files) // _LOOKED_AT, 1)]:
        try:
            with Image.open(path) as image:
                sides.append(min(image.size))
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            continue  # `data check` tells which and why
    return tuple(sides)
