"""A model's own hold-out and view logits: a trial of ltbench gets its own numbers by that door."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import ltbench
from ltbench.errors import InputError
from ltbench.registry import load_registries
from tests.in_process import without_workers

STRATEGIES = (
    "stability",
    "bbse",
    "rlls",
    "bcts-mlls",
    "oracle-calibrated",
    "mlls[temperature=holdout]",
)
SHORT: dict[str, Any] = {
    "recipe": {"epochs": 1},
    "test": {"ratios": [5], "draws": 1, "partial": False},
    "train": {"holdout": 0.1},
    "views": {"pairs": 2},
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Outputs of a trial of sade: test, hold-out and views, and its record of each strategy."""
    cache = tmp_path_factory.mktemp("extras-cache")
    results = tmp_path_factory.mktemp("extras")
    with pytest.MonkeyPatch.context() as patch:
        without_workers(patch)
        patch.setenv("LTBENCH_CACHE", str(cache))
        outcome = ltbench.run(
            [f"sade+{strategy}" for strategy in STRATEGIES], "digits-lt", seeds=1,
            results=results, device="cpu", jobs=1, **SHORT,
        )  # fmt: skip
    assert not outcome.failures
    (folder,) = results.glob("digits-lt/sade/0-*")
    stored = ltbench.load_logits(folder)
    (pairs,) = cache.glob("view-logits/*")
    views = torch.cat([load_file(pairs / f"pair{k}.safetensors")["logits"] for k in range(2)])
    records = {}
    for path in folder.glob("evaluations/*.json"):
        record = json.loads(path.read_text())
        records[record["strategy"], record["strategy_params"]] = record
    return {"stored": stored, "views": views, "records": records}


def given(trained: dict[str, Any]) -> dict[str, Any]:
    stored = trained["stored"]
    plugin = load_registries().methods.get("sade")
    counts = torch.tensor(stored.record["data"]["train_counts"])
    bias = plugin.cls(counts, plugin.cls.hyper_type()).bias()
    assert bias is not None
    return {
        "logits": stored.logits,
        "labels": stored.labels,
        "bias": bias,
        "holdout_logits": stored.holdout,
        "holdout_labels": stored.holdout_labels,
        "view_logits": trained["views"],
        "name": "mine",
        "protocol": "digits-lt",
    }


def test_hold_out_and_views_give_the_numbers_of_the_trial(
    trained: dict[str, Any], tmp_path: Path
) -> None:
    done = ltbench.import_outputs(
        **given(trained), strategies=STRATEGIES, results=tmp_path, **SHORT
    )
    assert len(done.uniform) == len(STRATEGIES)
    for path in done.folder.glob("evaluations/*.json"):
        record = json.loads(path.read_text())
        theirs = trained["records"][record["strategy"], record["strategy_params"]]
        assert set(record["distributions"]) == set(theirs["distributions"])
        for name, expected in theirs["distributions"].items():
            got = record["distributions"][name]["draws"]["0"]
            assert got["top1"] == expected["draws"]["0"]["top1"], record["label"]
    again = ltbench.load_logits(done.folder)
    assert again.holdout is not None
    assert again.holdout_labels is not None
    assert torch.equal(again.holdout, trained["stored"].holdout)
    assert torch.equal(again.holdout_labels, trained["stored"].holdout_labels)


def test_views_in_the_other_order_are_the_same_import(
    trained: dict[str, Any], tmp_path: Path
) -> None:
    first = given(trained)
    other = {**first, "view_logits": first["view_logits"].transpose(0, 1)}
    folders = [
        ltbench.import_outputs(**g, strategies="none", results=tmp_path / str(i), **SHORT).folder
        for i, g in enumerate((first, other))
    ]
    assert folders[0].name == folders[1].name
    plain = {k: v for k, v in first.items() if k not in ("holdout_logits", "holdout_labels")}
    alone = ltbench.import_outputs(**plain, strategies="none", results=tmp_path / "2", **SHORT)
    assert alone.folder.name != folders[0].name
    with pytest.raises(InputError, match="there with another holdout_logits="):
        ltbench.import_outputs(**plain, strategies="none", results=tmp_path / "0", **SHORT)


def test_all_that_apply_are_run_and_the_bias_is_fitted(
    trained: dict[str, Any], tmp_path: Path
) -> None:
    without_bias = {k: v for k, v in given(trained).items() if k != "bias"}
    done = ltbench.import_outputs(**without_bias, results=tmp_path, **SHORT)
    ran = {label.removeprefix("mine+").removesuffix(" (imported)") for label in done.uniform}
    assert {"stability", "bbse", "rlls", "bcts-em", "oracle", "tilt-holdout"} <= ran
    assert not ran & {"tent", "bn-adapt"}
    found = [json.loads(path.read_text()) for path in done.folder.glob("evaluations/*.json")]
    (oracle,) = [record for record in found if record["strategy"] == "oracle"]
    assert oracle["bias"]["kind"] == "fitted"


@pytest.mark.parametrize(
    ("change", "strategy", "message"),
    [
        ({"view_logits": None}, "stability", r"augmented views .* view_logits= gives them"),
        (
            {"holdout_logits": None, "holdout_labels": None},
            "bbse",
            "held-out training images.*holdout_logits= and holdout_labels= give them",
        ),
        ({}, "tent", "needs the network itself, which imported logits do not bring$"),
        ({"holdout_labels": None}, "none", "holdout_labels= is missing"),
        ({"holdout_logits": None}, "none", "holdout_logits= is missing"),
    ],
)
def test_a_row_without_what_it_needs_names_the_option(
    trained: dict[str, Any], tmp_path: Path, change: dict[str, Any], strategy: str, message: str
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        ltbench.import_outputs(
            **{**given(trained), **change}, strategies=strategy, results=tmp_path, **SHORT
        )
    assert "\n" not in str(caught.value)


def test_other_shapes_and_another_hold_out_are_refused(
    trained: dict[str, Any], tmp_path: Path
) -> None:
    def refused(message: str, **change: Any) -> None:
        with pytest.raises(InputError, match=message):
            ltbench.import_outputs(
                **{**given(trained), **change}, strategies="none", results=tmp_path, **SHORT
            )

    views, held = trained["views"], trained["stored"].holdout
    labels = trained["stored"].holdout_labels
    refused("V views of each test image, an even number", view_logits=views[:3])
    refused("expected", view_logits=views[:, :, :2])
    refused("view 1: the logits of image 0", view_logits=with_nan(views))
    refused("has 1 experts and 10 classes", holdout_logits=held[:, :1])
    refused("labels, ", holdout_labels=labels[:-1])
    refused("holds out, in their order", holdout_labels=labels.flip(0))
    refused("holds out, in their order", holdout_labels=labels[1:], holdout_logits=held[1:])


def with_nan(views: torch.Tensor) -> torch.Tensor:
    changed = views.clone()
    changed[1, 0, 0, 0] = np.nan
    return changed
