"""Shipped methods with hooks in the one loop: recorded as they train eagerly, resumed to the same bits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from ltbench import get_method
from ltbench.errors import InterruptedRun
from ltbench.models.build import build_network
from ltbench.train.loop import Hooks, TrainingJob
from tests.unit.train.test_hooks import equal, run
from tests.unit.train.test_step import GRAPH
from tests.unit.train.test_step import graphs as graphs  # a fixture

MakeJob = Callable[..., TrainingJob]
COUNTS = [12, 6, 3]
NAMES = ["dirmixe", "imb-sam", "influence-balanced", "ncl", "reslt", "tde", "ride-distilled"]
SETTINGS: dict[str, dict[str, Any]] = {"dirmixe": {"draws": 4}, "imb-sam": {"below": 5}}


def job(make_job: MakeJob, name: str, **changes: Any) -> TrainingJob:
    method = get_method(name, COUNTS, **SETTINGS.get(name, {}))
    if name == "ride-distilled":
        rng = torch.Generator().manual_seed(9)
        asked = get_method("ride", COUNTS, experts=6).architecture()
        changes["teacher"] = build_network("resnet8", 3, asked, rng).eval().requires_grad_(False)
    return make_job(method, **changes)


@pytest.mark.parametrize("name", NAMES)
def test_a_recorded_training_has_the_bits_of_the_eager_one(
    make_job: MakeJob, graphs: list[Any], name: str
) -> None:
    eager = run(job(make_job, name, epochs=4, batch_size=6))
    assert not graphs
    recorded = run(job(make_job, name, epochs=4, batch_size=6, speed=GRAPH))
    assert equal(eager[0], recorded[0])
    assert [e["loss"] for e in eager[1].history] == [e["loss"] for e in recorded[1].history]
    assert sum(graph.replayed for graph in graphs) > 4  # nothing was left eager


@pytest.mark.parametrize("name", NAMES)
def test_a_resumed_training_has_the_bits_of_the_whole_one(make_job: MakeJob, name: str) -> None:
    whole = run(job(make_job, name, epochs=4))[0]
    done: list[int] = []
    hooks = Hooks(lambda record: done.append(1), lambda: len(done) >= 3)
    with pytest.raises(InterruptedRun):
        run(job(make_job, name, epochs=4, store=True), hooks)
    resumed, progress = run(job(make_job, name, epochs=4, store=True))
    assert progress.epochs_done == 4
    assert equal(whole, resumed)


def test_tdes_mean_is_trained_along_and_stored_with_the_weights(make_job: MakeJob) -> None:
    weights = run(job(make_job, "tde", epochs=1))[0]
    (mean,) = [value for name, value in weights.items() if name.endswith("head.mean")]
    assert mean.shape == (64,)
    assert mean.abs().sum() > 0
