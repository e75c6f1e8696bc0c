"""Imports that lie in a results folder, read again as members of an ensemble."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ltbench.contract.gate import IMPORTED
from ltbench.errors import InputError, LtbenchError
from ltbench.evaluate.outputs import HoldOut
from ltbench.execute.context import load_tensors
from ltbench.imported.outputs import ModelOutputs
from ltbench.trial import store


@dataclass(frozen=True, eq=False)
class Scored:
    """What members of one ensemble have in common. who: how messages call the owner."""

    who: str
    labels: Tensor
    class_names: Sequence[str]
    counts: Sequence[int]
    fingerprints: tuple[str, str]

    def difference(self, other: Scored) -> str:
        """A line on the first thing in which ``self`` is not as ``other``; empty where nothing is."""
        if len(self.class_names) != len(other.class_names):
            return (
                f"it has {len(self.class_names)} classes, {other.who} has {len(other.class_names)}"
            )
        if len(self.labels) != len(other.labels):
            return f"it has {len(self.labels)} test images, {other.who} has {len(other.labels)}"
        differing = (self.labels != other.labels).nonzero()[:, 0].tolist()
        if differing:
            i = differing[0]
            return (
                f"its test image {i} has label {int(self.labels[i])}, that of {other.who} "
                f"{int(other.labels[i])} ({len(differing)} of {len(self.labels)} differ)"
            )
        for c, (mine, theirs) in enumerate(zip(self.class_names, other.class_names, strict=True)):
            if mine != theirs:
                return f"its class {c} is {mine!r}, that of {other.who} {theirs!r}"
        for c, (own, there) in enumerate(zip(self.counts, other.counts, strict=True)):
            if own != there:
                return f"its class {c} has {own} training images, that of {other.who} {there}"
        if self.fingerprints != other.fingerprints:
            return f"its images are others than those of {other.who} (data fingerprints)"
        return ""


@dataclass(frozen=True, eq=False)
class StoredImport:
    """An import of one seed in its folder. record: its ``trial.json``."""

    folder: Path
    record: dict[str, Any]

    @property
    def name(self) -> str:
        return str(self.record["training"]["name"])

    @property
    def seed(self) -> int:
        return int(self.record["seed"])

    @property
    def told(self) -> str:
        return f"{self.name} seed {self.seed}"

    @property
    def title(self) -> str:
        return str(self.record["imported"].get("title") or self.name)

    @cached_property
    def outputs(self) -> ModelOutputs:
        """The arrays, whole and those that the record names by their digests, whoever writes there
        meanwhile. Raises :class:`InputError` where they are not."""
        path = self.folder / store.LOGITS
        try:
            arrays = {key: tensor.clone() for key, tensor in load_tensors(path).items()}
            read = ModelOutputs(
                logits=arrays["logits"],
                labels=arrays["labels"],
                counts=torch.tensor(self.record["data"]["train_counts"]),
                bias=arrays.get("bias"),
                floor=self.record["imported"].get("log_of_zero"),
                holdout=_holdout(arrays),
                views=arrays.get("views"),
            )
        except (LtbenchError, OSError, KeyError) as error:
            raise InputError(f"{self.told} cannot be a member: {error}") from None
        digests, named = read.digests(), self.record["imported"]["arrays"]
        for key in ("logits", "labels", "bias", "holdout_logits", "holdout_labels", "view_logits"):
            if digests.get(key) != named.get(key):
                raise InputError(
                    f"{self.told} cannot be a member: the {key} in {path} are not those that "
                    f"{store.TRIAL} names; remove that folder and import it again"
                )
        return read

    @cached_property
    def scored(self) -> Scored:
        data = self.record["data"]
        return Scored(
            self.told,
            self.outputs.labels,
            data["class_names"],
            data["train_counts"],
            (data["train_fingerprint"], data["test_fingerprint"]),
        )


def _holdout(arrays: Mapping[str, Tensor]) -> HoldOut | None:
    if "holdout" not in arrays:
        return None
    return HoldOut(arrays["holdout"], arrays["holdout_labels"])


def stored_imports(results: Path, protocol: str, name: str) -> Iterator[StoredImport]:
    """Those of ``name`` under ``protocol`` that are finished, by folder."""
    if not name.strip(".") or "/" in name:  # no name of a folder of trials
        return
    for folder in sorted((results / protocol / name).glob("*")):
        record = store.finished_trial(folder)
        try:
            if record is None or record["training"]["origin"] != IMPORTED:
                continue
            found = StoredImport(folder, record)
            whole = found.name == name and found.seed >= 0 and "arrays" in record["imported"]
            whole = whole and "train_counts" in record["data"]
        except (KeyError, TypeError, ValueError):
            continue  # damaged: the report tells
        if whole:
            yield found


def is_import(results: Path, protocol: str, name: str) -> bool:
    return next(stored_imports(results, protocol, name), None) is not None
