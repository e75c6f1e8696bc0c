"""Published figures from ``quoted.toml``: data with sources, checked when read."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.resources import files
from typing import Any

from ltbench.report.published.recipe import NOT_STATED

_DIGEST = "model.pretrained.sha256="
CIFAR = "CIFAR-100-LT"
"""The data set of a source that names none."""


@dataclass(frozen=True)
class Quoted:
    """One published row: accuracies in per cent by the name of the test distribution.

    label: the row that it is comparable with. protocol: the one of the same epochs, network and kind
    of augmentation (weak or strong), empty where there is none; other_protocols: where it is quoted
    without a gap; other_budget: whether it is met in one of these. mark: read in a repository of the
    method or of the suite that ran it (V), in that of a third party that ran or wrote it anew (R), on
    a page of the paper (P).
    """

    key: str
    mark: str
    protocol: str
    other_protocols: tuple[str, ...]
    variant: str
    data: str
    """The data set, as its users call it."""
    imbalance: int | None
    """Of a training set that is drawn; None where all images train."""
    epochs: int | None
    augmentation: str
    width: str
    selection: str
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

    @property
    def method(self) -> str:
        """The name of the method that ``label`` is a row of."""
        return self.label.partition("+")[0].partition("[")[0]

    @property
    def obtained(self) -> dict[str, object]:
        """How, by the words of :mod:`ltbench.report.published.recipe`; epochs None where not stated."""
        return {
            "epochs": self.epochs,
            "augmentation": self.augmentation,
            "width": self.width,
            "selection": self.selection,
        }

    @property
    def recipe(self) -> str:
        """The same as one text: ``"200 epochs; crop, flip; one network; last epoch"``."""
        epochs = f"{self.epochs} epochs" if self.epochs else f"epochs {NOT_STATED}"
        chosen = f"epoch {NOT_STATED}" if self.selection == NOT_STATED else self.selection
        drawn = self.augmentation
        drawn = f"augmentation {NOT_STATED}" if drawn == NOT_STATED else drawn
        return "; ".join((epochs, drawn, self.width, chosen))


@lru_cache(maxsize=1)
def _sources() -> tuple[dict[str, Any], ...]:
    text = files("ltbench.report.published").joinpath("quoted.toml").read_text(encoding="utf-8")
    return tuple(tomllib.loads(text)["source"])


@lru_cache(maxsize=1)
def all_quoted() -> tuple[Quoted, ...]:
    """Every published row, in the order of the file."""
    return tuple(_row(source, *item) for source in _sources() for item in source["rows"].items())


def quoted_rows(protocol: str, variant: str) -> list[Quoted]:
    """The published rows of a protocol, or of one of another budget or kind of augmentation."""
    # Whoever states the digest of weights that a protocol asks for does not depart from it.
    stated = ";".join(p for p in variant.split(";") if not p.startswith(_DIGEST))
    return [
        replace(row, other_budget=row.protocol != protocol)
        for row in all_quoted()
        if row.variant == stated and protocol in (row.protocol, *row.other_protocols)
    ]


def _row(source: Mapping[str, Any], name: str, row: Mapping[str, Any]) -> Quoted:
    def either(key: str, default: object = "") -> Any:
        return row.get(key, source.get(key, default))

    return Quoted(
        key=str(source["key"]),
        mark=str(source["mark"]),
        protocol=str(source.get("protocol", "")),
        other_protocols=tuple(source.get("other_budget", ())),
        variant=str(source.get("variant", "")),
        data=str(source.get("data", CIFAR)),
        imbalance=source.get("imbalance"),
        epochs=either("epochs", None),
        augmentation=str(either("augmentation")),
        width=str(either("width")),
        selection=str(either("selection")),
        citation=str(source["citation"]),
        url=str(source["url"]),
        note=str(source["note"]),
        label=str(row.get("row", name)),
        title=str(row["title"]),
        scores={n: float(v) for n, v in row.items() if isinstance(v, float)},
        other_budget=False,
        **_both(source, row),
    )


def _both(source: Mapping[str, Any], row: Mapping[str, Any]) -> dict[str, Any]:
    """What the source tells of all its rows, and what it tells of this one besides."""
    return {
        "runs": row.get("runs", source.get("runs")),
        "draws": source.get("draws"),
        "settings": {**source.get("settings", {}), **row.get("settings", {})},
        "settings_source": str(row.get("settings_source", source.get("settings_source", ""))),
        **{
            name: (*row.get(name, ()), *source.get(name, ()))
            for name in ("differs", "differs_shifted")
        },
    }


def published_epochs(protocol: str) -> int | None:
    """The longest budget stated by a source of published figures for this protocol; where there is
    none, for the one of which it differs in budget only; None where none is."""

    def longest(named: str) -> int | None:
        found = [row.epochs for row in all_quoted() if row.protocol == named and row.epochs]
        return max(found, default=None)

    own = longest(protocol)
    if own is not None:
        return own
    others = {row.protocol for row in all_quoted() if protocol in row.other_protocols} - {""}
    return max(filter(None, map(longest, sorted(others))), default=None)
