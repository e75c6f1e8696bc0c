"""Names of classes: labels that are names, the model's own class order, and that of a protocol."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import ltbench
from ltbench.data.sources import open_data
from ltbench.errors import InputError
from ltbench.evaluate.outputs import HoldOut
from ltbench.imported.class_names import read_classes, read_labels
from ltbench.imported.class_order import column_order, in_order_of
from ltbench.imported.in_memory import InMemory
from ltbench.imported.outputs import ModelOutputs

NAMES = ("dog", "cat", "top 10")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("c.txt", "dog\ncat\n\ntop 10\n"),
        ("c.txt", "\ufeffdog\r\n cat \r\ntop 10"),
        ("c.json", json.dumps(NAMES)),
        ("c.json", json.dumps({"cat": 1, "dog": 0, "top 10": 2})),
        ("c.json", json.dumps({"1": "cat", "0": "dog", "2": "top 10"})),
    ],
)
def test_ways_to_name_the_classes(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    assert read_classes(tmp_path / name) == NAMES
    assert read_classes(InMemory(list(NAMES))) == NAMES


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("c.txt", "dog\ncat\ndog\n", "names 'dog' twice"),
        ("c.txt", "dog\n", "at least two names"),
        ("c.json", "[1, 2]", "must hold names"),
        ("c.json", '{"a": 0, "b": 2}', "must be 0 to 1"),
        ("c.json", "[", "is no JSON"),
    ],
)
def test_what_names_no_classes(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=message):
        read_classes(tmp_path / name)
    with pytest.raises(InputError, match="is not readable"):
        read_classes(tmp_path / "absent.txt")


@pytest.mark.parametrize(
    "content", ["cat\ntop 10\ndog\n", "label\ncat\ntop 10\ndog\n", '"cat"\n"top 10"\n"dog"\n']
)
def test_labels_that_are_names(tmp_path: Path, content: str) -> None:
    (tmp_path / "y.csv").write_text(content)
    found, named = read_labels(tmp_path / "y.csv", NAMES)
    assert (found.tolist(), named) == ([1, 2, 0], True)
    for array in (np.array(["cat", "top 10", "dog"]), np.array([b"cat", b"top 10", b"dog"])):
        np.save(tmp_path / "y.npy", array)
        assert read_labels(tmp_path / "y.npy", NAMES)[0].tolist() == [1, 2, 0]
        assert read_labels(InMemory(array), NAMES)[0].tolist() == [1, 2, 0]
    assert read_labels(InMemory(["cat", "dog"]), NAMES)[0].tolist() == [1, 0]


def test_an_accent_is_one_character_or_two() -> None:
    names = read_classes(InMemory(["cafe\u0301", "tea"]))
    assert read_labels(InMemory(["caf\u00e9"]), names)[0].tolist() == [0]


def test_names_that_are_not_known_are_refused(tmp_path: Path) -> None:
    (tmp_path / "y.txt").write_text("cat\ndgo\n")
    with pytest.raises(InputError, match=r"'dgo' of image 1 is no class.*did you mean 'dog'"):
        read_labels(tmp_path / "y.txt", NAMES)
    with pytest.raises(InputError, match=r"holds names, as 'cat'.*--classes FILE"):
        read_labels(tmp_path / "y.txt", None)


def test_classes_that_are_called_by_numbers() -> None:
    """Sorted as text, 10 stands before 2: a whole number may be a name or a place."""
    names = ("1", "10", "2")
    assert read_labels(InMemory([0, 1, 2]), names) == (
        pytest.approx(torch.tensor([0, 1, 2])),
        False,
    )
    found, named = read_labels(InMemory([1, 10, 2]), names)
    assert (found.tolist(), named) == ([0, 1, 2], True)
    with pytest.raises(InputError, match="may be names or places"):
        read_labels(InMemory([1, 2]), names)
    assert read_labels(InMemory(["1", "2"]), names)[0].tolist() == [0, 2]
    assert read_labels(InMemory([1, 2]), ("0", "1", "2"))[0].tolist() == [1, 2]


def outputs(labels: list[int], *, named: bool = False) -> ModelOutputs:
    logits = torch.arange(12.0).reshape(4, 1, 3)
    return ModelOutputs(
        logits,
        torch.tensor(labels),
        counts=torch.tensor([9, 5, 2]),
        bias=torch.tensor([[0.1, 0.2, 0.3]]),
        names=("c", "a", "b"),
        labels_named=named,
        holdout=HoldOut(logits[:2] + 1, torch.tensor([0, 2])),
        views=torch.stack([logits, -logits]),
    )


def test_whatever_is_one_a_class_moves_together() -> None:
    given = outputs([0, 1, 2, 0])
    found, (note,) = in_order_of(given, ("a", "b", "c"), np.array([2, 0, 1, 2]), "own")
    assert "another order than those of own" in note
    assert "'a' from 1 to 0" in note
    assert found.labels.tolist() == [2, 0, 1, 2]
    assert found.logits[0, 0].tolist() == [1.0, 2.0, 0.0]
    assert found.bias is not None
    assert found.bias[0].tolist() == pytest.approx([0.2, 0.3, 0.1])
    assert found.counts is not None
    assert found.counts.tolist() == [5, 2, 9]
    assert found.holdout is not None
    assert found.holdout.labels.tolist() == [2, 1]
    assert found.holdout.logits[0, 0].tolist() == [2.0, 3.0, 1.0]
    assert found.views is not None
    assert torch.equal(found.views[1], -found.logits)


def test_labels_in_the_order_of_the_protocol_stay() -> None:
    found, (note,) = in_order_of(
        outputs([2, 0, 1, 2]), ("a", "b", "c"), np.array([2, 0, 1, 2]), "own"
    )
    assert note.endswith("labels are in that order as they stand")
    assert found.labels.tolist() == [2, 0, 1, 2]
    assert found.logits[0, 0].tolist() == [1.0, 2.0, 0.0]
    assert found.holdout is not None
    assert found.holdout.labels.tolist() == [0, 2]  # numbered as the labels are


def test_equal_orders_and_other_classes() -> None:
    given = outputs([0, 1, 2, 0])
    same, told = in_order_of(given, ("c", "a", "b"), np.array([0, 1, 2, 0]), "own")
    assert told == ()
    assert torch.equal(same.logits, given.logits)
    assert same.digests()["logits"] == given.digests()["logits"]
    with pytest.raises(InputError, match="class 'c' is none of own"):
        column_order(("a", "b", "c"), ("a", "b", "x"), "own")
    with pytest.raises(InputError, match="own has the class 'c', the model has none"):
        column_order(("a", "b"), ("a", "b", "c"), "own")


def test_another_order_gets_the_same_numbers(tmp_path: Path) -> None:
    """Columns in a shuffled order with their names score as those in the protocol's order do."""
    test = open_data(ltbench.load_protocol("digits-lt").data).test
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(len(test), 10)).astype("f4")
    logits[np.arange(len(test)), test.labels] += 2
    order = rng.permutation(10)
    common = {"protocol": "digits-lt", "name": "mine", "strategies": "none"}
    plain = ltbench.import_outputs(logits, test.labels, results=tmp_path / "a", **common)
    own = [test.class_names[c] for c in order]
    words = [test.class_names[c] for c in test.labels]
    moved = ltbench.import_outputs(
        logits[:, order], words, classes=own, results=tmp_path / "b", **common
    )
    assert moved.uniform == plain.uniform
    assert moved.folder.name == plain.folder.name  # the same outputs, hence the same identity
    assert any("columns were moved" in note for note in moved.notes)
    with pytest.raises(InputError, match="classes= names 9 classes"):
        ltbench.import_outputs(logits, words, classes=own[:9], results=tmp_path / "c", **common)


def test_names_without_a_protocol_stand_in_the_record(tmp_path: Path) -> None:
    labels = ["cat"] * 20 + ["dog"] * 20
    logits = np.random.default_rng(0).normal(size=(40, 2))
    done = ltbench.import_outputs(
        logits, labels, classes=["dog", "cat"], counts=[50, 10], name="mine", results=tmp_path
    )
    record = json.loads((done.folder / "trial.json").read_text())
    assert record["data"]["class_names"] == ["dog", "cat"]
    with pytest.raises(InputError, match="there with another classes="):
        ltbench.import_outputs(
            logits, np.repeat([1, 0], 20), classes=["a", "b"], counts=[50, 10], name="mine",
            results=tmp_path,
        )  # fmt: skip
