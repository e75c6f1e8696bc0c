"""The carried prior in a record is what the files of the trial say, and training knows nothing of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ltbench import load_images, load_logits, load_model
from ltbench.data.dataset import Dataset
from ltbench.errors import ContractError
from ltbench.evaluate import carried_prior
from ltbench.execute import measured_prior, train_trial
from ltbench.execute.prepare import prepare
from ltbench.execute.request import Request
from ltbench.execute.run_trial import run_job
from ltbench.trial import store

QUICK: dict[str, Any] = {"recipe.epochs": 2, "test.draws": 1, "test.ratios": (2.0,)}
HELD = {"train.holdout": 0.3}


def trained(results: Path, method: str, **overrides: Any) -> Path:
    settings = {**QUICK, **overrides}
    request = Request(
        method, "digits-lt", seeds=(0,), results=results, device="cpu", overrides=settings
    )
    (planned,) = prepare(request).trials
    run_job(planned.job, lambda event: None, lambda: False)
    return planned.folder


def record(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / store.TRIAL).read_text())
    return found


def few_shot(logits: Tensor, labels: Tensor, weights: Tensor, found: dict[str, Any]) -> float:
    """The few-shot ratio of ce, whose bias is 0."""
    few = found["data"]["groups"]["few"]
    counts = torch.tensor(found["data"]["train_counts"]).double()
    mean = (weights[:, None] * logits[:, 0].double().softmax(dim=1)).sum(dim=0) / weights.sum()
    return float(mean[few].sum() / (counts[few].sum() / counts.sum()))


def test_on_training_images_it_is_what_the_stored_network_says(tmp_path: Path) -> None:
    folder = trained(tmp_path, "ce")
    found, images = record(folder), load_images("digits-lt")
    assert found["carried_prior"]["source"] == "training"
    assert found["carried_prior"]["images"] == len(images) == sum(found["data"]["train_counts"])
    logits = load_model(folder)(images.images)
    weights = torch.ones(len(images)).double()
    expected = few_shot(logits, torch.from_numpy(images.labels), weights, found)
    assert found["carried_prior"]["mean"]["few"] == pytest.approx(expected, rel=1e-5)
    assert found["carried_prior"]["error"] == {"many": 0.0, "medium": 0.0, "few": 0.0}


def test_on_a_hold_out_it_follows_from_the_stored_logits(tmp_path: Path) -> None:
    folder = trained(tmp_path, "ce", **HELD)
    found, stored = record(folder), load_logits(folder)
    assert stored.holdout is not None
    assert stored.holdout_labels is not None
    labels = stored.holdout_labels
    counts = torch.tensor(found["data"]["train_counts"]).double()
    held = torch.bincount(labels, minlength=len(counts))
    assert held.min() > 0
    expected = few_shot(stored.holdout, labels, (counts / held)[labels], found)
    assert found["carried_prior"]["source"] == "holdout"
    assert found["carried_prior"]["images"] == len(labels)
    assert found["carried_prior"]["mean"]["few"] == pytest.approx(expected, rel=1e-5)


def test_a_method_without_closed_form_runs_no_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measured_prior, "training_places", None)  # would fail
    assert record(trained(tmp_path, "ride"))["carried_prior"] == {
        "unknown": "method 'ride' states neither bias nor posterior"
    }


def test_a_bias_that_breaks_its_contract_leaves_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise ContractError("method 'ce': bias returned shape (3, 4); expected (1, 10)")

    monkeypatch.setattr(measured_prior, "carried_prior", broken)
    found = record(trained(tmp_path, "ce"))
    assert found["status"] == "finished"
    assert found["carried_prior"] == {
        "unknown": "method 'ce': bias returned shape (3, 4); expected (1, 10)"
    }


def test_training_is_the_same_to_the_last_bit_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = trained(tmp_path / "with", "sade")
    state = torch.random.get_rng_state()
    monkeypatch.setattr(train_trial, "measured_prior", lambda *_: {"unknown": "left out"})
    plain = trained(tmp_path / "without", "sade")
    assert torch.equal(torch.random.get_rng_state(), state)
    assert record(measured)["carried_prior"]["source"] == "training"
    for file in (store.LOGITS, store.WEIGHTS):
        assert (measured / file).read_bytes() == (plain / file).read_bytes()
    assert record(measured)["weights_sha256"] == record(plain)["weights_sha256"]
    for found in (measured, plain):
        assert found.name == measured.name  # the identity does not know of it either


def test_a_large_training_set_is_read_in_part_and_no_test_image_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(carried_prior.training_places, "__defaults__", (50,))
    read: list[tuple[str, int]] = []
    measure = train_trial.measured_prior

    def watched(context: Any, *rest: Any) -> Any:
        class Watched:
            def __init__(self, of: Dataset, name: str) -> None:
                self.of, self.name, self.labels = of, name, of.labels

            def read(self, indices: Any) -> Any:
                read.append((self.name, len(np.asarray(indices))))
                return self.of.read(indices)

        splits = context.task.splits
        for name in ("train", "test"):
            object.__setattr__(splits, name, Watched(getattr(splits, name), name))
        try:
            return measure(context, *rest)
        finally:
            for name in ("train", "test"):
                object.__setattr__(splits, name, getattr(splits, name).of)

    monkeypatch.setattr(train_trial, "measured_prior", watched)
    found = record(trained(tmp_path, "ce"))["carried_prior"]
    assert found["images"] == 50
    assert 0 < found["error"]["few"] < 1
    assert read == [("train", 50)]
