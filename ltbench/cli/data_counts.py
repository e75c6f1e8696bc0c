"""What ``ltbench data check`` says of numbers: images of each class and of each test set."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ltbench.data.dataset import Splits
from ltbench.data.findings import shown
from ltbench.errors import InputError
from ltbench.protocol.protocol import Protocol
from ltbench.task import Task, build_task

MOST_CLASSES = 50  # longer lists are read by no one


def count_lines(protocol: Protocol, splits: Splits) -> Iterator[str]:
    """Images per class (found, and trained on), then those of one draw of each test set."""
    try:
        task = build_task(protocol, splits)
    except InputError as error:
        yield from _classes(splits, None)
        yield f"warning: these images do not give what the protocol asks for: {error}"
        return
    yield from _classes(splits, task)
    yield "images of one draw of each test set, and of its classes (smallest to largest):"
    for test_set in task.test_sets:
        labels = splits.test.labels
        chosen = labels[test_set.indices(labels, 0)]
        counts = np.bincount(chosen, minlength=1)
        present = counts[counts > 0]
        span = f"{present.min():,} to {present.max():,}" if len(present) else "none"
        yield f"  {test_set.name}: {len(chosen):,} ({len(present)} classes, {span})"


def _classes(splits: Splits, task: Task | None) -> Iterator[str]:
    names = splits.train.class_names
    found = np.bincount(splits.train.labels, minlength=len(names))
    test = np.bincount(splits.test.labels, minlength=len(names))
    used = found if task is None else task.train.counts
    order = np.argsort(-found, kind="stable")
    yield "images of each class, train and test:"
    for label in order[:MOST_CLASSES]:
        of = f" ({used[label]:,} used)" if used[label] != found[label] else ""
        yield f"  {shown(names[label])}: {found[label]:,}{of}, {test[label]:,}"
    if len(names) > MOST_CLASSES:
        rest = found[order[MOST_CLASSES:]]
        yield (
            f"  and {len(rest):,} more classes of {rest.min():,} to {rest.max():,} training images"
        )
