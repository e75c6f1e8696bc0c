"""Records of a protocol folder, as dictionaries; what their bits say is counted again from the bits."""

from __future__ import annotations

import base64
import json
import math
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

GROUPS = ("many", "medium", "few", "all")
SHIFTS = ("forward", "uniform", "backward")
FAMILIES = ("dirichlet", "permuted")
CHECKED = ("top1", "macro", "per_class", "groups")


@dataclass
class Row:
    """A method with its strategy: ``seeds[seed]`` is the record."""

    label: str
    training: str
    seeds: dict[int, Any] = field(default_factory=dict)

    @property
    def first(self) -> Any:
        return next(iter(self.seeds.values()))

    @property
    def knows_prior(self) -> bool:
        return bool(self.first["uses_true_prior"])

    @property
    def experts(self) -> int:
        return int(self.first["model"]["experts"])

    def sets(self, name: str) -> dict[int, Any]:
        """By seed, where the record has the test set."""
        found = sorted((s, e["distributions"].get(name)) for s, e in self.seeds.items())
        return {seed: one for seed, one in found if one is not None}

    def draws(self, name: str, key: str) -> dict[int, float]:
        """By seed the mean over the draws of ``key``; a seed without it is absent.

        Null is "not measured", but for ``nll``, where it is infinite.
        """
        found = {}
        absent = math.inf if key == "nll" else None
        for seed, one in self.sets(name).items():
            known = [
                d[key] if d[key] is not None else absent for d in one["draws"].values() if key in d
            ]
            values = [v for v in known if v is not None]
            if values:
                found[seed] = sum(values) / len(values)
        return found


@dataclass
class Section:
    """Records that may stand in one table. ``labels`` ``(N,)``: classes of the uniform set's images."""

    variant: str
    rows: dict[str, Row]
    kinds: dict[str, tuple[str, float]]
    labels: np.ndarray

    @property
    def first(self) -> Any:
        return next(iter(self.rows.values())).first

    @property
    def shifts(self) -> list[str]:
        """Forward from the highest ratio down, uniform, backward up."""
        place = {"forward": 0, "uniform": 1, "backward": 2}
        found = [
            (place[kind], -ratio if kind == "forward" else ratio, name)
            for name, (kind, ratio) in self.kinds.items()
            if kind in SHIFTS
        ]
        return [name for _, _, name in sorted(found)]

    @property
    def families(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for name, (kind, _) in sorted(self.kinds.items()):
            if kind in FAMILIES:
                found.setdefault(name.rpartition("-")[0], []).append(name)
        return found

    @property
    def others(self) -> list[str]:
        return [n for n, (kind, _) in self.kinds.items() if kind not in (*SHIFTS, *FAMILIES)]

    def short(self, name: str) -> str:
        kind, ratio = self.kinds[name]
        return "U" if kind == "uniform" else f"{kind[0].upper()}{ratio:g}"


def read_folder(folder: Path) -> dict[str, Section]:
    """By variant. Every seed of a row has one record here, so that none is the later of two."""
    rows: dict[str, dict[str, Row]] = {}
    for path in sorted(folder.glob("*/*/evaluations/*.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        assert record["mode"] == "clean"
        own = rows.setdefault(record["protocol"]["variant"], {})
        row = own.setdefault(record["label"], Row(record["label"], path.parts[-4]))
        assert record["seed"] not in row.seeds, path
        row.seeds[record["seed"]] = record
    return {variant: _section(variant, dict(sorted(own.items()))) for variant, own in rows.items()}


def _section(variant: str, rows: dict[str, Row]) -> Section:
    kinds: dict[str, tuple[str, float]] = {}
    told = []
    for row in rows.values():
        for record in row.seeds.values():
            for name, one in record["distributions"].items():
                definition = one["definition"]
                assert "as_found" not in definition
                kinds[name] = (definition["kind"], definition.get("ratio") or 0.0)
                if definition["kind"] == "uniform" and "labels" in one:
                    told.append(classes(one["labels"], sum(definition["counts"])))
    labels = told[0]
    assert all(np.array_equal(labels, other) for other in told)
    return Section(variant, rows, kinds, labels)


def classes(text: str, n: int) -> np.ndarray:
    raw = zlib.decompress(base64.b64decode(text))
    return np.frombuffer(raw, dtype="<u1" if len(raw) == n else "<u2").astype(int)


def bits(one: Any) -> np.ndarray:
    """``(N,)`` of draw 0, 1 where the image is right: the first bit of a byte is its highest."""
    n = sum(one["definition"]["counts"])
    raw = np.frombuffer(base64.b64decode(one["correct"]), dtype=np.uint8).astype(int)
    found = (raw[:, None] // 2 ** np.arange(7, -1, -1) % 2).ravel()
    assert len(found) == 8 * -(-n // 8)
    assert not found[n:].any()
    return found[:n]


def image_classes(section: Section, one: Any) -> np.ndarray:
    """``(N,)`` of draw 0: drawn sets lie class by class, the uniform one in the order of the data."""
    if one["definition"]["kind"] == "uniform":
        return section.labels
    counts = one["definition"]["counts"]
    return np.repeat(np.arange(len(counts)), counts)


def recount(section: Section) -> list[tuple[str, float, float]]:
    """Replaces what draw 0 says by what its bits say; gives each (where, stored, counted again)."""
    compared: list[tuple[str, float, float]] = []
    for row in section.rows.values():
        for seed, record in row.seeds.items():
            for name, one in record["distributions"].items():
                draw = one["draws"]["0"]
                counted = scores(section, record, one)
                for key in CHECKED:
                    if key in draw:
                        where = f"{row.label} {seed} {name} {key}"
                        compared += _pairs(where, draw[key], counted[key])
                        draw[key] = counted[key]
    return compared


def scores(section: Section, record: Any, one: Any) -> dict[str, Any]:
    """Of draw 0, in per cent."""
    right, own = bits(one), image_classes(section, one)
    counts = one["definition"]["counts"]
    hits = np.bincount(own[right == 1], minlength=len(counts))
    recalls = [100.0 * k / n if n else None for k, n in zip(hits, counts, strict=True)]
    groups = {g: mean_recall([recalls[c] for c in record["groups"][g]]) for g in GROUPS[:3]}
    groups["all"] = 100.0 * right.sum() / len(right)
    return {
        "top1": 100.0 * right.sum() / len(right),
        "macro": mean_recall(recalls),
        "per_class": recalls,
        "groups": groups,
    }


def mean_recall(recalls: list[Any]) -> float | None:
    present = [r for r in recalls if r is not None]
    return sum(present) / len(present) if present else None


def _pairs(where: str, stored: Any, counted: Any) -> list[tuple[str, float, float]]:
    if isinstance(stored, dict):
        assert stored.keys() == counted.keys(), where
        return [x for key in stored for x in _pairs(f"{where} {key}", stored[key], counted[key])]
    if isinstance(stored, list):
        assert len(stored) == len(counted), where
        return [x for a, b in zip(stored, counted, strict=True) for x in _pairs(where, a, b)]
    assert (stored is None) == (counted is None), where
    return [] if stored is None else [(where, stored, counted)]
