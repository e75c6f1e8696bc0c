"""Published figures from ``quoted.toml``: data with sources, checked when read."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files


@dataclass(frozen=True)
class Quoted:
    """One published row: accuracies in per cent by the name of the test distribution."""

    key: str
    citation: str
    url: str
    note: str
    label: str
    title: str
    scores: Mapping[str, float]
    other_budget: bool


@lru_cache(maxsize=1)
def _sources() -> tuple[dict[str, object], ...]:
    text = files("ltbench.report.published").joinpath("quoted.toml").read_text(encoding="utf-8")
    return tuple(tomllib.loads(text)["source"])


def quoted_rows(protocol: str, variant: str) -> list[Quoted]:
    """The published rows of a protocol as it stands, or of one that differs in budget only."""
    if variant:
        return []
    found: list[Quoted] = []
    for source in _sources():
        others = source.get("other_budget", [])
        assert isinstance(others, list)
        if source["protocol"] != protocol and protocol not in others:
            continue
        rows = source["rows"]
        assert isinstance(rows, dict)
        for label, row in rows.items():
            found.append(
                Quoted(
                    key=str(source["key"]),
                    citation=str(source["citation"]),
                    url=str(source["url"]),
                    note=str(source["note"]),
                    label=label,
                    title=str(row["title"]),
                    scores={name: float(v) for name, v in row.items() if name != "title"},
                    other_budget=source["protocol"] != protocol,
                )
            )
    return found


def published_epochs(protocol: str) -> int | None:
    """The longest budget stated by a source of published figures for this protocol, or for the one
    of which it differs in budget only; None where none is."""
    found = []
    for source in _sources():
        others = source.get("other_budget", [])
        assert isinstance(others, list)
        epochs = source.get("epochs")
        if (source["protocol"] == protocol or protocol in others) and isinstance(epochs, int):
            found.append(epochs)
    return max(found, default=None)
