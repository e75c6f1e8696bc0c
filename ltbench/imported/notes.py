"""What a user should look at again after an import."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ltbench.evaluate.stored import known_distributions
from ltbench.imported.outputs import ModelOutputs
from ltbench.task import Task

_NAMED = 12
FAR_BELOW = 5.0
"""Points by which an oracle on one test set, and half of them on average, is too bad to be true."""


def second_looks(outputs: ModelOutputs, records: Mapping[str, Path]) -> Iterator[str]:
    """What was decided while reading, zeros that were replaced, and an oracle that does worse than
    no prior. records: by strategy."""
    yield from outputs.notes
    if outputs.floor is not None:
        yield (
            "the logits hold minus infinity, a probability of 0; each is read as the log-probability "
            f"{outputs.floor:.2f}, so that no class is impossible"
        )
    if "none" in records and "oracle" in records:
        worse = oracle_far_below(
            known_distributions(records["none"]), known_distributions(records["oracle"])
        )
        if worse is not None:
            yield worse


def class_order_told(task: Task) -> Iterator[str]:
    """Which class each column of the logits is taken for, where files elsewhere may have another order.

    A folder has no order of its own, and a subset has new labels; equal label arrays show neither.
    """
    data = task.protocol.data
    if data.source not in ("image-folder", "parquet") and not data.subset:
        return
    names = task.splits.test.class_names
    first = ", ".join(f"{i} = {name!r}" for i, name in enumerate(names[:_NAMED]))
    rest = f", ..., {len(names) - 1} = {names[-1]!r}" if len(names) > _NAMED else ""
    how = "as data.subset lists them" if data.subset else ""
    if data.source == "image-folder" and not how:
        by_value = names != tuple(sorted(names))
        how = "whole numbers by value, not sorted as text" if by_value else "sorted as text"
    yield (
        f"labels and logits are taken in the class order of {task.protocol.name}"
        f"{f' ({how})' if how else ''}: {first}{rest}; outputs in another order (torchvision's "
        "ImageFolder sorts as text) would be scored as other classes"
    )


def oracle_far_below(plain: Mapping[str, Any], oracle: Mapping[str, Any]) -> str | None:
    """A line where knowing the true test prior costs accuracy: ``distributions`` of both records."""
    losses = {
        name: _mean(plain[name]) - _mean(oracle[name])
        for name in plain
        if name in oracle and plain[name]["definition"]["kind"] != "partial"
    }
    if not losses:
        return None
    worst = max(losses, key=lambda name: losses[name])
    average = math.fsum(losses.values()) / len(losses)
    if average <= FAR_BELOW / 2 or losses[worst] <= FAR_BELOW:
        return None
    return (
        f"with the true test prior accuracy is {losses[worst]:.1f} points lower on {worst} and "
        f"{average:.1f} on average; check that --logits are logits (no probabilities, no temperature) "
        "and that softmax(logits + bias) is the posterior under the training prior"
    )


def _mean(entry: Mapping[str, Any]) -> float:
    draws = entry["draws"].values()
    return math.fsum(draw["top1"] for draw in draws) / len(draws)
