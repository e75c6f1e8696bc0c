"""``load_model``: the published networks give the numbers that their records state."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import ltbench
from ltbench.data.sources import open_data
from ltbench.errors import InputError, LtbenchError
from ltbench.trial.checked import read_checked

PUBLISHED = Path(__file__).resolve().parents[3] / "results/published"
WITH_WEIGHTS = sorted(PUBLISHED.glob("digits-lt/*/0-*/weights.safetensors"))


@pytest.fixture(scope="module")
def images() -> tuple[np.ndarray, np.ndarray]:
    test = open_data(ltbench.load_protocol("digits-lt").data).test
    return test.read(np.arange(len(test))), np.array(test.labels)


def test_there_are_published_networks() -> None:
    assert len(WITH_WEIGHTS) >= 4


@pytest.mark.parametrize("weights", WITH_WEIGHTS, ids=lambda path: path.parent.parent.name)
def test_predictions_are_those_of_the_record(
    weights: Path, images: tuple[np.ndarray, np.ndarray]
) -> None:
    model = ltbench.load_model(weights.parent)
    pixels, labels = images
    logits = model(pixels)
    assert logits.dtype == torch.float32
    assert logits.shape == (600, model.record["model"]["experts"], 10)
    name = weights.parent.parent.name
    (path,) = (weights.parent / "evaluations").glob(f"{name}+none-*.json")
    uniform = json.loads(path.read_text())["distributions"]["uniform"]["draws"]["0"]
    hits = model.predict(torch.from_numpy(pixels)).numpy() == labels
    # One image of 600: the last bits of another machine may turn a tie.
    assert 100 * hits.mean() == pytest.approx(uniform["top1"], abs=0.17)
    assert torch.equal(model.scores(pixels[:7]).argmax(1), model.predict(pixels[:7]))
    assert model.class_names[3] == "three"


def test_a_hash_and_its_start_are_enough(images: tuple[np.ndarray, np.ndarray]) -> None:
    folder = WITH_WEIGHTS[0].parent
    number = folder.name.partition("-")[2]
    for text in (number, number[:6]):
        model = ltbench.load_model(text, results=PUBLISHED)
        assert model.record["trial"] == number


@pytest.mark.parametrize(
    ("trial", "message"),
    [
        ("ffffffffffff", "no trial whose hash starts with 'ffffffffffff'"),
        ("ab", "at least 4 characters"),
        ("no/such/folder", "give its folder"),
        (str(PUBLISHED), "is no trial"),
    ],
)
def test_what_is_no_trial_is_refused(trial: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        ltbench.load_model(trial, results=PUBLISHED)


def test_damaged_or_missing_weights_are_told_in_one_line(tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    shutil.copytree(WITH_WEIGHTS[0].parent, bare, ignore=shutil.ignore_patterns("weights*"))
    with pytest.raises(InputError, match="without weights"):
        ltbench.load_model(bare)
    copy = tmp_path / "trial"
    shutil.copytree(WITH_WEIGHTS[0].parent, copy)
    other = next(w for w in WITH_WEIGHTS if w.parent.parent.name == "sade")
    shutil.copy(other, copy / "weights.safetensors")
    with pytest.raises(InputError, match=r"does not fit trial\.json") as caught:
        ltbench.load_model(copy)
    assert "\n" not in str(caught.value)
    (copy / "weights.safetensors").write_bytes(b"\x80\x04nonsense")
    with pytest.raises(LtbenchError, match="is damaged"):
        ltbench.load_model(copy)


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((2, 3, 8, 8), dtype=np.float32),
        np.zeros((3, 8, 8), dtype=np.uint8),
        np.zeros((2, 8, 8, 3), dtype=np.uint8),
        np.zeros((0, 3, 8, 8), dtype=np.uint8),
    ],
)
def test_other_images_are_refused(wrong: np.ndarray) -> None:
    model = ltbench.load_model(WITH_WEIGHTS[0].parent)
    with pytest.raises(InputError, match=r"uint8 \(B, 3, H, W\)|at least one image"):
        model(wrong)


def test_a_copy_of_ones_own_is_the_same_trial(tmp_path: Path) -> None:
    """After `make demo` a published trial lies in results/, too."""
    source = WITH_WEIGHTS[0].parent
    number, place = source.name.partition("-")[2], source.relative_to(PUBLISHED)
    for folder in (tmp_path, tmp_path / "published"):
        shutil.copytree(source, folder / place)
    assert ltbench.load_model(number, results=tmp_path).record["trial"] == number
    (tmp_path / "published" / place / "weights.safetensors").unlink()
    ltbench.load_model(number, results=tmp_path)  # so it was the own one
    shutil.copy(source / "weights.safetensors", tmp_path / "published" / place)
    (tmp_path / place / "weights.safetensors").unlink()
    assert ltbench.load_model(number, results=tmp_path).record["trial"] == number


def test_a_method_of_other_code_gives_logits_and_no_prediction(tmp_path: Path) -> None:
    copy = tmp_path / "trial"
    shutil.copytree(WITH_WEIGHTS[0].parent, copy)
    record = read_checked(copy / "trial.json")
    record["identity"]["training"]["digest"] = "0123456789abcdef"
    (copy / "trial.json").write_text(json.dumps(record))
    model = ltbench.load_model(copy)
    pixels = np.zeros((2, 3, 8, 8), dtype=np.uint8)
    assert model(pixels).shape[0] == 2
    with pytest.raises(InputError, match="code 01234567, here as shipped"):
        model.predict(pixels)


def test_a_method_of_another_version_gives_logits_and_no_prediction(tmp_path: Path) -> None:
    copy = tmp_path / "trial"
    shutil.copytree(WITH_WEIGHTS[0].parent, copy)
    record = read_checked(copy / "trial.json")
    record["training"]["version"] = 99
    (copy / "trial.json").write_text(json.dumps(record))
    model = ltbench.load_model(copy)
    pixels = np.zeros((2, 3, 8, 8), dtype=np.uint8)
    assert model(pixels).shape[0] == 2
    with pytest.raises(InputError, match="version 99"):
        model.predict(pixels)
