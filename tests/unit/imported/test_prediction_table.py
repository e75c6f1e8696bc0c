"""A table of predictions: rows in any order, columns by name, probabilities or logits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import ltbench
from ltbench.data.sources import open_data
from ltbench.errors import InputError

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def digits() -> Any:
    return open_data(ltbench.load_protocol("digits-lt").data).test


def scores(labels: np.ndarray[Any, Any], classes: int) -> np.ndarray[Any, Any]:
    z = np.random.default_rng(1).normal(size=(len(labels), classes))
    z[np.arange(len(labels)), labels] += 2
    return z


def softmax(z: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    p = np.exp(z)
    result: np.ndarray[Any, Any] = p / p.sum(axis=1, keepdims=True)
    return result


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_rows_and_columns_in_any_order(digits: Any, tmp_path: Path, suffix: str) -> None:
    z = scores(digits.labels, 10)
    frame = pd.DataFrame(softmax(z), columns=[str(c) for c in digits.class_names])
    frame.insert(0, "index", np.arange(len(z)))
    frame = frame.sample(frac=1, random_state=0)[["index", *frame.columns[:0:-1]]]
    path = tmp_path / f"p{suffix}"
    frame.to_csv(path, index=False) if suffix == ".csv" else frame.to_parquet(path)
    common = {"protocol": "digits-lt", "name": "mine", "strategies": "none"}
    told = ltbench.import_outputs(predictions=path, results=tmp_path / "a", **common)
    plain = ltbench.import_outputs(z, digits.labels, results=tmp_path / "b", **common)
    assert told.uniform == plain.uniform
    assert any("hold probabilities; their logarithms" in note for note in told.notes)
    assert any("columns were moved" in note for note in told.notes)


def table(folder: Path, **changes: Any) -> Path:
    labels = np.repeat([0, 1, 2], 12)
    z = scores(labels, 3)
    columns: dict[str, Any] = {
        "file": [f"{i}.jpg" for i in range(36)],
        "label": [("ant", "bee", "cow")[y] for y in labels],
        **{name: z[:, c] for c, name in enumerate(("bee", "ant", "cow"))},
    }
    columns |= changes
    kept = {name: values for name, values in columns.items() if values is not None}
    pd.DataFrame(kept).to_csv(folder / "p.csv", index=False)
    return folder / "p.csv"


def test_without_a_protocol_names_are_the_columns(tmp_path: Path) -> None:
    done = ltbench.import_outputs(
        predictions=table(tmp_path), counts=[90, 40, 10], name="mine", results=tmp_path / "r"
    )
    record = json.loads((done.folder / "trial.json").read_text())
    assert record["data"]["class_names"] == ["bee", "ant", "cow"]
    assert record["data"]["train_counts"] == [90, 40, 10]  # in the order of the columns


GONE = dict.fromkeys(("bee", "ant", "cow"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({**GONE, "prediction": ["ant"] * 36}, "predicted classes alone tell no scores"),
        (GONE, "no column for each class"),
        ({"label": None}, "no column 'label'"),
        ({"file": None}, "neither a column 'index' nor 'file'"),
        ({"file": ["a.jpg"] * 36}, "file 'a.jpg' has two rows"),
        ({"label": ["ant"] * 35 + ["owl"]}, "'owl' of image 35 is no class of the model"),
        ({"ant": ["x", *"1" * 35]}, "row 0: 'x' is not a number"),
        ({"comment": ["ant"] * 36}, "'ant' is not a number; every column but"),
        ({n: np.arange(36) % 2 for n in GONE}, "holds whole numbers alone"),
    ],
)
def test_what_is_no_such_table(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        ltbench.import_outputs(
            predictions=table(tmp_path, **changes), counts=[90, 40, 10], name="mine",
            results=tmp_path / "r",
        )  # fmt: skip
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "r").exists()


def test_rows_are_found_by_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LTBENCH_CACHE", str(tmp_path / "cache"))
    names = ("ant", "bee")
    for split in ("train", "test"):
        for name in names:
            folder = tmp_path / "own" / split / name
            folder.mkdir(parents=True)
            for k in range(4):
                Image.new("RGB", (8, 8), (20 * k, 0, 0)).save(folder / f"{k}.png")
    (tmp_path / "own.toml").write_text(
        "name='own'\nversion='1'\ntitle='Own'\n[data]\nsource='image-folder'\npath='own'\n"
        "classes=2\nimage_size=8\n[train]\nprofile='all'\n[recipe]\nepochs=1\nbatch_size=8\nlr=0.1\n"
    )
    files = [f"test/{name}/{k}.png" for name in names for k in range(4)]
    z = scores(np.repeat([0, 1], 4), 2)
    frame = pd.DataFrame({"file": files, "ant": z[:, 0], "bee": z[:, 1]})
    frame[::-1].to_csv(tmp_path / "p.csv", index=False)
    common = {"name": "mine", "protocol": str(tmp_path / "own.toml"), "results": tmp_path / "r"}
    done = ltbench.import_outputs(predictions=tmp_path / "p.csv", **common)
    stored = ltbench.load_logits(done.folder)
    np.testing.assert_allclose(stored.logits[:, 0].numpy(), z, rtol=1e-6)
    frame[1:].to_csv(tmp_path / "p.csv", index=False)
    with pytest.raises(InputError, match=r"lacks 1 of the 8 test images .* 'test/ant/0.png'"):
        ltbench.import_outputs(predictions=tmp_path / "p.csv", **common)
    frame.assign(file=["x.png", *files[1:]]).to_csv(tmp_path / "p.csv", index=False)
    with pytest.raises(InputError, match=r"file 'x\.png' is no test image of own"):
        ltbench.import_outputs(predictions=tmp_path / "p.csv", **common)
