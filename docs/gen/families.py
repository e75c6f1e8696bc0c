"""What each shipped method needs, costs and carries, as tables; and the list of methods in README.md.

python docs/gen/families.py      # writes the list in README.md anew
"""

from __future__ import annotations

import inspect
import re
from itertools import groupby
from pathlib import Path
from typing import Any

from registry_page import shipped
from settings_table import table

from ltbench.contract.facts import carried_powers, facts, family_place, prior_kind
from ltbench.registry import Plugin, load_registries

README = Path(__file__).resolve().parents[2] / "README.md"
LIST = "list of methods"
_BLOCK = re.compile(rf"(<!-- made: {LIST} -->\n).*?(<!-- end -->)", re.DOTALL)
_PRIORS = {
    "exact": "known exactly",
    "posterior": "no bias; the posterior is known",
    "reference": "fitted on a hold-out, from a reference",
    "none": "fitted on a hold-out, from nothing",
}


def by_family() -> list[Plugin[Any]]:
    plugins = shipped(load_registries().methods)
    return sorted(plugins, key=lambda plugin: (*family_place(plugin), plugin.name))


def linked(plugin: Plugin[Any]) -> str:
    return f"[`{plugin.name}`](#method-{plugin.name})"


def needs_table() -> str:
    registries = load_registries()
    rows = []
    for plugin in by_family():
        found = facts(plugin.name, registries)
        with_parent = f"{found.with_parent:.2f}" if found.parent else ""
        cells = (linked(plugin), str(plugin.cls.family), str(found.experts), found.needs)
        rows.append((*cells, f"{found.cost:.2f}", with_parent))
    heads = ("method", "family", "experts", "needs", "cost", "cost with what is trained first")
    return table(heads, rows)


def priors_table() -> str:
    registries = load_registries()
    rows = []
    for plugin in by_family():
        powers = carried_powers(plugin.name, registries)
        told = ", ".join(f"{round(power, 1) + 0.0:g}" for power in powers or ())
        rows.append((linked(plugin), _PRIORS[prior_kind(plugin.name, registries)], told))
    return table(("method", "prior of the logits", "k of pi^k, expert by expert"), rows)


def readme_list() -> str:
    """By family: the idea is the first line of each method's file."""
    lines = ["| family | method | idea | at test time |", "|---|---|---|---|"]
    for (_, family), group in groupby(by_family(), key=family_place):
        for i, plugin in enumerate(group):
            cls = plugin.cls
            idea = (inspect.getdoc(inspect.getmodule(cls)) or "").partition("\n")[0].rstrip(".")
            own = "" if cls.strategy == "none" else f"`{cls.strategy}`"
            lines.append(f"| {family if i == 0 else ''} | `{plugin.name}` | {idea} | {own} |")
    return "\n".join(lines) + "\n"


def with_list(text: str) -> str:
    """``text`` of README.md with the list as it is now. Raises ValueError where it has no place."""
    changed, found = _BLOCK.subn(lambda match: match[1] + readme_list() + match[2], text)
    if found != 1:
        raise ValueError(f"README.md must have one block <!-- made: {LIST} --> ... <!-- end -->")
    return changed


if __name__ == "__main__":
    README.write_text(with_list(README.read_text(encoding="utf-8")), encoding="utf-8")
