"""Streamed images give the bits of resident ones; processes, batches, where it is resumed change nothing."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter

from ltbench import get_method
from ltbench.data.dataset import Dataset
from ltbench.data.digits import load_digits
from ltbench.data.sources import open_data
from ltbench.errors import InterruptedRun, LtbenchError
from ltbench.method import Phase
from ltbench.protocol.protocol import DataConfig, Recipe
from ltbench.train.loop import Hooks, TrainingJob, train
from ltbench.train.streamed import Streamed, StreamedFeed, loaders
from tests.list_sets import DIGITS, FILES, write_digits, write_gratings

CPU = torch.device("cpu")
NORM = (torch.full((3,), 0.3), torch.full((3,), 0.38))
RESIZED = {"crop": "resized", "crop_padding": 0, "jitter": (0.4, 0.4, 0.4, 0.0), "flip": True}
CHOSEN = np.concatenate([np.arange(0, 60), np.arange(200, 230), np.arange(500, 515)])
Make = Callable[..., TrainingJob]


class Straight(NamedTuple):
    """asked: how often it asked whether to stop."""

    weights: dict[str, Tensor]
    history: list[dict[str, Any]]
    asked: int


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return open_data(DIGITS, write_digits(tmp_path_factory.mktemp("digits"))).train


@pytest.fixture(scope="module")
def gratings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gratings(tmp_path_factory.mktemp("gratings"), 3, 30, 2)


@pytest.fixture
def make(digits: Dataset, tmp_path: Path) -> Make:
    return functools.partial(job_of, digits, tmp_path)


def job_of(
    digits: Dataset, where: Path, name: str = "ce", images: int | None = 0, **changes: Any
) -> TrainingJob:
    """A training of 105 digits; images: how many processes open them, or None for resident ones."""
    labels = digits.labels[CHOSEN]
    method = get_method(name, np.bincount(labels, minlength=10) + 1)
    resident = torch.from_numpy(load_digits().train.read(CHOSEN))
    recipe = {"crop_padding": 1, "flip": True, "rotation": 10.0, "warmup_epochs": 1}
    recipe |= {k: changes.pop(k) for k in list(changes) if k in Recipe.__dataclass_fields__}
    if recipe.get("crop") == "resized":
        del recipe["rotation"]
    return TrainingJob(
        **{
            **{"trial": "abc", "method": method, "recipe": Recipe(2, 16, 0.05, **recipe)},
            **{"backbone": "resnet8", "labels": torch.from_numpy(labels)},
            "images": resident if images is None else Streamed(digits, CHOSEN, images),
            **{"mean": NORM[0], "std": NORM[1], "seed": 0, "device": CPU},
            **{"folder": where / "trial", "checkpoint_seconds": 1e9, **changes},
        }
    )


@pytest.fixture(scope="module")
def straight(digits: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Straight]:
    """A streamed training as ``make`` gives it, without a stop: done once for all tests."""

    @functools.cache
    def trained(name: str, **changes: Any) -> Straight:
        asked = 0

        def should_stop() -> bool:
            nonlocal asked
            asked += 1
            return False

        job = job_of(digits, tmp_path_factory.getbasetemp(), name, folder=None, **changes)
        network, progress = train(job, Hooks(should_stop=should_stop), {})
        return Straight(dict(network.state_dict()), progress.history, asked)

    return trained


def weights(job: TrainingJob, hooks: Hooks | None = None) -> dict[str, Tensor]:
    network, _ = train(job, hooks or Hooks(), {})
    return {k: v.clone() for k, v in network.state_dict().items()}


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return all(torch.equal(a[key], b[key]) for key in a)


# mdcs: two views, one of them strong; proco: one of SimCLR; mixing methods have a second stream.
@pytest.mark.parametrize("name", ["ce", "mdcs", "proco", "sade"])
def test_padded_crops_are_those_of_resident_images(
    name: str, make: Make, straight: Callable[..., Straight]
) -> None:
    expected = weights(make(name, None, folder=None))
    assert same(straight(name).weights, expected)


def test_streamed_images_train_in_bf16(make: Make) -> None:
    job = dataclasses.replace(make("ce", 0, folder=None), precision="bf16")
    in_memory = dataclasses.replace(make("ce", None, folder=None), precision="bf16")
    assert same(weights(job), weights(in_memory))


def test_a_second_stream_is_that_of_resident_images(
    make: Make, straight: Callable[..., Straight]
) -> None:
    def with_second(images: int | None) -> TrainingJob:
        job = make("ce", images, folder=None)
        job.method.phases = lambda: (Phase(second="class-balanced"),)  # type: ignore[method-assign]
        job.method.mix = lambda first, second, drawn: second  # type: ignore[method-assign]
        return job

    expected = weights(with_second(None))
    assert same(weights(with_second(0)), expected)
    assert not same(straight("ce").weights, expected)


def test_processes_change_nothing(make: Make, straight: Callable[..., Straight]) -> None:
    for changes in ({}, RESIZED):
        found = weights(make("ce", 2, folder=None, **changes))
        assert same(found, straight("ce", **changes).weights)
    assert not multiprocessing.active_children()


def test_neither_batches_nor_where_an_epoch_begins_change_an_image(gratings: Path) -> None:
    images = open_data(
        DataConfig("lists", 3, 16, mean=(0.5,) * 3, std=(0.2,) * 3, lists=FILES), gratings
    )
    recipe = Recipe(1, 8, 0.1, **{k: v for k, v in RESIZED.items() if k != "crop_padding"})  # type: ignore[arg-type]
    streamed = Streamed(images.train, np.arange(len(images.train)))
    feed = StreamedFeed(streamed, recipe, *NORM, 0, CPU)
    order = torch.randperm(len(streamed), generator=torch.Generator().manual_seed(1))[:20]

    def pixels(bounds: list[int], epoch: int = 3, views: int = 2) -> Tensor:
        batches = [slice(a, b) for a, b in itertools.pairwise(bounds)]
        tickets = list(feed.tickets(epoch, order, batches, ("recipe",) * views))
        assert torch.equal(torch.cat([t.chosen for t in tickets]), order[bounds[0] :])
        made = [feed.inputs(t).unflatten(0, (views, -1)) for t in tickets]
        return torch.cat(made, dim=1)

    whole = pixels([0, 20])
    assert whole.shape == (2, 20, 3, 16, 16)
    assert torch.equal(pixels([0, 3, 10, 20]), whole)
    assert torch.equal(pixels([7, 12, 20]), whole[:, 7:])
    assert torch.equal(pixels([0, 20], views=1), whole[:1])
    assert not torch.equal(whole[0], whole[1])
    assert not torch.equal(pixels([0, 20], epoch=4), whole)


@pytest.mark.parametrize(("name", "stop"), [("ce", 4), ("ce", 7), ("ce", 9), ("sade", 9)])
def test_stopped_at_any_step_it_ends_in_the_same_bits(
    name: str, stop: int, make: Make, straight: Callable[..., Straight]
) -> None:
    """Seven steps an epoch: in the first, at its end, in the second."""
    asked = 0

    def should_stop() -> bool:
        nonlocal asked
        asked += 1
        return asked >= limit

    expected = straight(name)
    limit = stop
    with pytest.raises(InterruptedRun, match=r"after (step|epoch)"):
        train(make(name), Hooks(should_stop=should_stop), {})
    limit = 10**9
    network, progress = train(make(name), Hooks(should_stop=should_stop), {})
    assert asked == expected.asked  # it went on where it was: no step was done twice
    assert same(dict(network.state_dict()), expected.weights)
    assert [e["loss"] for e in progress.history] == [e["loss"] for e in expected.history]
    assert progress.step == 0


def test_two_checkpoints_are_kept_and_a_damaged_one_is_left_for_the_other(
    make: Make, straight: Callable[..., Straight], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make("ce", checkpoint_seconds=0.0)
    monkeypatch.setattr("ltbench.train.loop._SAVING", 0)
    calls = iter(range(100))
    with pytest.raises(InterruptedRun, match="after step 5"):
        train(job, Hooks(should_stop=lambda: next(calls) == 4), {})
    assert job.folder is not None
    names = ["checkpoint.previous.safetensors", "checkpoint.safetensors"]
    assert sorted(path.name for path in job.folder.iterdir()) == names
    path = job.folder / names[1]
    path.write_bytes(path.read_bytes()[:-100])
    assert same(weights(job), straight("ce").weights)
    assert (job.folder / "checkpoint.corrupt").is_file()


def test_a_head_learns_at_a_rate_of_its_own_and_resumes(
    make: Make, straight: Callable[..., Straight]
) -> None:
    plain = straight("sade").weights
    assert same(weights(make("sade", folder=None, head_lr=0.05)), plain)
    expected = straight("sade", head_lr=0.5).weights
    assert not same(expected, plain)
    calls = iter(range(100))
    with pytest.raises(InterruptedRun):
        train(make("sade", head_lr=0.5), Hooks(should_stop=lambda: next(calls) == 9), {})
    assert same(weights(make("sade", head_lr=0.5)), expected)


@pytest.mark.parametrize("many", [0, 2])
def test_a_truncated_image_is_one_line_with_its_path(many: int, tmp_path: Path) -> None:
    root = write_gratings(tmp_path / "set", 2, 8, 1)
    config = DataConfig("lists", 2, 8, mean=(0.5,) * 3, std=(0.2,) * 3, lists=FILES)
    images = open_data(config, root).train
    damaged = root / "train/n0001/001.JPEG"
    damaged.write_bytes(damaged.read_bytes()[:200])
    streamed = Streamed(images, np.arange(len(images)), many)
    feed = StreamedFeed(streamed, Recipe(1, 4, 0.1, crop="resized"), *NORM, 0, CPU)
    order = torch.arange(len(images))
    with pytest.raises(LtbenchError, match=r"n0001/001\.JPEG is not a readable image") as caught:
        list(feed.tickets(0, order, [slice(0, 4), slice(4, len(images))]))
    feed.close()
    assert "\n" not in str(caught.value)


class Slow(Dataset):
    """Images that take a while, so that a process can be killed over them."""

    def __init__(self, whole: Dataset) -> None:
        self.whole, self.labels = whole, whole.labels
        self.class_names, self.image_size = whole.class_names, whole.image_size

    @property
    def fingerprint(self) -> str:
        return "slow"

    def read(self, indices: Any) -> Any:
        if 40 in list(indices):
            os.kill(os.getpid(), signal.SIGKILL)  # as the system does where memory runs out
        return self.whole.read(indices)


def test_a_killed_process_is_one_line(digits: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    # How often torch looks whether its processes live, and how long it waits for them: 5 seconds.
    monkeypatch.setattr(_MultiProcessingDataLoaderIter._try_get_data, "__defaults__", (0.2,))
    monkeypatch.setattr(torch.utils.data._utils, "MP_STATUS_CHECK_INTERVAL", 0.2)
    streamed = Streamed(Slow(digits), np.arange(60), 1)
    feed = StreamedFeed(streamed, Recipe(1, 8, 0.1), *NORM, 0, CPU)
    batches = [slice(i, i + 8) for i in range(0, 56, 8)]
    with pytest.raises(LtbenchError, match="a process that opens images is gone") as caught:
        list(feed.tickets(0, torch.arange(60), batches))
    feed.close()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("error", [EOFError(), ConnectionResetError("reset"), RuntimeError("gone")])
def test_whatever_torch_raises_for_it(
    error: Exception, digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may die while it opens images or while it hands them over."""

    def dead(self: Any) -> Any:
        raise error
        yield

    monkeypatch.setattr("torch.utils.data.DataLoader.__iter__", dead)
    feed = StreamedFeed(Streamed(digits, np.arange(60)), Recipe(1, 8, 0.1), *NORM, 0, CPU)
    with pytest.raises(
        LtbenchError, match=r"is gone \((EOFError|reset|gone)\).*--loaders 1"
    ) as caught:
        list(feed.tickets(0, torch.arange(60), [slice(0, 8)]))
    assert "\n" not in str(caught.value)


def test_how_many_processes() -> None:
    assert loaders(CPU, 8) == 0
    assert loaders(torch.device("cuda"), 16) == 12
    assert loaders(torch.device("cuda"), 1) == 1
    assert loaders(CPU, 8, 3) == 3
