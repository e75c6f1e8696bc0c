"""The protocol that ``ltbench new protocol --images`` or ``--table`` writes for a user's images."""

from __future__ import annotations

import json
import math
import statistics
from pathlib import Path

from ltbench.data.findings import shown
from ltbench.errors import InputError
from ltbench.files import path_from
from ltbench.protocol.protocol import GroupsConfig
from ltbench.scaffold.budget import Budget, choose_budget
from ltbench.scaffold.own_data import OwnData
from ltbench.shift.groups import class_groups

_LISTED = 12  # classes named with their counts; longer lists hide the rest of the file


def protocol_text(name: str, data: OwnData, home: Path) -> str:
    """TOML of a protocol ``name`` for ``data`` in the folder ``home``; runs as it is."""
    size = data.image_size
    budget = choose_budget(int(data.train.sum()), len(data.classes), size)
    parts = (
        _head(name, data), _data(data, home, size), _train(data), _groups(data), _test(data),
        _recipe(budget, size),
    )  # fmt: skip
    return "\n".join(parts)


def _head(name: str, data: OwnData) -> str:
    lines = [f"# {int(data.train.sum()):,} training and {int(data.test.sum()):,} test images."]
    order = (-data.train).argsort(kind="stable")
    lines += [
        f"#   {shown(data.classes[c])}: {data.train[c]:,} training, {data.test[c]:,} test"
        for c in order[:_LISTED]
    ]
    if len(order) > _LISTED:
        rest = data.train[order[_LISTED:]]
        lines.append(
            f"#   and {len(rest):,} more classes of {rest.min():,} to {rest.max():,} training images"
        )
    title = name.replace("-", " ").replace("_", " ").capitalize()
    return "\n".join(
        (
            *lines,
            "",
            f"name = {_text(name)}",
            'version = "1.0"          # raise it when its rules or images change',
            f"title = {_text(title)}",
            "seeds = [0, 1, 2]        # trainings of each method: intervals need more than one",
            "",
        )
    )


def _data(data: OwnData, home: Path, size: int) -> str:
    sides = data.sides
    seen = (
        f"found: {min(sides)} to {max(sides)}, median {statistics.median(sides):g}" if sides else ""
    )
    return f"""[data]
source = "{data.source}"
path = {_text(path_from(data.path, home))}
classes = {len(data.classes)}
image_size = {size}  # short side resized to this, centre cut out ({seen}); costs its square
{_options(data)}"""


def _options(data: OwnData) -> str:
    if not data.options:
        return ""
    lines = [f"{key} = {_text(value)}" for key, value in data.options.items()]
    return "\n".join(("", "[data.options]           # columns of the table", *lines, ""))


def _train(data: OwnData) -> str:
    ratio = data.train.max() / data.train.min()
    nearly = " (nearly balanced)" if ratio < 2 else ""
    return f"""[train]
profile = "all"          # the images as they are: largest over smallest class {ratio:.3g}{nearly}
# profile = "exponential"  # or a long-tailed subset, the largest class being its head
# imbalance = 50
# class_order = "size"
{_holdout(data)}"""


def _holdout(data: OwnData) -> str:
    use = "for calibrated strategies and `ltbench tune`"
    if data.validation:
        return f'holdout = "val"          # {data.validation:,} validation images, {use}\n'
    return f"# holdout = 0.1          # share held out: {use}\n"


def _groups(data: OwnData) -> str:
    groups = data.groups
    usual = groups == GroupsConfig()
    why = "usual" if usual else "thirds of the classes: the usual 100 and 20 leave a group empty"
    members = class_groups(data.train, groups)
    told = ", ".join(f"{len(found)} {name}" for name, found in members.items())
    return f"""[groups]                 # {why}; here {told}
many_above = {groups.many_above}
few_below = {groups.few_below}
"""


def _test(data: OwnData) -> str:
    ratios = data.ratios
    last = f"more than {ratios[-1]} would" if ratios else "2 would"
    limit = "" if ratios and ratios[-1] == 100 else f"; {last} leave a class without images"
    order = (-data.train).argsort(kind="stable")
    mix = "{ " + ", ".join(f"{_text(data.classes[c])} = {data.train[c]}" for c in order) + " }"
    if len(order) > _LISTED:
        mix = '"expected.csv"  # lines class,share'
    as_trained = "" if len(order) > _LISTED else "; here as in training"
    return f"""[test]
ratios = {list(ratios)}  # imbalance of the forward and backward test sets{limit}
size = "largest"         # as many images as every class can give its share of
draws = 10
# [test.mixes]           # shares or counts that you expect, a test set for what adapts{as_trained}
# expected = {mix}
"""


def _recipe(budget: Budget, size: int) -> str:
    one, three = (_duration(budget.seconds[experts]) for experts in (1, 3))
    return f"""[recipe]                 # estimated on {budget.device}: {one} for ce, {three} for sade, a seed
epochs = {budget.epochs}
batch_size = {budget.batch_size}
lr = {budget.lr:g}
weight_decay = 5e-4
crop_padding = {max(size // 8, 1)}
flip = true              # false where left and right matter: text, numbers, anatomy

[views]                  # for strategies that compare two views of an image
crop_padding = {max(size // 8, 1)}
"""


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(math.ceil(seconds / 10) * 10, 10)} s"
    return f"{round(seconds / 60):,} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _text(value: str) -> str:
    """A TOML string. Raises :class:`InputError` for bytes that are no UTF-8, which TOML cannot hold."""
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InputError(
            f"{shown(value)} is not UTF-8, which a protocol must be; rename it"
        ) from None
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
