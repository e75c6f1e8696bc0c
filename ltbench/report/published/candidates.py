"""What may lie behind a gap to a published figure: facts that differ, said as candidates only."""

from __future__ import annotations

import json
from collections.abc import Sequence

from ltbench.report.published.quoted import Quoted
from ltbench.report.published.recipe import LAST, augmentation, differences
from ltbench.report.rows.rows import Row
from ltbench.report.rows.summary import SMALLEST_N

FAR = 1.0
"""Points from which on a gap is worth a footnote: more than a draw or a seed moves most cells."""


def candidates(quoted: Quoted, row: Row, *, shifted: bool, draws: str) -> list[str]:
    """What is known to differ between a published row and the measured one, settings first.

    shifted: whether a shifted test set is among what is far apart; draws: how many are averaged where
    their mean is far from a single published draw, else empty. Settings are those of the records.
    """
    found = []
    for key, there in quoted.settings.items():
        here = _resolved(row, key)
        if here is not None and here != there:
            found.append(f"{key} {_shown(there)} there, {_shown(here)} here")
    if found:
        found[-1] += f" ({quoted.settings_source})"
    found += _obtained(quoted, row)
    found += quoted.differs
    found += quoted.differs_shifted if shifted else ()
    if draws and quoted.draws == 1:
        found.append(f"one draw per shifted test set there, the mean of {draws} here")
    seeds = len(row.seeds)
    here_text = f"{seeds} seed{'' if seeds == 1 else 's'} here"
    if quoted.runs == 1:
        found.append(f"one run there, {here_text}")
    elif seeds < SMALLEST_N:
        found.append(here_text)
    return found


def _obtained(quoted: Quoted, row: Row) -> list[str]:
    """Augmentation and choice of the epoch, where the source and the records tell them."""
    here: dict[str, object] = {"selection": LAST}
    recipe = json.loads(row.recipe or "{}")
    if isinstance(recipe, dict) and "crop_padding" in recipe:
        here["augmentation"] = augmentation(recipe)
    return differences(quoted.obtained, here)


def _resolved(row: Row, key: str) -> object:
    """``recipe.gamma`` from the recipe, a bare name from the hyper-parameters; None if untold."""
    section, _, name = key.rpartition(".")
    text = row.recipe if section == "recipe" else row.training.hyper
    known = json.loads(text or "{}")
    if not isinstance(known, dict):
        return None
    return known.get(name)


def _shown(value: object) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(_shown(part) for part in value)
    return f"{value:g}" if isinstance(value, float) else str(value)
