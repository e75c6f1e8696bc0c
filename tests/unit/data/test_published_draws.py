"""Published lists of shifted test sets: found, met by path, and what is wrong with them."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

import numpy as np
import pytest

from ltbench.data.dataset import FileNames
from ltbench.data.published_draws import find_published, shifted_names
from ltbench.data.sources import open_data
from ltbench.errors import DataError, InputError
from ltbench.protocol.protocol import Protocol, Recipe, TestConfig, TrainConfig
from ltbench.task import build_task, missing_sets
from tests.list_sets import DIGITS, write_digits

TEMPLATE = "Set_LT_{name}.txt"
TEST = [(f"val/{label}/v_{label}{i}.JPEG", label) for label in range(3) for i in range(4)]
NAMES = ["forward2", "backward2"]


def write_list(path: Path, lines: list[tuple[str, int]]) -> Path:
    path.write_text("".join(f"{name} {label}\n" for name, label in lines))
    return path


@pytest.fixture
def files(tmp_path: Path) -> FileNames:
    (tmp_path / "images").mkdir()
    return FileNames(tmp_path / "images", [], TEST)


def find(files: FileNames) -> object:
    return find_published(TEMPLATE, NAMES, files, 3)


def test_a_list_is_draw_0_class_by_class(files: FileNames) -> None:
    """One class may have no image; the order within a class is that of the list."""
    lines = [TEST[8], TEST[3], TEST[1], TEST[9]]
    path = write_list(files.root / "Set_LT_forward2.txt", lines)
    found, absent = find_published(TEMPLATE, NAMES, files, 3)
    assert absent == ["Set_LT_backward2.txt"]
    draw = found["forward2"]
    assert draw.indices.tolist() == [3, 1, 8, 9]
    assert draw.counts.tolist() == [2, 0, 2]
    assert draw.about() == {
        "published": {
            "file": "Set_LT_forward2.txt",
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        }
    }


def test_another_layout_is_met_by_file_names(files: FileNames) -> None:
    """Images without class folders, CRLF at the ends of lines, beside the folder of images."""
    path = write_list(files.root.parent / "Set_LT_forward2.txt", [("val/v_21.JPEG", 2)])
    plain = hashlib.sha256(path.read_bytes()).hexdigest()
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    draw = find_published(TEMPLATE, NAMES, files, 3)[0]["forward2"]
    assert draw.indices.tolist() == [9]
    assert draw.sha256 == plain


def test_file_names_that_two_images_share_meet_nothing(files: FileNames) -> None:
    write_list(files.root / "Set_LT_forward2.txt", [("other/0.png", 0)])
    shared = FileNames(files.root, [], [("a/0.png", 0), ("b/0.png", 1)])
    with pytest.raises(DataError, match=r"other/0\.png is none of the test images"):
        find_published(TEMPLATE, NAMES, shared, 2)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("val/0/v_99.JPEG 0", "line 2: val/0/v_99.JPEG is none of the test images"),
        ("val/1/v_10.JPEG 0", "line 2: val/1/v_10.JPEG has label 0 here and 1 in the test list"),
        ("v_00.JPEG 0", "1 of its images are listed twice"),
        ("val/0/v_01.JPEG 3", "line 2: label 3 is outside 0..2"),
        ("", "line 2: it is blank"),
    ],
)
def test_a_wrong_line_is_told_with_its_place(files: FileNames, line: str, told: str) -> None:
    text = f"val/0/v_00.JPEG 0\n{line}\nval/2/v_20.JPEG 2\n"
    (files.root / "Set_LT_backward2.txt").write_text(text)
    with pytest.raises(DataError) as caught:
        find(files)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_names_of_shifted_sets() -> None:
    assert shifted_names((10, 2.5)) == ["forward2.5", "backward2.5", "forward10", "backward10"]


PROTOCOL = Protocol(
    name="digits-by-lists",
    version="1.0",
    title="Digits",
    data=DIGITS,
    train=TrainConfig(profile="all"),
    recipe=Recipe(epochs=1, batch_size=8, lr=0.1),
    test=TestConfig(ratios=(2, 5), draws=2, partial=False, published=TEMPLATE),
)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_digits(tmp_path_factory.mktemp("set") / "images")


def test_a_task_takes_the_lists_that_are_here(root: Path) -> None:
    """All draws of a set with a list have its counts; a set without one is drawn as ever, and is told."""
    splits = open_data(DIGITS, root)
    assert splits.files is not None
    chosen = [i for i, (_, label) in enumerate(splits.files.test) if label != 4][::-1][:200]
    path = write_list(root / "Set_LT_forward5.txt", [splits.files.test[i] for i in chosen])
    try:
        task = build_task(PROTOCOL, splits)
    finally:
        path.unlink()
    sets = {each.name: each for each in task.test_sets}
    labels = splits.test.labels
    listed, drawn = sets["forward5"], sets["backward5"]
    assert sorted(listed.indices(labels, 0)) == sorted(chosen)
    assert (np.diff(labels[listed.indices(labels, 0)]) >= 0).all()  # class by class
    counts = np.bincount(labels[chosen], minlength=10)
    assert counts[4] == 0
    for draw in (0, 1):
        assert np.bincount(labels[listed.indices(labels, draw)], minlength=10).tolist() == list(
            counts
        )
    assert listed.definition()["published"] != drawn.definition()["published"]
    assert drawn.definition()["published"] is None
    assert drawn.first is None
    (note,) = [each for each in missing_sets(task) if "published" in each]
    for name in ("forward2", "backward2", "backward5"):
        assert f"Set_LT_{name}.txt" in note
    assert "forward5" not in note
    plain = dataclasses.replace(PROTOCOL.test, published="")
    usual = build_task(dataclasses.replace(PROTOCOL, test=plain), splits)
    assert "published" not in usual.test_sets[0].definition()
    assert not [each for each in missing_sets(usual) if "published" in each]
    (again,) = [each for each in usual.test_sets if each.name == "backward5"]
    assert again.indices(labels, 0).tolist() == drawn.indices(labels, 0).tolist()


def test_lists_of_other_images_or_classes_are_refused(root: Path) -> None:
    splits = open_data(DIGITS, root)
    for changed, told in (
        ({"train": TrainConfig(imbalance=2)}, "with train.profile as it is here"),
        ({"data": dataclasses.replace(DIGITS, subset=("0", "1"))}, "with data.subset as it is"),
    ):
        with pytest.raises(InputError, match=told):
            build_task(dataclasses.replace(PROTOCOL, **changed), splits)
    with pytest.raises(InputError, match="have no file names by which a list could be met"):
        build_task(PROTOCOL, dataclasses.replace(splits, files=None))
    with pytest.raises(InputError, match=r"must hold \{name\}"):
        TestConfig(published="forward.txt")
    with pytest.raises(InputError, match="published and max_count do not go together"):
        TestConfig(published=TEMPLATE, max_count=5)
