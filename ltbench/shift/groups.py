"""Many-, medium- and few-shot classes."""

from __future__ import annotations

import numpy as np

from ltbench.protocol.protocol import GroupsConfig
from ltbench.shift.profiles import Counts

GROUP_NAMES = ("many", "medium", "few")


def class_groups(counts: Counts, config: GroupsConfig) -> dict[str, list[int]]:
    """Class indices of each group by training count ``(C,)``.

    many: n > many_above; few: n < few_below; medium: the rest. A group may be empty.
    """
    many = counts > config.many_above
    few = counts < config.few_below
    return {
        "many": np.flatnonzero(many).tolist(),
        "medium": np.flatnonzero(~many & ~few).tolist(),
        "few": np.flatnonzero(few).tolist(),
    }
