"""Features from a folder to a finished trial, and what cannot stand on them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

import ltbench
from ltbench.data.digits import load_digits
from ltbench.data.feature_source import grey_values
from ltbench.data.sources import open_data
from ltbench.data.subset import take_classes
from ltbench.errors import DataError, InputError, LtbenchError
from ltbench.execute.prepare import prepare
from ltbench.execute.request import Request
from ltbench.features.dataset import FeatureDataset
from ltbench.features.header import Encoder, Header, Origin
from ltbench.features.views import views_identity
from ltbench.features.write import FolderWriter
from ltbench.protocol.file import load_protocol_config
from ltbench.task import build_task
from tests.in_process import without_workers

QUICK = {"recipe.epochs": 2, "test.draws": 1, "test.ratios": [10]}
TEXT = """extends = "digits-features"
name = "digits-folder"
unset = ["data.options"]
[data]
source = "features"
classes = 10
"""


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A cache of the test's own; trials within its process."""
    without_workers(monkeypatch)
    monkeypatch.setenv("LTBENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def protocol(tmp_path: Path) -> str:
    path = tmp_path / "digits-folder.toml"
    path.write_text(TEXT)
    return str(path)


def names_of_digits() -> torch.Tensor:
    """The mean image of each digit, of other lengths: what a text encoder might say of its name."""
    train = load_digits().train
    images = torch.from_numpy(grey_values(train.read(np.arange(len(train))))).float()
    labels = torch.from_numpy(train.labels.copy())
    return torch.stack([(c + 1) * images[labels == c].mean(dim=0) for c in range(10)]).half()


def write(
    folder: Path,
    *,
    order: NDArray[np.int64] | None = None,
    part: bool = False,
    views: str | None = None,
    pairs: int = 0,
    copies: int = 0,
    experts: int = 1,
    text: bool = False,
) -> Path:
    """The digits' pixels, the training images in ``order``."""
    splits = load_digits()
    names = splits.train.class_names
    header = Header(
        *(Encoder("pixels:8x8", weights="sha256:1"), 64),
        source=Origin("digits", splits.train.fingerprint),
        class_names=names,
        whole_pool=not part,
        experts=experts,
        augmented=copies,
        pairs=pairs,
        views=views,
    )
    writer = FolderWriter(folder)
    for split, dataset in (("train", splits.train), ("test", splits.test)):
        chosen = np.arange(len(dataset))
        if split == "train":
            chosen = chosen[::3] if part else chosen if order is None else order
        clean = torch.from_numpy(grey_values(dataset.read(chosen)))
        clean = clean if experts == 1 else torch.stack([clean] * experts)
        tensors = {
            "clean": clean,
            "labels": torch.tensor(dataset.labels[chosen]),
            "row": torch.from_numpy(chosen),
        }
        if split == "train":
            tensors |= {f"aug{k}": clean for k in range(copies)}
        writer.file(f"{split}.safetensors", tensors)
        if split == "test":
            for k in range(pairs):
                writer.file(f"pair{k}.safetensors", {"a": clean, "b": clean})
    if text:
        writer.file("heads.safetensors", {"text": names_of_digits()})
    writer.finish(header)
    return folder


def run(
    protocol: str, folder: Path | None, results: Path, methods: str = "ce", **sets: Any
) -> dict[str, Any]:
    ltbench.run(
        methods,
        protocol,
        **{**QUICK, **sets},
        data_dir=folder,
        results=results,
        device="cpu",
    )
    (trial,) = results.glob("*/*/*/trial.json")
    weights = load_file(trial.parent / "weights.safetensors")
    return {"record": json.loads(trial.read_text()), "weights": weights, "folder": trial.parent}


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    pairs = [(one["weights"][k], other["weights"][k]) for k in one["weights"]]
    return all(torch.equal(a, b) for a, b in pairs)


def test_a_folder_in_any_order_trains_as_what_is_in_memory(tmp_path: Path, protocol: str) -> None:
    order = np.random.RandomState(0).permutation(1197)
    inside = run("digits-features", None, tmp_path / "0")
    seen = {"data.encoder.overlap": "all digits"}
    straight = run(protocol, write(tmp_path / "a"), tmp_path / "1", **seen)
    permuted = run(protocol, write(tmp_path / "b", order=order, copies=1), tmp_path / "2")
    assert same(inside, straight)
    assert same(inside, permuted)
    assert straight["record"]["data"]["encoder"]["name"] == "pixels:8x8"
    assert straight["record"]["data"]["encoder"]["overlap"] == "all digits"
    assert straight["record"]["protocol"]["variant"] == inside["record"]["protocol"]["variant"]
    assert "encoder" not in inside["record"]["data"]
    images = load_digits().train.fingerprint
    assert [each["record"]["data"]["images_fingerprint"] for each in (inside, straight)] == [
        images,
        images,
    ]
    model = ltbench.load_model(straight["folder"])
    features = grey_values(load_digits().test.read(range(600)))
    stored = load_file(straight["folder"] / "logits.safetensors")["logits"]
    torch.testing.assert_close(model(features), stored, atol=1e-5, rtol=0)
    with pytest.raises(InputError, match=r"takes features \(B, 64\)"):
        model(np.zeros((1, 3, 8, 8), np.uint8))


def planned(protocol: str, folder: Path | None, methods: str, **changes: Any) -> Any:
    sets = changes.pop("overrides", {})
    request = Request(
        methods, protocol, device="cpu", data_dir=folder, overrides={**QUICK, **sets}, **changes
    )
    return prepare(replace(request, dry_run=True))


@pytest.mark.parametrize(
    ("methods", "message"),
    [
        ("ce+tent", r"ce\+tent: adapts BatchNorm; frozen features have none"),
        ("ce+bn-adapt", r"ce\+bn-adapt: adapts BatchNorm; frozen features have none"),
        ("cmo", "method 'cmo' works on pixels; frozen features have none"),
        ("paco", "method 'paco' asks for the views .* frozen features have none"),
        ("reslt", "BatchNorms of a feature map; frozen features have none"),
    ],
)
def test_what_needs_images_or_a_trunk_is_refused_in_one_line(methods: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        planned("digits-features", None, methods)
    assert "\n" not in str(error.value)


def test_all_leaves_out_what_cannot_stand_on_features() -> None:
    plan = planned("digits-features", None, "all")
    out = " ".join(plan.left_out)
    for name in ("cmo", "paco", "reslt"):
        assert f"{name} is left out" in out
    trained = {trial.training for trial in plan.trials}
    assert {"ce", "sade", "ride", "mixup", "remix", "tau-norm"} <= {
        t.split("[")[0] for t in trained
    }


def test_a_plan_says_that_heads_alone_are_all_there_is() -> None:
    def notes(methods: str, **changes: Any) -> list[str]:
        return [n for n in planned("digits-features", None, methods, **changes).notes if "crt" in n]

    (note,) = notes("ce,crt")
    assert "trains heads alone, and on frozen features without an adapter" in note
    assert notes("ce,crt", overrides={"model.adapter": 0.2}) == []
    assert notes("ce,sade") == []


def test_the_mode_augmented_is_refused() -> None:
    with pytest.raises(InputError, match="augments test images; frozen features have none"):
        planned("digits-features", None, "ce", mode="augmented")


def test_pairs_of_views_must_be_enough_and_of_the_protocol(tmp_path: Path, protocol: str) -> None:
    views = views_identity(load_protocol_config(protocol).views)
    two = write(tmp_path / "two", pairs=2, views=views)
    with pytest.raises(
        InputError, match=r"needs 5 pairs of views \(views.pairs\), and .* stores 2"
    ):
        planned(protocol, two, "sade")
    planned(protocol, two, "sade", overrides={"views.pairs": 2})
    planned(protocol, two, "sade+none")
    with pytest.raises(
        InputError, match=r"rendered by other settings than the protocol's \[views\]"
    ):
        planned(protocol, two, "sade", overrides={"views.pairs": 2, "views.seed": 1})
    out = planned(protocol, two, "all").left_out
    assert any(line.startswith("sade is left out: strategy 'stability' needs 5") for line in out)


def test_a_part_of_the_pool_is_trained_on_as_it_is_or_not_at_all(
    tmp_path: Path, protocol: str
) -> None:
    part = write(tmp_path / "part", part=True)
    every = {"train.profile": "all", "train.imbalance": 1, "train.max_count": None}
    planned(protocol, part, "ce", overrides=every)
    with pytest.raises(InputError, match=r'train.profile = "exponential" draws from all images'):
        planned(protocol, part, "ce")
    with pytest.raises(InputError, match=r"train.holdout = 0.1 draws from all images"):
        planned(protocol, part, "ce", overrides={**every, "train.holdout": 0.1})


def test_sets_of_features_are_one_for_each_expert(tmp_path: Path, protocol: str) -> None:
    three = write(tmp_path / "three", experts=3)
    planned(protocol, three, "sade+none")
    with pytest.raises(InputError, match="has 3 feature sets, one an expert, and ce has 1 experts"):
        planned(protocol, three, "ce")


def test_names_and_means_of_classes_are_heads_without_training(
    tmp_path: Path, protocol: str
) -> None:
    """Both against slow transcriptions, and against each other through ``init`` without an epoch."""
    folder = write(tmp_path / "f", text=True)
    results = tmp_path / "results"
    ltbench.run("zero-shot,ncm", protocol, **QUICK, data_dir=folder, results=results, device="cpu")
    splits = load_digits()
    test = grey_values(splits.test.read(np.arange(len(splits.test)))).astype(np.float64)

    def unit(a: NDArray[Any]) -> NDArray[Any]:
        return np.array([row / np.sqrt(sum(v * v for v in row)) for row in a])

    def stored(name: str) -> tuple[NDArray[Any], dict[str, Any]]:
        (path,) = results.glob(f"*/{name}/*/trial.json")
        logits = load_file(path.parent / "logits.safetensors")["logits"][:, 0].double().numpy()
        return logits, json.loads(path.read_text())

    logits, record = stored("zero-shot")
    expected = 100 * unit(test) @ unit(names_of_digits().double().numpy()).T
    np.testing.assert_allclose(logits, expected, atol=1e-3)
    assert (logits.argmax(axis=1) == splits.test.labels).mean() > 0.8
    assert record["cost"]["epochs"] == 0
    assert "parent" not in record
    assert not list(results.glob("*/zero-shot/*/checkpoint*"))
    logits, record = stored("ncm")
    assert record["cost"]["epochs"] == 0
    task = build_task(
        load_protocol_config(protocol), open_data(load_protocol_config(protocol).data, folder)
    )
    rows = task.train.indices
    f = grey_values(splits.train.read(rows)).astype(np.float64)
    labels, centre = splits.train.labels[rows], f.mean(axis=0)
    f, x = unit(f - centre), unit(test - centre)
    means = np.array(
        [np.mean([v for v, y in zip(f, labels, strict=True) if y == c], axis=0) for c in range(10)]
    )
    distance = ((x[:, None] - means[None]) ** 2).sum(axis=2)
    gaps, expected = logits - logits[:, :1], distance[:, :1] - distance
    np.testing.assert_allclose(gaps, expected, atol=1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model.input": "centre"}, "as they are; model.input = 'centre' changes the latter"),
        ({"model.adapter": 0.2}, "as they are; model.adapter = 0.2 changes the latter"),
    ],
)
def test_names_mean_nothing_beside_changed_features(
    tmp_path: Path, protocol: str, change: dict[str, Any], message: str
) -> None:
    folder = write(tmp_path / "with", text=True)
    with pytest.raises(InputError, match=message):
        planned(protocol, folder, "zero-shot", overrides=change)
    planned(protocol, folder, "zero-shot", overrides={"model.input": "l2"})


def test_without_names_there_is_no_zero_shot(tmp_path: Path, protocol: str) -> None:
    told = "zero-shot: method 'zero-shot' needs features of the class names, "
    with pytest.raises(InputError, match=f"{told}and .* has no heads.safetensors"):
        planned(protocol, write(tmp_path / "without"), "zero-shot")
    with pytest.raises(InputError, match=f"{told}which source 'digits' has not"):
        planned("digits-lt", None, "zero-shot")
    out = planned("digits-features", None, "all").left_out
    assert any(line.startswith("zero-shot is left out: method 'zero-shot' needs") for line in out)


def test_text_to_start_from_must_be_there(tmp_path: Path, protocol: str) -> None:
    change = {"model.init": "text"}
    planned(protocol, write(tmp_path / "with", text=True), "ce", overrides=change)
    with pytest.raises(InputError, match=r"has no heads\.safetensors"):
        planned(protocol, write(tmp_path / "without"), "ce", overrides=change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data.dim": 32}, "dim is 64; the protocol says data.dim = 32"),
        ({"data.encoder.name": "timm:x"}, "name is 'pixels:8x8'; the protocol says"),
        ({"data.encoder.weights": "sha256:2"}, "weights is 'sha256:1'; the protocol says"),
        ({"data.classes": 9}, "has 10 classes, the protocol says 9"),
    ],
)
def test_a_folder_of_another_encoder_is_refused(
    tmp_path: Path, protocol: str, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        planned(protocol, write(tmp_path / "x"), "ce", overrides=change)


def test_a_lying_digest_is_found_by_a_thorough_look(tmp_path: Path, protocol: str) -> None:
    folder = write(tmp_path / "x")
    path = folder / "features.json"
    header = json.loads(path.read_text())
    header["tensors"]["test.safetensors"]["clean"]["sha256"] = "0" * 64
    path.write_text(json.dumps(header))
    config = load_protocol_config(protocol).data
    open_data(config, folder)
    with pytest.raises(DataError, match="clean has the SHA-256"):
        open_data(config, folder, thorough=True)


def test_without_a_folder_it_says_what_is_missing(protocol: str) -> None:
    with pytest.raises(LtbenchError, match=r"features\.json"):
        open_data(load_protocol_config(protocol).data)


def test_some_classes_of_features(tmp_path: Path) -> None:
    config = load_protocol_config("digits-features", {"data.subset": "three,one"}).data
    splits = open_data(config)
    whole = load_digits()
    images = take_classes(whole, ("three", "one")).train.fingerprint
    assert isinstance(splits.train, FeatureDataset)
    places = np.flatnonzero(np.isin(whole.train.labels, [1, 3]))
    assert np.array_equal(
        splits.train.read(range(len(places))), grey_values(whole.train.read(places))
    )
    assert splits.train.labels.tolist() == [int(whole.train.labels[p] == 1) for p in places]
    assert isinstance(splits.test, FeatureDataset)
    assert splits.train.origin == images != whole.train.fingerprint
    assert splits.test.live is not None
    images = splits.test.live.images
    assert np.array_equal(grey_values(images.read(range(120))), splits.test.read(range(120)))
