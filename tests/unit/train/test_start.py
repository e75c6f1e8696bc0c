"""A training that starts from another network, or learns from one: resume, phases, what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from ltbench import get_method
from ltbench.errors import ContractError, InterruptedRun
from ltbench.method import Phase
from ltbench.train.loop import Hooks, TrainingJob, train

MakeJob = Callable[..., TrainingJob]
COUNTS = [12, 6, 3]


def test_it_starts_from_the_weights_it_is_given_and_resumes(make_job: MakeJob) -> None:
    start = train(make_job("ce", epochs=2), Hooks(), {})[0].state_dict()
    given = {"start": start, "before": (get_method("ce", COUNTS),)}
    whole, progress = train(make_job("crt", epochs=4, **given), Hooks(), {})
    state = whole.state_dict()
    assert torch.equal(state["conv.weight"], start["conv.weight"])
    assert torch.equal(state["bn.running_mean"], start["bn.running_mean"])
    assert not torch.equal(state["experts.0.head.weight"], start["experts.0.head.weight"])
    assert next(record["lr"] for record in progress.history) == 0.05
    done: list[int] = []
    with pytest.raises(InterruptedRun):
        train(
            make_job("crt", epochs=4, store=True, **given),
            Hooks(lambda record: done.append(1), lambda: len(done) >= 2),
            {},
        )
    resumed = train(make_job("crt", epochs=4, store=True, **given), Hooks(), {})[0].state_dict()
    assert all(torch.equal(state[name], resumed[name]) for name in state)


def test_without_phases_the_network_is_that_of_the_parent(make_job: MakeJob) -> None:
    start = train(make_job("ce", epochs=2), Hooks(), {})[0].state_dict()
    found, progress = train(make_job("tau-norm", start=start), Hooks(), {})
    assert progress.history == []
    assert all(torch.equal(found.state_dict()[name], start[name]) for name in start)


def test_without_phases_there_must_be_a_parent(make_job: MakeJob, toy: Any) -> None:
    toy.stages = ()
    with pytest.raises(ContractError, match="at least one"):
        train(make_job(toy), Hooks(), {})
    toy.stages = (Phase(),)
