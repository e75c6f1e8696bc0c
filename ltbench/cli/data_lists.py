"""What ``ltbench data check`` says of source "lists" beyond what it says of every source."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ltbench.data.dataset import Splits
from ltbench.data.findings import Findings
from ltbench.data.list_check import group_lines, published_lines, sample, which
from ltbench.protocol.protocol import LISTS, DataConfig, Protocol
from ltbench.shift.groups import class_groups


def check_lists(
    protocol: Protocol, config: DataConfig, splits: Splits, data_dir: Path | None
) -> list[str]:
    """Which lists they are, classes by group, images opened; none for other sources.

    Raises :class:`ltbench.data.findings.DataProblems` where a sampled image cannot be opened.
    """
    if config.source != LISTS:
        return []
    findings = Findings()
    counts = np.bincount(splits.train.labels, minlength=len(splits.train.class_names))
    groups = class_groups(counts, protocol.groups)
    lines = ["lists:", *which(config, data_dir), "groups, of all training images:"]
    if protocol.test.published and splits.files is not None:
        lines[-1:-1] = ["published test sets:", *published_lines(protocol, splits.files.root)]
    lines += [*group_lines(counts, groups), "images opened:", *sample(splits, findings)]
    findings.refuse()
    return lines
