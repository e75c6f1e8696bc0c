"""A training whose test logits are too large for memory leaves the same files and scores."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from ltbench.evaluate import large_logits
from ltbench.execute import train_trial
from ltbench.execute.context import load_tensors
from ltbench.execute.prepare import prepare
from ltbench.execute.request import Request
from ltbench.execute.run_trial import run_job
from ltbench.trial import store

PIECE = 64  # neither all test images nor a divisor of them
QUICK: dict[str, Any] = {"recipe.epochs": 1, "test.draws": 1, "test.ratios": (2.0,)}


def trained(results: Path, events: list[dict[str, Any]] | None = None, **settings: Any) -> Path:
    request = Request(
        "sade+none", "digits-lt", seeds=(0,), results=results, device="cpu", overrides=settings
    )
    (planned,) = prepare(request).trials
    run_job(planned.job, (lambda event: None) if events is None else events.append, lambda: False)
    return planned.folder


def scores(folder: Path) -> dict[str, Any]:
    records = (json.loads(path.read_text()) for path in folder.glob("evaluations/*.json"))
    return {one["strategy"]: one["distributions"] for one in records}


@pytest.mark.parametrize("held", [{}], ids=["no hold-out"])
def test_logits_that_go_to_the_disk_as_they_come_are_the_logits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: dict[str, Any]
) -> None:
    whole = trained(tmp_path / "whole", **QUICK, **held)
    written: list[list[int]] = []

    def watched(*arguments: Any, **options: Any) -> Any:
        written.append([])
        for part in large_logits.logits_in_pieces(*arguments, **options):
            written[-1].append(len(part))
            yield part

    monkeypatch.setattr(large_logits, "LARGE", 0)
    monkeypatch.setattr(large_logits, "PIECE", PIECE)
    monkeypatch.setattr(train_trial, "logits_in_pieces", watched)
    told: list[dict[str, Any]] = []
    pieces = trained(tmp_path / "pieces", told, **QUICK, **held)
    ordinary, streamed = (load_tensors(folder / store.LOGITS) for folder in (whole, pieces))
    assert streamed.keys() == ordinary.keys() == {"logits", *(["holdout"] if held else [])}
    for name, tensor in ordinary.items():
        assert torch.equal(streamed[name], tensor)
        assert streamed[name].dtype == tensor.dtype
    (sizes,) = written
    assert sum(sizes) == len(ordinary["logits"])
    assert set(sizes[:-1]) == {PIECE}
    assert scores(pieces) == scores(whole) != {}
