"""What learns in the second stages of LWS, MiSLAS and GCL; a killed run goes on with the same bits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from ltbench import get_method
from ltbench.errors import InterruptedRun
from ltbench.models.assemble import assemble
from ltbench.seeds import generator
from ltbench.train.checkpoint import load_checkpoint
from ltbench.train.loop import Hooks, TrainingJob, train

MakeJob = Callable[..., TrainingJob]
COUNTS = [12, 6, 3]
HEAD = "experts.0.head."


def trained(make_job: MakeJob, name: str, parent: str | None, **changes: Any) -> dict[str, Tensor]:
    if parent is not None:
        changes["before"] = (get_method(parent, COUNTS),)
        changes["start"] = train(make_job(parent, epochs=2), Hooks(), {})[0].state_dict()
    return train(make_job(name, **changes), Hooks(), {})[0].state_dict()


def moved(one: dict[str, Tensor], other: dict[str, Tensor]) -> set[str]:
    return {
        name
        for name in other.keys() & one.keys()
        if not torch.equal(one[name], other[name]) and "num_batches" not in name
    }


def test_lws_moves_the_scales_alone(make_job: MakeJob) -> None:
    start = train(make_job("ce", epochs=2), Hooks(), {})[0].state_dict()
    found = trained(make_job, "lws", "ce")
    inner = {k.replace(HEAD + "head.", HEAD): v for k, v in found.items()}
    assert moved(start, inner) == set()
    scales = found[HEAD + "scales"]
    assert scales.shape == (3,)
    assert (scales != 1).all()


def test_mislas_moves_head_scales_and_statistics(make_job: MakeJob) -> None:
    start = train(make_job("mixup", epochs=2), Hooks(), {})[0].state_dict()
    found = trained(make_job, "mislas", "mixup")
    inner = {k.replace(HEAD + "head.", HEAD): v for k, v in found.items()}
    changed = moved(start, inner)
    assert {HEAD + "weight", HEAD + "bias"} <= changed
    assert all("running" in name for name in changed - {HEAD + "weight", HEAD + "bias"})
    assert "bn.running_mean" in changed
    assert (found[HEAD + "scales"] * 5**0.5 != 1).all()


def test_gcl_leaves_the_trunk_in_its_second_stage(make_job: MakeJob) -> None:
    """Two epochs for the features, then two for the classifier at an eighth of the usual rate."""
    method = get_method("gcl", COUNTS, classifier_epochs=1, classifier_lr=0.125)
    job = make_job(method, store=True)
    kept: list[dict[str, Tensor]] = []
    done: list[int] = []
    for _ in range(3):
        done.clear()
        with pytest.raises(InterruptedRun):  # after one more epoch
            train(job, Hooks(lambda record: done.append(1), lambda: bool(done)), {})
        probe = get_method("gcl", COUNTS, classifier_epochs=1, classifier_lr=0.125)
        kept.append(checkpointed(make_job(probe, store=True)))
    assert "conv.weight" in moved(kept[0], kept[1])
    assert moved(kept[1], kept[2]) == {HEAD + "weight"}


def checkpointed(job: TrainingJob) -> dict[str, Tensor]:
    """The weights in the folder of a training that was stopped."""
    assert job.folder is not None
    network = assemble(job.backbone, 3, [job.method], generator("network", job.seed), job.device)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    assert load_checkpoint(job.folder, job.trial, network, optimizer, None) is not None
    return {name: value.clone() for name, value in network.state_dict().items()}


@pytest.mark.parametrize(
    ("name", "parent"),
    [
        ("lws", "ce"),
        ("mislas", "mixup"),
        ("gcl", None),
        ("cmo", None),
        ("bayias", None),
        ("remix", None),
    ],
)
@pytest.mark.parametrize("after", [1, 3])
def test_resumed_it_has_the_same_bits(
    make_job: MakeJob, name: str, parent: str | None, after: int
) -> None:
    whole = trained(make_job, name, parent)
    done: list[int] = []
    changes: dict[str, Any] = {"store": True}
    if parent is not None:
        changes["before"] = (get_method(parent, COUNTS),)
        changes["start"] = train(make_job(parent, epochs=2), Hooks(), {})[0].state_dict()
    with pytest.raises(InterruptedRun):
        train(
            make_job(name, **changes),
            Hooks(lambda record: done.append(1), lambda: len(done) >= after),
            {},
        )
    resumed = train(make_job(name, **changes), Hooks(), {})[0].state_dict()
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)
