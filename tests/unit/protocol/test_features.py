"""What a protocol of frozen features may say: no settings of images, and no others' of features."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from ltbench.contract.check import checks_of
from ltbench.errors import InputError
from ltbench.protocol.file import load_protocol_config
from ltbench.protocol.protocol import DataConfig, ModelConfig, Recipe
from ltbench.trial.trial import Trial

ON_CIFAR = """extends = "cifar100-lt"
name = "own"
[data]
source = "features"
classes = 100
{data}
[model]
backbone = "frozen"
{model}
[groups]
many_above = 100
few_below = 20
"""


FROZEN = ("cifar100-lt", "imagenet-lt", "places-lt", "inat18-lt")


@pytest.mark.parametrize("base", FROZEN)
def test_the_recipe_on_features_of_large_encoders_is_that_of_lift(base: str) -> None:
    frozen, images = load_protocol_config(f"{base}-frozen"), load_protocol_config(base)
    epochs = 20 if base == "inat18-lt" else 10
    assert frozen.recipe == Recipe(
        epochs=epochs, batch_size=128, lr=0.01, momentum=0.9, nesterov=False, weight_decay=5e-4,
        warmup_epochs=0, schedule="cosine",
    )  # fmt: skip
    assert frozen.model == ModelConfig("frozen", head="cosine", scale=25, head_bias=True)
    assert frozen.data == DataConfig("features", images.data.classes)
    assert frozen.views == dataclasses.replace(images.views, pairs=1)
    for part in ("train", "groups", "seeds"):
        assert getattr(frozen, part) == getattr(images, part)
    assert frozen.test == dataclasses.replace(images.test, published="")
    assert not frozen.methods
    told = [check.finding() for check in checks_of(f"{base}-frozen")]
    assert {finding.name for finding in told if not finding.holds} == {"images_are_here"}


def load(tmp_path: Path, data: str = "", model: str = "", **sets: Any) -> Any:
    path = tmp_path / "own.toml"
    path.write_text(ON_CIFAR.format(data=data, model=model))
    return load_protocol_config(str(path), {k.replace("__", "."): v for k, v in sets.items()})


def test_what_the_extended_file_does_to_pixels_is_not_taken_over(tmp_path: Path) -> None:
    found = load(tmp_path, "dim = 768")
    images = load_protocol_config("cifar100-lt")
    assert images.recipe.flip
    assert images.recipe.crop_padding > 0
    assert not found.recipe.flip
    assert (found.recipe.crop_padding, found.recipe.rotation) == (0, 0)
    assert found.recipe.epochs == images.recipe.epochs
    assert (found.data.image_size, found.data.mean, found.data.dim) == (0, None, 768)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("recipe.flip", True, r"own\.recipe\.flip: features come with stored copies"),
        ("recipe.crop_padding", 4, "crop_padding: features come with stored copies"),
        ("recipe.rotation", 15, "rotation: features come with stored copies"),
        ("recipe.augment", "cutout", "augment: features come with stored copies"),
        ("methods.ce.recipe.flip", True, r"methods\.ce\.recipe\.flip: features come with"),
        ("data.image_size", 32, "image_size is of images"),
        ("data.mean", [0.5, 0.5, 0.5], "mean is of images"),
        ("data.fit", "pad", "fit is of images"),
        ("data.dim", 0, "dim = 0 must be at least 1"),
        ("data.encoder.overlap", "a\nb", "overlap must be one line"),
        ("data.encoder.nam", "x", "has no 'nam'.*did you mean 'name'"),
        ("model.backbone", "resnet32", 'does not go with source "features"'),
        ("model.input", "centered", "input = 'centered' must be one of: none, centre"),
        ("model.adapter", 1.5, "adapter = 1.5 must be at most 1"),
        ("model.init", "zero", "init = 'zero' must be one of: random, class-mean, text"),
        ("model.shared", 1, "shared = 1 is not known for backbone 'frozen'"),
    ],
)
def test_settings_of_images_are_refused_in_one_line(
    tmp_path: Path, key: str, value: Any, message: str
) -> None:
    with pytest.raises(InputError, match=message) as error:
        load(tmp_path, **{key.replace(".", "__"): value})
    assert "\n" not in str(error.value)


def test_a_scale_without_cosine_heads_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="scale is of cosine heads"):
        load(tmp_path, model='head = "linear"\nscale = 25')


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("model.backbone", "frozen", 'does not go with source "digits"'),
        ("model.head", "cosine", 'head needs backbone = "frozen"'),
        ("model.head_bias", False, 'head_bias needs backbone = "frozen"'),
        ("data.dim", 64, 'dim needs source = "features"'),
        ("data.encoder.name", "timm:x", 'encoder needs source = "features"'),
        ("data.image_size", 3, "image_size = 3 must be at least 4"),
        ("data.image_size", 0, "lacks 'image_size'"),
    ],
)
def test_settings_of_features_are_refused_beside_images(key: str, value: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_protocol_config("digits-lt", {key: value})


def test_what_is_claimed_is_not_hashed_and_what_decides_is(tmp_path: Path) -> None:
    def identity(**sets: Any) -> str:
        protocol = load(tmp_path, **sets)
        facts: Any = (protocol, "ce", {}, 1, "", protocol.recipe, 0, "float32", "a", "b")
        return Trial(*facts).hash

    plain = identity()
    assert identity(data__dim=768) == plain
    assert identity(data__encoder__name="timm:x") == plain
    assert identity(data__encoder__overlap="all of them") == plain
    assert load(tmp_path, data__encoder__overlap="all of them").variant == ""
    changes: dict[str, Any] = {
        "input": "l2", "head": "cosine", "scale": 25, "head_bias": False, "adapter": 0.2,
        "init": "class-mean",
    }  # fmt: skip
    hashes = {identity(**{f"model__{key}": value}) for key, value in changes.items()}
    assert len(hashes | {plain}) == 7
