"""The ``[train]`` table of a file that builds on another's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# What each profile reads of what others read.
_READ = {
    "exponential": ("imbalance", "max_count", "class_order"),
    "step": ("imbalance", "max_count", "class_order"),
    "pareto": ("imbalance", "max_count", "class_order", "power"),
    "counts": ("counts",),
    "all": (),
}


def adopt_profile(base: dict[str, Any], change: Mapping[str, Any]) -> None:
    """Takes out of the table ``base`` what the profile that ``change`` asks for does not read.

    So ``profile = "all"`` in a file that extends another need not undo the other's imbalance, which
    TOML could not. ``counts`` alone asks for the profile ``counts``. What ``change`` itself states is
    not touched: there a setting that means nothing is an error.
    """
    if "profile" in change:
        profile = change["profile"]
    elif change.get("counts"):
        profile = base["profile"] = "counts"
    else:
        return
    if profile not in _READ:
        return  # told when the table is read
    for key in ("imbalance", "max_count", "class_order", "power", "counts"):
        if key not in _READ[profile]:
            base.pop(key, None)
