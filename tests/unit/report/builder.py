"""Makes synthetic result folders whose numbers are known beforehand."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ltbench.trial.class_arrays import ClassArrays, arrays_path, canonical, write_arrays

RATIOS = (10, 2)
Score = Callable[[str, int, int], float]  # (distribution, seed, draw) -> top-1 in per cent


def flat(value: float) -> Score:
    return lambda distribution, seed, draw: value


def write(path: Path, value: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def short_hash(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]


class Results:
    """A results folder for one protocol; every ``add`` writes a trial and its evaluation."""

    def __init__(
        self,
        root: Path,
        *,
        protocol: str = "toy-lt",
        version: str = "1.0",
        variant: str = "",
        counts: Sequence[int] = (100, 50, 20, 5),
        groups: Mapping[str, Sequence[int]] | None = None,
        ratios: Sequence[float] = RATIOS,
        draws: int = 2,
        parts: bool = True,
        precision: str = "float32",
        data: str = "aaaaaa",
        test_data: str = "bbbbbb",
        images: int = 0,
        encoder: Mapping[str, str] | None = None,
        made_of: str = "",
    ) -> None:
        """``images`` of every class in the uniform set: then records tell counts and correct bits.

        encoder: pre-trained, of frozen features that were made of the training images ``made_of``.
        """
        self.root = root
        self.counts = list(counts)
        self.groups = groups or {"many": [0, 1], "medium": [2], "few": [3]}
        self.ratios, self.draws, self.parts = ratios, draws, parts
        self.precision, self.data, self.test_data = precision, data, test_data
        self.images = images
        self.frozen = {
            **({"encoder": dict(encoder)} if encoder else {}),
            **({"images_fingerprint": made_of} if made_of else {}),
        }
        self.protocol = {
            "name": protocol,
            "version": version,
            "title": protocol.upper(),
            "variant": variant,
        }

    def trial_folder(
        self, training: str, seed: int, hyper: Mapping[str, Any] | None = None
    ) -> Path:
        name = short_hash(
            training, seed, hyper, self.protocol, self.precision, self.data, *self.frozen
        )
        return self.root / str(self.protocol["name"]) / training / f"{seed}-{name}"

    def add_trial(
        self, training: str, seed: int, experts: int = 1, hyper: Mapping[str, Any] | None = None
    ) -> Path:
        folder = self.trial_folder(training, seed, hyper)
        write(
            folder / "trial.json",
            {
                "schema": 1,
                "status": "finished",
                "trial": folder.name.split("-")[1],
                "protocol": self.protocol,
                "training": {
                    "name": training,
                    "hyper": dict(hyper or {}),
                    "version": 1,
                    "origin": "ltbench",
                },
                "seed": seed,
                "data": self._data() | self.frozen,
                "recipe": {"epochs": 3},
                "precision": self.precision,
                "model": self._model(experts),
                "cost": {
                    "seconds": {"data": 0.1, "training": 10.0 * experts, "inference": 0.5},
                    "images_per_second": 1000.0 / experts,
                    "epochs": 3,
                },
                "environment": {"device": "cpu", "torch": "2.6.0", "ltbench": "0.1.0"},
                "preemptions": 0,
                "created": "2025-01-01T00:00:00+00:00",
            },
        )
        return folder

    def fail(
        self,
        training: str,
        seed: int,
        status: str = "diverged",
        hyper: Mapping[str, Any] | None = None,
    ) -> Path:
        folder = self.trial_folder(training, seed, hyper)
        return write(
            folder / "failed.json",
            {
                "schema": 1,
                "status": status,
                "trial": folder.name.split("-")[1],
                "protocol": self.protocol,
                "training": {"name": training, "hyper": dict(hyper or {})},
                "seed": seed,
                "error": "the loss is NaN",
                "log": "log.txt",
                "epoch": 2,
                "step": 7,
            },
        )

    def add(
        self,
        method: str,
        seed: int,
        score: Score,
        *,
        strategy: str = "none",
        label: str | None = None,
        training: str | None = None,
        experts: int = 1,
        oracle: bool = False,
        weights: Callable[[str, int, int], list[float]] | None = None,
        recall: Callable[[int, int], float | None] | None = None,
        hyper: Mapping[str, Any] | None = None,
        prior: Callable[[str, int, int], list[float]] | None = None,
        agreement: Callable[[int, str], float | None] | None = None,
        **more: Any,
    ) -> Path:
        """``recall(class, seed)`` gives the uniform recalls; by default the uniform top-1."""
        folder = self.add_trial(training or method, seed, experts, hyper)
        uniform = score("uniform", seed, 0)
        recalls = [recall(c, seed) if recall else uniform for c in range(len(self.counts))]
        distributions: dict[str, Any] = {}
        for name, definition, draws in self._distributions():
            distributions[name] = {
                "definition": definition,
                "draws": {
                    str(draw): {
                        "n": sum(definition.get("counts", [100])),
                        "top1": score(name, seed, draw),
                        "macro": score(name, seed, draw),
                        "nll": 1.0,
                        "ece": 5.0,
                        "expert_top1": [score(name, seed, draw) - e for e in range(experts)],
                        "expert_weights": weights(name, seed, draw) if weights else None,
                        "prior": prior(name, seed, draw) if prior else None,
                        "diagnostics": {},
                    }
                    for draw in range(draws)
                },
                "correct": self._correct(definition, score(name, seed, 0)),
            }
        distributions["uniform"]["draws"]["0"] |= {
            **self._recalls(recalls, uniform),
            "experts": [
                self._recalls(
                    [None if r is None else max(0.0, r - e) for r in recalls], uniform - e
                )
                for e in range(experts)
            ],
            "agreement": agreement
            and {
                "experts": [
                    {group: agreement(e, group) for group in (*self.groups, "all")}
                    for e in range(experts)
                ]
            },
        }
        record = {
            "schema": 1,
            "evaluation": short_hash(method, strategy, label, folder.name, more),
            "trial": folder.name.split("-")[1],
            "protocol": self.protocol,
            "seed": seed,
            "method": method,
            "method_params": "",
            "strategy": strategy,
            "strategy_params": "",
            "label": label or (method if strategy == "none" else f"{method}+{strategy}"),
            "title": method.upper(),
            "uses_true_prior": oracle,
            "mode": "clean",
            "data": {"train_fingerprint": self.data, "test_fingerprint": self.test_data},
            "recipe": {"epochs": 3},
            "precision": self.precision,
            "model": self._model(experts),
            "train_counts": self.counts,
            "rank": list(range(len(self.counts))),
            "class_names": [f"class {c}" for c in range(len(self.counts))],
            "groups": {name: list(members) for name, members in self.groups.items()},
            "seconds": 1.0,
            "distributions": distributions,
            **more,
        }
        row = f"row-{record['evaluation']}.json"
        return write(folder / "evaluations" / row, record)

    def _counts(self, definition: Mapping[str, Any]) -> list[int]:
        classes = len(self.counts)
        if definition["kind"] == "partial":
            return [self.images * (c in definition["classes"]) for c in range(classes)]
        places = range(classes) if definition["kind"] != "backward" else reversed(range(classes))
        ratio = definition.get("ratio", 1.0)
        return [max(1, int(self.images * ratio ** (-p / (classes - 1)))) for p in places]

    def _correct(self, definition: Mapping[str, Any], top1: float) -> str:
        """In every class the first images are right, about as many as ``top1`` says."""
        if not self.images:
            return ""
        bits = [k < round(n * top1 / 100) for n in definition["counts"] for k in range(n)]
        return base64.b64encode(np.packbits(bits).tobytes()).decode()

    def _distributions(self) -> list[tuple[str, dict[str, Any], int]]:
        found: list[tuple[str, dict[str, Any], int]] = [("uniform", {"kind": "uniform"}, 1)]
        for kind in ("backward", "forward"):
            for ratio in self.ratios:
                definition = {"kind": kind, "ratio": float(ratio)}
                found.append((f"{kind}{ratio:g}", definition, self.draws))
        if self.parts:
            found += [
                (f"{group}-only", {"kind": "partial", "classes": list(members)}, 1)
                for group, members in self.groups.items()
                if members
            ]
        if self.images:
            found = [(n, {**d, "counts": self._counts(d)}, k) for n, d, k in found]
        return found

    def _recalls(self, recalls: list[float | None], total: float) -> dict[str, Any]:
        groups: dict[str, float | None] = {}
        for name, members in self.groups.items():
            values = [recalls[c] for c in members if recalls[c] is not None]
            groups[name] = sum(v for v in values if v is not None) / len(values) if values else None
        return {"per_class": recalls, "groups": {**groups, "all": total}}

    def _data(self) -> dict[str, Any]:
        return {"train_fingerprint": self.data, "test_fingerprint": self.test_data}

    def _model(self, experts: int) -> dict[str, Any]:
        return {
            "backbone": "resnet8",
            "experts": experts,
            "head": "linear",
            "reduced": experts > 1,
            "parameters": 1000 * experts,
            **({"macs": 2_000_000 * experts} if self.images else {}),
        }


Arrays = tuple[NDArray[Any], NDArray[Any], NDArray[Any]]  # confusion, AUROC, average precision


def with_arrays(
    record: Path,
    found: Mapping[str, Arrays],
    *,
    draws: int | None = None,
    thresholds: Mapping[str, tuple[NDArray[Any], NDArray[Any]]] | None = None,
) -> None:
    """Puts the array file beside a record that :meth:`Results.add` wrote."""
    known = json.loads(record.read_text())["distributions"]
    arrays = {}
    for name, (confusion, auroc, precision) in found.items():
        more = (thresholds or {}).get(name, (None, None))
        number = len(known[name]["draws"]) if draws is None else draws
        definition = canonical(known[name]["definition"])
        arrays[name] = ClassArrays(definition, number, confusion, auroc, precision, *more)
    write_arrays(arrays_path(record), arrays)
