"""What training takes: grows with network, batch and images, and is known without building weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ltbench.execute.estimate import estimate_trial, training_memory
from ltbench.execute.job import Settings
from ltbench.execute.prepare import prepare
from ltbench.execute.request import Request
from ltbench.method import Architecture
from ltbench.names import parse_row
from ltbench.protocol.file import load_protocol_config
from ltbench.registry import load_registries
from ltbench.resolve.rows import resolve_row
from ltbench.trial.trial import Trial

SADE = Architecture(3, "cosine", 30.0, reduced=True)


def trial(precision: str = "float32", **sets: object) -> Trial:
    protocol = load_protocol_config(
        "cifar100-lt", {key.replace("__", "."): value for key, value in sets.items()}
    )
    return Trial(protocol, "sade", {}, 1, "", protocol.recipe, 0, precision, "a", "b")


@pytest.fixture
def settings() -> Settings:
    return Settings(results="results", data_dir=None, device="cpu")


def test_a_trial_of_cifar_size_fits_into_what_every_trial_is_given(settings: Settings) -> None:
    assert 1 << 30 < training_memory(trial(), SADE, 10_847, settings) < 3 << 30


def test_large_images_take_more_and_half_precision_less(settings: Settings) -> None:
    large = {"model__backbone": "resnet50", "data__image_size": 224}
    memory = training_memory(trial(**large), SADE, 1_000, settings)
    half = training_memory(trial("bf16", **large), SADE, 1_000, settings)
    few = training_memory(trial(**large, recipe__batch_size=32), SADE, 1_000, settings)
    weights = 12 * 23_500_000  # of a ResNet-50 alone: weights, gradients, momentum
    assert memory > (1 << 30) + weights + 128 * 4 * 3 * 224**2
    assert memory / 2 < half < 0.65 * memory
    assert few < 0.5 * memory


def test_time_follows_the_arithmetic(settings: Settings) -> None:
    def seconds(wanted: Trial) -> float:
        folder = wanted.folder(Path("nowhere"))
        return estimate_trial(wanted, SADE, (), (1_000, 10), "new", folder, settings, "cpu").seconds

    small = seconds(trial(model__backbone="resnet10", data__image_size=112))
    large = seconds(trial(model__backbone="resnet10", data__image_size=224))
    assert 3 < large / small < 4.2
    assert seconds(replace(trial(), precision="bf16")) > 0


@pytest.mark.parametrize(("images", "width"), [(10_000, 4), (1_000_000, 2)])
def test_views_of_large_sets_are_counted_as_float16(
    settings: Settings, images: int, width: int
) -> None:
    wanted = trial()
    row = resolve_row(parse_row("sade+stability"), wanted.protocol, load_registries())
    folder = wanted.folder(Path("nowhere"))
    args = (SADE, (row,), (1_000, images), "finished", folder, settings, "cpu")
    pairs = 2 * wanted.protocol.views.pairs
    found = estimate_trial(wanted, *args).bytes
    assert found == 200_000 + pairs * width * images * 3 * 100


def test_a_plan_looks_through_each_folder_of_trials_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Their finished trials tell how long one takes; to look for each trial anew would be quadratic."""
    looked: list[str] = []
    glob = Path.glob

    def counted(path: Path, pattern: str) -> Iterator[Path]:
        if pattern == "*/trial.json":
            looked.append(path.name)
        return glob(path, pattern)

    monkeypatch.setattr(Path, "glob", counted)
    request = Request("ce,sade", "digits-lt", seeds=(0, 1, 2), results=tmp_path, device="cpu")
    assert len(prepare(request).trials) == 6
    assert sorted(looked) == ["ce", "sade"]
