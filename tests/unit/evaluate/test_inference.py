"""Running a network over clean, augmented and twice viewed test images."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ltbench.data.dataset import ArrayDataset
from ltbench.errors import ContractError
from ltbench.evaluate import large_logits
from ltbench.evaluate import views as views_module
from ltbench.evaluate.augmented import augmented_logits
from ltbench.evaluate.views import ViewLogits
from ltbench.method import Architecture
from ltbench.models.build import build_network
from ltbench.protocol.protocol import Recipe, ViewsConfig
from ltbench.train.infer import BATCH, Inference

MEAN, STD = torch.tensor([0.1, 0.2, 0.3]), torch.tensor([0.5, 0.4, 0.3])
VIEWS = ViewsConfig(pairs=2, crop_padding=1)


class Probe(nn.Module):
    """Gives its input back as logits ``(B, 1, 192)`` and counts its calls."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        assert not self.training
        self.batches.append(len(x))
        return x.flatten(1)[:, None]


@pytest.fixture
def test_images() -> ArrayDataset:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (BATCH + 7, 3, 8, 8), dtype=np.uint8)
    labels = rng.integers(0, 2, len(images))
    return ArrayDataset(images, labels, ("a", "b"))


def inference(network: nn.Module) -> Inference:
    return Inference(network, MEAN, STD, torch.device("cpu"))


def recipe(**changes: Any) -> Recipe:
    return Recipe(**{"epochs": 1, "batch_size": 1, "lr": 0.1, **changes})


def test_every_image_once_normalised_and_in_order(test_images: ArrayDataset) -> None:
    probe, told = Probe(), list[tuple[int, int]]()
    logits = inference(probe.train()).dataset(test_images, lambda i, n: told.append((i, n)))
    assert probe.batches == [BATCH, 7]
    assert told == [(BATCH, BATCH + 7), (BATCH + 7, BATCH + 7)]
    raw = torch.from_numpy(test_images.read(np.arange(len(test_images)))).double() / 255
    expected = (raw - MEAN.double().view(3, 1, 1)) / STD.double().view(3, 1, 1)
    torch.testing.assert_close(logits[:, 0].double(), expected.flatten(1), atol=1e-5, rtol=1e-5)
    assert logits.dtype == torch.float32


def test_running_statistics_stay(test_images: ArrayDataset) -> None:
    network = build_network("resnet8", 2, Architecture(2), torch.Generator().manual_seed(0))
    before = {key: value.clone() for key, value in network.state_dict().items()}
    first = inference(network).dataset(test_images)
    assert first.shape == (BATCH + 7, 2, 2)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert torch.equal(inference(network).dataset(test_images), first)


