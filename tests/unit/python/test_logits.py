"""Stored logits with their labels; whatever does not fit together is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import ltbench
from ltbench.trial.checked import read_checked


def folder_of(results: Path, training: str = "sade") -> Path:
    frame = ltbench.list_trials(results)
    return Path(frame[frame.training == training].folder.iloc[0])


def test_logits_labels_and_holdout_of_a_trial(results: Path) -> None:
    folder = folder_of(results)
    stored = ltbench.load_logits(folder)
    test = ltbench.load_images("digits-lt", "test")
    held = ltbench.load_images("digits-lt", "holdout", train={"holdout": 0.1})
    assert stored.logits.shape == (600, 3, 10)
    assert stored.logits.dtype == torch.float32
    assert stored.labels.dtype == torch.int64
    np.testing.assert_array_equal(stored.labels.numpy(), test.labels)
    assert stored.holdout is not None
    assert stored.holdout_labels is not None
    np.testing.assert_array_equal(stored.holdout_labels.numpy(), held.labels)
    assert stored.bias is None
    model = ltbench.load_model(folder)
    torch.testing.assert_close(model(test.images), stored.logits, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(model(held.images), stored.holdout, rtol=1e-4, atol=1e-4)


def test_a_hash_does_as_well(results: Path) -> None:
    trial = ltbench.list_trials(results).trial.iloc[0]
    assert ltbench.load_logits(trial[:6], results=results).record["trial"] == trial


def test_imported_outputs_come_with_their_labels_and_bias(tmp_path: Path) -> None:
    logits, labels = 5 * np.eye(4, dtype=np.float32)[[0, 1, 2, 3, 3]], [0, 1, 2, 3, 3]
    done = ltbench.import_outputs(
        logits, labels, name="mine", counts=[9, 5, 3, 2], bias=[0.0] * 4, results=tmp_path
    )
    stored = ltbench.load_logits(done.folder)
    np.testing.assert_array_equal(stored.logits[:, 0].numpy(), logits)
    assert stored.labels.tolist() == labels
    assert stored.bias is not None
    assert stored.bias.shape == (1, 4)
    assert stored.holdout is None


def test_published_records_say_that_they_have_none() -> None:
    trial = "results/published/digits-lt/sade/0-5a2f83d2ebba"
    root = Path(__file__).resolve().parents[3]
    with pytest.raises(ValueError, match=r"record without logits .*load_model"):
        ltbench.load_logits(root / trial)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("truncated", "damaged"),
        ("fewer images", "does not have the images"),
        ("other dtype", "no float32 logits"),
        ("other data", "fingerprints differ"),
        ("no identity", "does not name its images"),
        ("pickle", "damaged"),
    ],
)
def test_files_that_do_not_fit_are_refused(
    results: Path, tmp_path: Path, fault: str, message: str
) -> None:
    folder = tmp_path / "0-aaaaaaaaaaaa"
    shutil.copytree(folder_of(results), folder)
    path, record = folder / "logits.safetensors", read_checked(folder / "trial.json")
    tensors = {name: tensor.clone() for name, tensor in load_file(path).items()}  # not mapped
    match fault:
        case "truncated":
            path.write_bytes(path.read_bytes()[:100])
        case "pickle":
            torch.save(tensors, path)
        case "fewer images":
            save_file({**tensors, "logits": tensors["logits"][:-1].contiguous()}, path)
        case "other dtype":
            save_file({**tensors, "logits": tensors["logits"].double()}, path)
        case "other data":
            record["identity"]["fingerprints"][1] = "0" * 64
        case "no identity":
            del record["identity"]
    (folder / "trial.json").write_text(json.dumps(record))
    with pytest.raises(ValueError, match=message):
        ltbench.load_logits(folder)
