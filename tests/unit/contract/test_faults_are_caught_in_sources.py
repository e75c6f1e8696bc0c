"""Every property of a source's contract fails on a source with that one fault, and says what to do."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from ltbench.contract.check import Finding, checks_of
from ltbench.contract.sources import DAMAGE, IMAGE_PROPERTIES, ONE_IMAGE, SOURCE_CARD

SOURCE = '''
import numpy as np
from dataclasses import dataclass
from ltbench import DataSource, Hyper
from ltbench.data.found import from_arrays, from_items

NAMES = ["dark", "light"]


class Mine(DataSource):
    """Two greys."""

    name = "mine"
    title = "Mine"
    licence = "CC0"

    def find(self, folder, config, options):
        def read():
            y = np.array([0, 1, 1])
            x = np.zeros((3, 3, 4, 4), np.uint8) + y[:, None, None, None].astype(np.uint8)
            return (x, y), (x, y)

        return from_arrays(read, NAMES)
'''
RETURN = "return from_arrays(read, NAMES)"
ITEMS = '''
import numpy as np
from ltbench import DataSource
from ltbench.data.found import from_items

SEEN = []


class Mine(DataSource):
    """Files by number, as an archive gives them."""

    name, title, licence = "mine", "Mine", "CC0"
    needs_folder, expects = True, "0.png, 1.png, ..."

    def find(self, folder, config, options):
        files = sorted(folder.glob("*.png"))

        def item(split, i):
            return files[i]

        labels = [0, 1, 0, 1]
        return from_items(item, labels, labels, ["a", "b"], 8, origin="here", files=files)
'''
FAULTS = [
    ("name_and_title", '"Mine"', '""', "title is empty"),
    ("docstring", '    """Two greys."""\n', "", "no docstring"),
    ("licence", '"CC0"', '""', "licence is empty"),
    ("options_are_typed", '"CC0"', '"CC0"\n    hyper_type = dict', "made from ltbench.Hyper"),
    (
        "it_can_be_pickled",
        "    def find",
        "    def __init__(self):\n        self.f = lambda: 1\n\n    def find",
        "cannot be pickled",
    ),
    (
        "finding_asks_no_network",
        RETURN,
        "import socket\n        socket.getaddrinfo('localhost', 80)\n        " + RETURN,
        "belongs into download()",
    ),
    (
        "finds_its_images_as_a_found",
        RETURN,
        "return read()",
        "must return a Found (ltbench.data.found makes one)",
    ),
    ("finds_its_images_as_a_found", RETURN, "return 1 / 0", "ZeroDivisionError"),
    ("images_are_here", RETURN, "return None", "name their folder with --data-dir"),
    (
        "images_and_labels_are_arrays_of_the_right_kind",
        "y = np.array([0, 1, 1])",
        "y = np.array([0, 1, 2])",
        "label 2 is outside 0..1",
    ),
    (
        "images_and_labels_are_arrays_of_the_right_kind",
        "np.zeros((3, 3, 4, 4), np.uint8)",
        "np.zeros((3, 3, 4, 5), np.uint8)",
        "must be square",
    ),
    (
        "images_and_labels_are_arrays_of_the_right_kind",
        "return (x, y), (x, y)",
        "return (x / 255, y), (x, y)",
        "must be uint8",
    ),
    (
        "every_class_has_a_name_of_its_own_and_images",
        '["dark", "light"]',
        '["dark", "dark"]',
        "two classes are called 'dark'",
    ),
    (
        "every_class_has_a_name_of_its_own_and_images",
        '["dark", "light"]',
        '["dark", "light", "none"]',
        "without a training image: none",
    ),
    (
        "two_reads_are_equal",
        "return (x, y), (x, y)",
        "x = x + np.random.randint(0, 99, x.shape).astype(np.uint8)\n"
        "            return (x, y), (x, y)",
        "seed what is drawn",
    ),
]
ITEM_FAULTS = [
    (
        "any_one_image_is_that_of_the_whole",
        "return files[i]",
        "SEEN.append(i)\n            return files[(len(SEEN) - 1) % 4]",
        "is not the one that reading all gives there",
    ),
    (
        "a_damaged_file_is_told",
        "return files[i]",
        "return files[i] if files[i].read_bytes()[:4] == b'\\x89PNG' "
        "else np.zeros((8, 8), np.uint8)",
        "reads on as if nothing were wrong",
    ),
]


def findings(path: Path, text: str, old: str, new: str, folder: Path | None) -> list[Finding]:
    assert old in text
    path.write_text(text.replace(old, new, 1))
    return [check.finding() for check in checks_of(path, data_dir=folder)]


def assert_caught(found: list[Finding], name: str, words: str) -> None:
    failed = {finding.name: finding for finding in found if not finding.holds}
    assert name in failed, f"not caught; failed: {list(failed)}"
    assert words in failed[name].reason, failed[name].reason


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "files"
    made.mkdir()
    for i in range(4):
        Image.new("RGB", (9, 8), (40 * i, 0, 0)).save(made / f"{i}.png")
    return made


@pytest.mark.parametrize(("name", "old", "new", "words"), FAULTS)
def test_a_sources_fault_is_caught(
    tmp_path: Path, name: str, old: str, new: str, words: str
) -> None:
    assert_caught(findings(tmp_path / "mine.py", SOURCE, old, new, None), name, words)


@pytest.mark.parametrize(("name", "old", "new", "words"), ITEM_FAULTS)
def test_a_fault_of_single_images_is_caught(
    tmp_path: Path, folder: Path, name: str, old: str, new: str, words: str
) -> None:
    assert_caught(findings(tmp_path / "mine.py", ITEMS, old, new, folder), name, words)


def test_without_a_fault_everything_holds(tmp_path: Path, folder: Path) -> None:
    one = findings(tmp_path / "one.py", SOURCE, "mine", "one", None)
    two = findings(tmp_path / "two.py", ITEMS, "mine", "two", folder)
    assert [finding.reason for finding in (*one, *two) if not finding.holds] == []
    named = {finding.name for finding in two}
    assert {ONE_IMAGE.name, DAMAGE.name} <= named


def test_every_property_has_a_fault_here() -> None:
    """No property that cannot fail."""
    known = {each.name for each in (*SOURCE_CARD, *IMAGE_PROPERTIES, ONE_IMAGE, DAMAGE)}
    assert known == {fault[0] for fault in (*FAULTS, *ITEM_FAULTS)}


def test_what_was_not_tried_is_not_called_fine(tmp_path: Path) -> None:
    found = findings(tmp_path / "mine.py", ITEMS, "mine", "mine", None)
    assert {finding.name for finding in found} == {each.name for each in SOURCE_CARD}
    assert [finding.name for finding in found if not finding.holds] == ["images_are_here"]
