"""Outputs in a model's own class order, put into that of a protocol."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ltbench.data.dataset import Labels
from ltbench.errors import InputError, nearest
from ltbench.evaluate.outputs import HoldOut
from ltbench.imported.class_names import Names, normal
from ltbench.imported.outputs import ModelOutputs

_SHOWN = 3


def in_order_of(
    outputs: ModelOutputs, theirs: Names, labels: Labels, protocol: str
) -> tuple[ModelOutputs, tuple[str, ...]]:
    """``outputs`` with the classes in the order of ``theirs``, and what was done, a line each.

    labels: the protocol's test labels. Whole-number labels may be told in either order: in the model's
    own if they then are the protocol's, else in the protocol's. Where the names of the model's classes
    are not known nothing is done. Raises :class:`InputError` where the classes are others.
    """
    if outputs.names is None:
        return outputs, ()
    order = column_order(outputs.names, theirs, protocol)
    if order == list(range(len(order))):
        return replace(outputs, names=None), ()
    moved = outputs.with_columns(order)
    as_told = ""
    numbers = outputs.labels.numpy()
    if (
        not outputs.labels_named
        and np.array_equal(numbers, labels)
        and not np.array_equal(moved.labels.numpy(), labels)
    ):
        held = outputs.holdout
        if held is not None and moved.holdout is not None and not outputs.holdout_named:
            moved = replace(moved, holdout=HoldOut(moved.holdout.logits, held.labels))
        moved = replace(moved, labels=outputs.labels)
        as_told = "; labels are in that order as they stand"
    changed = [c for c, column in enumerate(order) if c != column]
    first = ", ".join(f"{theirs[c]!r} from {order[c]} to {c}" for c in changed[:_SHOWN])
    more = f" and {len(changed) - _SHOWN} more" if len(changed) > _SHOWN else ""
    return replace(moved, names=None), (
        f"the model's classes are in another order than those of {protocol}: columns were moved, "
        f"{first}{more}{as_told}",
    )


def column_order(own: Names, theirs: Names, protocol: str) -> list[int]:
    """For each class of ``theirs`` its place in ``own``. Raises :class:`InputError`."""
    wanted = tuple(map(normal, theirs))
    unknown = [name for name in own if name not in wanted]
    missing = [name for name in wanted if name not in own]
    if unknown or missing:
        what = f"the model's class {unknown[0]!r} is none of {protocol}" if unknown else ""
        if not unknown:
            what = f"{protocol} has the class {missing[0]!r}, the model has none of that name"
        raise InputError(f"{what}{nearest(unknown[0], wanted) if unknown else ''}")
    return [own.index(name) for name in wanted]
