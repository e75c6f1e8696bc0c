"""The table of predictions: files where images are files, columns that can be told apart."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
import torch

from ltbench.data.dataset import ArrayDataset, FileNames, Splits
from ltbench.data.subset import take_classes
from ltbench.errors import InputError
from ltbench.evaluate.outputs import TrialOutputs
from ltbench.evaluate.predict import Predictions
from ltbench.imported.predictions import _frame, checked_kind, write_frame

LABELS = [0, 1, 2, 1, 0]


def outputs(names: list[str], subset: tuple[str, ...] = (), files: bool = True) -> TrialOutputs:
    images = np.zeros((5, 3, 4, 4), dtype=np.uint8)
    data = ArrayDataset(images, LABELS, names)
    listed = tuple((f"test/{i}.png", label) for i, label in enumerate(LABELS))
    known = FileNames(Path("/data"), listed, listed) if files else None
    splits = take_classes(Splits(data, data, "here", files=known), subset)
    task = SimpleNamespace(splits=splits)
    found = SimpleNamespace(task=task, labels=torch.from_numpy(np.array(splits.test.labels)))
    return cast(TrialOutputs, found)


def test_images_have_their_files_also_of_some_classes() -> None:
    scores = torch.tensor([[0.0, 2.0], [3.0, 0.0]])
    found = Predictions(torch.tensor([1, 2]), scores)  # of a and c: images 0, 2 and 4
    frame = _frame(outputs(["a", "b", "c"], ("a", "c")), found)
    assert frame.file.tolist() == ["test/2.png", "test/4.png"]
    assert frame.label.tolist() == ["c", "a"]
    assert frame.prediction.tolist() == ["c", "a"]
    assert frame.a.tolist() == pytest.approx([1 / (1 + np.exp(2)), 1 / (1 + np.exp(-3))])


def test_names_that_are_taken_get_their_number() -> None:
    found = Predictions(torch.arange(5), torch.zeros(5, 3))
    frame = _frame(outputs(["label", "same", "same"], files=False), found)
    assert list(frame.columns) == [
        *("index", "label", "prediction", "label (0)", "same (1)", "same (2)"),
    ]
    assert frame["index"].tolist() == [0, 1, 2, 3, 4]


def test_where_it_cannot_be_written_is_said_in_a_line(tmp_path: Path) -> None:
    frame = _frame(outputs(["a", "b", "c"]), Predictions(torch.arange(5), torch.zeros(5, 3)))
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"p\.csv cannot be written"):
        write_frame(frame, tmp_path / "file" / "p.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(InputError, match="is a folder"):
        checked_kind(tmp_path / "folder.csv")
