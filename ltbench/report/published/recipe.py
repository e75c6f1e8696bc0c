"""How a published figure was obtained, in the words in which a recipe of ours can be said too."""

from __future__ import annotations

from collections.abc import Mapping

NOT_STATED = "not stated"
LAST = "last epoch"
BEST = "best epoch on the test set"
SELECTIONS = (LAST, BEST, NOT_STATED)


def augmentation(recipe: Mapping[str, object]) -> str:
    """``"crop, flip, rotation 15, autoaugment, cutout"``: of a recipe's settings, by their names."""
    found = []
    if recipe.get("crop") == "resized":
        found.append("resized crop")
    if recipe.get("crop_padding"):
        found.append("crop")
    if recipe.get("flip"):
        found.append("flip")
    if recipe.get("jitter"):
        found.append("jitter")
    if recipe.get("rotation"):
        found.append(f"rotation {recipe['rotation']:g}")
    strong = str(recipe.get("augment") or "")
    found += strong.split("+") if strong else []
    return ", ".join(found) or "none"


def width(experts: int, reduced: bool) -> str:
    """``"one network"``, ``"3 experts of full width"`` or ``"... of reduced width"``."""
    if experts == 1:
        return "one network of reduced width" if reduced else "one network"
    return f"{experts} experts of {'reduced' if reduced else 'full'} width"


_NAMES = {"selection": "epoch that counts"}


def differences(there: Mapping[str, object], here: Mapping[str, object]) -> list[str]:
    """What differs of the same keys, ``"epochs: 400 there, 200 here"``; what is not stated is not told."""
    return [
        f"{_NAMES.get(key, key)}: {there[key]} there, {here[key]} here"
        for key in there
        if there[key] not in (None, NOT_STATED) and key in here and there[key] != here[key]
    ]
