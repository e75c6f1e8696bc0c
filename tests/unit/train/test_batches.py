"""How an epoch is cut into batches, and what happens to a last image that stands alone."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch

from ltbench.errors import DivergedError, InputError
from ltbench.method import Architecture, Phase
from ltbench.models.build import build_network
from ltbench.seeds import generator
from ltbench.train.batches import batch_bounds, smallest_batch
from ltbench.train.loop import Hooks, TrainingJob, check_outputs, train

MakeJob = Callable[..., TrainingJob]


def sizes(images: int, size: int, smallest: int = 1) -> list[int]:
    found = batch_bounds(images, size, smallest=smallest)
    assert [part.start for part in found] == [0, *(part.stop for part in found[:-1])]
    return [part.stop - part.start for part in found]


def test_batches_of_the_size_and_a_smaller_last_one() -> None:
    assert sizes(276, 32) == [32] * 8 + [20]
    assert sizes(64, 32) == [32, 32]
    assert sizes(33, 16) == [16, 16, 1]
    assert sizes(5, 16) == [5]


def test_a_last_batch_that_is_too_small_is_joined_to_the_one_before() -> None:
    assert sizes(33, 16, 2) == [16, 17]
    assert sizes(34, 16, 2) == [16, 16, 2]
    assert sizes(17, 16, 2) == [17]
    assert sizes(3, 2, 2) == [3]
    assert sizes(1, 16, 2) == [1]


@pytest.mark.parametrize(("pixels", "expected"), [(1, 2), (4, 2), (5, 1), (8, 1), (32, 1)])
def test_only_tiny_images_need_company(pixels: int, expected: int) -> None:
    """From 5 pixels on one image has four values of each channel: what was trained is unchanged."""
    network = build_network("resnet8", 3, Architecture(), generator("network", 0)).train()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    assert smallest_batch(network, pixels) == expected
    assert network.training
    assert all(module.training for module in network.modules())
    after = network.state_dict()
    assert all(torch.equal(after[key], before[key]) for key in before)
    assert smallest_batch(network.eval(), pixels) == 1  # nothing learns there


def tiny(make_job: MakeJob, method: Any, pixels: int, **changes: Any) -> TrainingJob:
    images = torch.randint(256, (21, 3, pixels, pixels), dtype=torch.uint8)
    return make_job(method, images=images, crop_padding=0, rotation=0.0, **changes)


def batches_of(job: TrainingJob, toy: Any) -> list[int]:
    seen: list[int] = []

    def record(logits: torch.Tensor, targets: torch.Tensor, *_: Any) -> torch.Tensor:
        seen.append(len(targets))
        return torch.nn.functional.cross_entropy(logits[:, 0], targets)

    toy.replace = record
    train(job, Hooks(), {})
    return seen


def test_a_last_image_alone_trains(make_job: MakeJob, toy: Any) -> None:
    """21 images in batches of 10 or 20; at 8 pixels as ever, at 4 in company."""
    assert batches_of(tiny(make_job, toy, 8, epochs=1, batch_size=10), toy) == [10, 10, 1]
    assert batches_of(tiny(make_job, toy, 4, epochs=1, batch_size=10), toy) == [10, 11]
    assert batches_of(tiny(make_job, toy, 4, epochs=1, batch_size=20), toy) == [21]
    assert batches_of(tiny(make_job, toy, 4, epochs=1, batch_size=2), toy)[-2:] == [2, 3]
    toy.stages = (Phase(train="heads"),)  # no BatchNorm learns
    assert batches_of(tiny(make_job, toy, 4, epochs=1, batch_size=10), toy) == [10, 10, 1]


def test_batches_of_one_tiny_image_are_refused_in_one_line(make_job: MakeJob) -> None:
    with pytest.raises(InputError, match=r"one image of 4 x 4 .*batch_size must be at least 2$"):
        train(tiny(make_job, "ce", 4, epochs=1, batch_size=1), Hooks(), {})
    train(tiny(make_job, "ce", 8, epochs=1, batch_size=1), Hooks(), {})


# -- divergence that only the last step shows ------------------------------------------------------


def test_weights_that_are_not_finite_after_the_last_step_are_divergence(
    make_job: MakeJob, toy: Any
) -> None:
    """The last loss is finite, its slope is not: no later loss could tell."""
    steps = itertools.count(1)

    def last_slope_is_nan(logits: torch.Tensor, *_: Any) -> torch.Tensor:
        loss = logits.square().mean()
        return loss + (logits * 0).abs().sqrt().sum() if next(steps) == 12 else loss

    toy.replace = last_slope_is_nan
    with pytest.raises(DivergedError) as caught:
        train(make_job(toy), Hooks(), {})
    assert (caught.value.epoch, caught.value.step) == (4, 3)
    assert caught.value.lr == 0.05
    assert str(caught.value).startswith(
        "method 'toy': a weight is nan after the step in epoch 4, step 3, learning rate 0.05"
    )
    assert "last good epoch: epoch 3" in str(caught.value)


def test_no_checkpoint_of_weights_that_are_not_finite(make_job: MakeJob, toy: Any) -> None:
    job = make_job(toy, store=True, batch_size=30)  # one step an epoch
    toy.replace = lambda logits, *_: logits.mean() + (logits * 0).abs().sqrt().sum()
    with pytest.raises(DivergedError, match=r"epoch 1, step 1.*last good epoch: none"):
        train(job, Hooks(), {})
    assert job.folder is not None
    assert not list(job.folder.glob("checkpoint*"))


def test_logits_that_are_not_finite_are_divergence(make_job: MakeJob) -> None:
    job = make_job("ce")
    _, progress = train(job, Hooks(), {})
    logits = torch.zeros(5, 1, 3)
    check_outputs(job, logits, progress.history)
    logits[2, 0, 1] = float("inf")
    with pytest.raises(
        DivergedError, match=r"a logit is inf after the last step in epoch 4, step 3"
    ):
        check_outputs(job, logits, progress.history)
