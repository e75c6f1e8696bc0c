"""Published figures from ``quoted.toml``: data with sources, checked when read."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any


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
    runs: int | None
    draws: int | None
    """Runs and draws that are averaged; None where the source does not say."""
    settings: Mapping[str, object]
    """Settings of its configuration, ``recipe.gamma`` or the bare name of a hyper-parameter."""
    settings_source: str
    differs: tuple[str, ...]
    differs_shifted: tuple[str, ...]
    """What else is known to differ from here; the second on shifted test sets only."""


@lru_cache(maxsize=1)
def _sources() -> tuple[dict[str, Any], ...]:
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
            told = _both(source, row)
            found.append(
                Quoted(
                    key=str(source["key"]),
                    citation=str(source["citation"]),
                    url=str(source["url"]),
                    note=str(source["note"]),
                    label=label,
                    title=str(row["title"]),
                    scores={n: float(v) for n, v in row.items() if isinstance(v, float)},
                    other_budget=source["protocol"] != protocol,
                    **told,
                )
            )
    return found


def _both(source: Mapping[str, Any], row: Mapping[str, Any]) -> dict[str, Any]:
    """What the source tells of all its rows, and what it tells of this one besides."""
    return {
        "runs": source.get("runs"),
        "draws": source.get("draws"),
        "settings": {**source.get("settings", {}), **row.get("settings", {})},
        "settings_source": str(row.get("settings_source", source.get("settings_source", ""))),
        **{
            name: (*row.get(name, ()), *source.get(name, ()))
            for name in ("differs", "differs_shifted")
        },
    }


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