def test_logits_that_are_not_finite_are_refused(test_images: ArrayDataset) -> None:
    class Broken(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.full((len(x), 1, 2), float("nan"))

    with pytest.raises(ContractError, match="logits that are not finite"):
        inference(Broken()).dataset(test_images)


# -- the mode `augmented` ------------------------------------------------------------------------


def test_without_augmentation_the_mode_augmented_is_clean(test_images: ArrayDataset) -> None:
    augmented = augmented_logits(inference(Probe()), test_images, recipe(), seed=0)
    assert torch.equal(augmented, inference(Probe()).dataset(test_images))


def test_augmented_images_move_by_seed_and_image(test_images: ArrayDataset) -> None:
    settings = recipe(flip=True)
    clean = inference(Probe()).dataset(test_images)
    first, again, other = (
        augmented_logits(inference(Probe()), test_images, settings, seed) for seed in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    flipped = clean.view(-1, 3, 8, 8).flip(3).flatten(1)[:, None]
    changed = (first != clean).flatten(1).any(1)
    assert torch.equal(first[changed], flipped[changed])
    assert 0.3 < changed.double().mean().item() < 0.7


# -- views ---------------------------------------------------------------------------------------


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LTBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


SHAPE = (1, 192)
"""Experts and classes of :class:`Probe`."""


def view_logits(
    probe: Probe,
    data: ArrayDataset,
    folder: Path,
    *,
    weights: bytes = b"w",
    views: ViewsConfig = VIEWS,
) -> ViewLogits:
    path = folder / "weights.safetensors"
    path.write_bytes(weights)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return ViewLogits(lambda: inference(probe), digest, data, views, lambda *report: None, SHAPE)


def test_views_are_made_once_and_then_come_from_memory_and_cache(
    test_images: ArrayDataset, cache: Path, tmp_path: Path
) -> None:
    probe = Probe()
    views = view_logits(probe, test_images, tmp_path)
    pair = views(0)
    assert pair.shape == (2, BATCH + 7, 1, 192)
    assert not torch.equal(pair[0], pair[1])
    calls = len(probe.batches)
    assert views(0) is pair
    again = view_logits(probe, test_images, tmp_path)(0)
    assert torch.equal(again, pair)
    assert len(probe.batches) == calls
    assert not torch.equal(views(1), pair)


@pytest.mark.parametrize("change", ["weights", "settings", "images"])
def test_other_weights_settings_or_images_meet_no_old_logits(
    test_images: ArrayDataset, cache: Path, tmp_path: Path, change: str
) -> None:
    view_logits(Probe(), test_images, tmp_path)(0)
    probe, data, options = Probe(), test_images, dict[str, Any]()
    if change == "weights":
        options["weights"] = b"other"
    elif change == "settings":
        options["views"] = dataclasses.replace(VIEWS, brightness=0.1)
    else:
        images = test_images.read(np.arange(len(test_images)))
        data = ArrayDataset(255 - images, test_images.labels, ("a", "b"))
    view_logits(probe, data, tmp_path, **options)(0)
    assert probe.batches


def test_more_pairs_keep_the_first_ones(
    test_images: ArrayDataset, cache: Path, tmp_path: Path
) -> None:
    pair = view_logits(Probe(), test_images, tmp_path)(1)
    probe = Probe()
    more = view_logits(probe, test_images, tmp_path, views=dataclasses.replace(VIEWS, pairs=9))
    assert torch.equal(more(1), pair)
    assert probe.batches == []


def test_large_views_are_float16_of_the_same_numbers_and_their_pictures_are_not_kept(
    test_images: ArrayDataset, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = view_logits(Probe(), test_images, tmp_path)(0)
    assert whole.dtype == torch.float32
    assert list((cache / "views").rglob("*.npy"))
    shutil.rmtree(cache)
    monkeypatch.setattr(large_logits, "LARGE", 0)
    monkeypatch.setattr(
        large_logits, "PIECE", 40
    )  # neither a divisor of the batch nor of the images
    monkeypatch.setattr(views_module, "STREAMED_ABOVE", 0)
    told: list[tuple[str, int, int]] = []
    made = ViewLogits(
        lambda: inference(Probe()), "d", test_images, VIEWS, lambda *one: told.append(one), SHAPE
    )
    assert torch.equal(made(0), whole.half())
    assert not (cache / "views").exists()
    assert told[-1] == ("view logits", BATCH + 7, BATCH + 7)
    again = ViewLogits(refused, "d", test_images, VIEWS, lambda *one: None, SHAPE)
    assert torch.equal(again(0), whole.half())


def refused() -> Inference:
    raise AssertionError("the network ran")


def test_a_logit_beyond_float16_is_refused(test_images: ArrayDataset) -> None:
    class Huge(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.full((len(x), 1, 2), -1e5)

    pieces = large_logits.logits_in_pieces(
        inference(Huge()), large_logits.read_images(test_images), len(test_images), most=65504.0
    )
    with pytest.raises(
        ContractError, match="a logit of 100000; those of views are stored as float16"
    ):
        list(pieces)


@pytest.mark.parametrize("content", [b"", b"not safetensors", None])
def test_a_damaged_cache_file_is_made_again(
    test_images: ArrayDataset, cache: Path, tmp_path: Path, content: bytes | None
) -> None:
    pair = view_logits(Probe(), test_images, tmp_path)(0)
    (file,) = (cache / "view-logits").rglob("pair0.safetensors")
    file.write_bytes(file.read_bytes()[:100] if content is None else content)
    probe = Probe()
    assert torch.equal(view_logits(probe, test_images, tmp_path)(0), pair)
    assert probe.batches


def test_several_threads_give_the_bits_of_one(
    test_images: ArrayDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = build_network("resnet8", 2, Architecture(experts=2), torch.Generator().manual_seed(0))
    run = inference(network)
    run.batch = 10
    alone = run.dataset(test_images)
    torch.set_num_threads(3)
    try:
        assert torch.equal(run.dataset(test_images), alone)
        assert torch.get_num_threads() == 3

        def stop(done: int, total: int) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            run.dataset(test_images, stop)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(1)


def test_views_in_bf16_have_a_cache_of_their_own_and_float32_keeps_its_name() -> None:
    """The option came later than the first records: what they name must not change."""
    usual, rounded = ViewsConfig(), ViewsConfig(precision="bf16")
    assert "precision" not in usual.logits_identity()
    assert rounded.logits_identity()["precision"] == "bf16"
    assert rounded.images_identity() == usual.images_identity()
