"""Source "lists": what a list may look like, which images it stands for, what identifies them."""

from __future__ import annotations

import pickle
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ltbench.data.findings import Findings
from ltbench.data.list_file import Paths, class_names, read_list
from ltbench.data.official_lists import LISTS, official
from ltbench.data.sources import open_data
from ltbench.errors import DataError, InputError
from ltbench.protocol.file import load_protocol_config
from ltbench.protocol.protocol import DataConfig, GroupsConfig, ListFile, TestConfig, TrainConfig
from ltbench.shift.trainset import select_training
from ltbench.task import build_task, held_out

FILES = {"train": ListFile("train.txt"), "test": ListFile("test.txt")}
CONFIG = DataConfig("lists", 2, 8, mean=(0.5,) * 3, std=(0.2,) * 3, lists=FILES)
SHA256 = "b6a73cd487c1aad9a61cc6791ba1edb97e8874be2a9f0ee2fb9a3a3224515d78"
BLOB = "eeffa6c2a1e91e126ff5cb81fc5cc16e484e1a27"
TRAIN = "a/one two.png 0\na/1.png 0\nb/2.png 1\n"


def picture(path: Path, colour: int = 90, size: tuple[int, int] = (12, 9), **how: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (colour, 20, 200)).save(path, **how)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "images"
    for i, name in enumerate(("a/one two.png", "a/1.png", "b/2.png", "b/3.png")):
        picture(root / name, 40 * i)
    (root / "train.txt").write_text(TRAIN)
    (root / "test.txt").write_text("b/3.png 1\n")
    return root


def parsed(
    text: str | bytes, folder: Path, classes: int = 2
) -> tuple[list[str], list[int], Findings]:
    path = folder / "list.txt"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    findings = Findings()
    listing = read_list(path, classes, findings)
    return list(listing.names), listing.labels.tolist(), findings


@pytest.mark.parametrize(
    "text",
    [
        TRAIN,
        TRAIN.removesuffix("\n"),
        TRAIN.replace("\n", "\r\n"),
        b"\xef\xbb\xbf" + TRAIN.encode(),
    ],
    ids=["plain", "no last line end", "CRLF", "byte-order mark"],
)
def test_a_line_is_split_at_its_last_space(text: str | bytes, tmp_path: Path) -> None:
    names, labels, findings = parsed(text, tmp_path)
    assert names == ["a/one two.png", "a/1.png", "b/2.png"]
    assert labels == [0, 0, 1]
    assert not findings.errors


def test_checksums_are_of_the_text_with_lf(tmp_path: Path) -> None:
    """Those of `sha256sum` and `git hash-object`, whichever line ends it has here."""
    for ends in ("\n", "\r\n"):
        (tmp_path / "list.txt").write_bytes(f"a.png 0{ends}".encode())
        listing = read_list(tmp_path / "list.txt", 2, Findings())
        assert listing.sha256 == SHA256
        assert listing.blob == BLOB


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "line 2: it is blank"),
        ("  ", "line 2: it is blank"),
        ("x.png", r"line 2: 'x\.png' is no `path label`"),
        ("x.png one", r"line 2: 'x\.png one' is no `path label`"),
        ("x.png -1", "is no `path label`"),
        ("x.png 2", r"line 2: label 2 is outside 0\.\.1"),
        ("x.png 99999999999999999999", "is outside 0"),
        ("/etc/x.png 1", "line 2: /etc/x.png must be a path below the folder"),
        ("a/../../x.png 1", r"line 2: a/\.\./\.\./x\.png must not hold '\.\.'"),
        ("a/1.png 1", "line 2: a/1.png is also in line 1"),
    ],
)
def test_wrong_lines_are_refused_with_file_and_line(line: str, message: str, root: Path) -> None:
    (root / "train.txt").write_text(f"a/1.png 0\n{line}\nb/2.png 1\n")
    with pytest.raises(DataError, match=message) as caught:
        open_data(CONFIG, root)
    assert "train.txt, " in str(caught.value)
    assert "\n" not in str(caught.value)


def test_all_that_is_wrong_is_gathered_and_an_empty_list_is_refused(tmp_path: Path) -> None:
    _, _, findings = parsed("\nx 5\n/y 1\nz 1\n", tmp_path)
    assert sum(map(len, findings.errors.values())) == 3
    _, _, findings = parsed("", tmp_path)
    assert "lists no images" in findings.errors["empty lists"][0]


def test_images_are_the_middle_square_after_the_short_side_was_resized(root: Path) -> None:
    rng = np.random.RandomState(0)
    pixels = rng.randint(0, 256, (40, 61, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(root / "b/3.png")
    splits = open_data(replace(CONFIG, resize=10), root)
    scaled = Image.fromarray(pixels).resize((15, 10), Image.Resampling.BILINEAR)
    left, top = round((15 - 8) / 2), round((10 - 8) / 2)
    expected = np.asarray(scaled)[top : top + 8, left : left + 8].transpose(2, 0, 1)
    np.testing.assert_array_equal(splits.test.read([0])[0], expected)
    assert splits.test.open(0).size == (61, 40)


def test_modes_and_exif_are_read_as_the_published_code_reads_them(root: Path) -> None:
    grey = Image.new("L", (8, 8), 77)
    grey.save(root / "a/1.png", "JPEG")  # whatever its name says
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (20, 8), (250, 0, 0)).save(root / "b/3.png", "JPEG", exif=exif)
    Image.new("CMYK", (8, 8), (0, 0, 0, 255)).save(root / "b/2.png", "JPEG")
    splits = open_data(CONFIG, root)
    assert splits.test.open(0).size == (20, 8)  # not turned
    assert splits.train.read([1]).min() == splits.train.read([1]).max() == 77
    assert splits.train.read([2]).shape == (1, 3, 8, 8)


def test_a_png_called_jpeg_is_the_png(root: Path) -> None:
    """ImageNet has one: what a file is stands in it, not in its name."""
    pixels = np.random.RandomState(1).randint(0, 256, (8, 8, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(root / "b/3.JPEG", "PNG")
    (root / "test.txt").write_text("b/3.JPEG 1\n")
    found = open_data(CONFIG, root).test.read([0])[0]
    np.testing.assert_array_equal(found, pixels.transpose(2, 0, 1))


def test_a_class_without_a_test_image_is_in_no_test_set(root: Path) -> None:
    (root / "train.txt").write_text(TRAIN + "b/3.png 2\n")
    (root / "test.txt").write_text("b/3.png 2\nb/2.png 2\na/1.png 0\na/one two.png 0\n")
    config = replace(CONFIG, classes=3)
    protocol = replace(
        load_protocol_config("digits-lt"),
        data=config,
        train=TrainConfig(profile="all"),
        test=TestConfig(ratios=(2.0,), draws=1),
        groups=GroupsConfig(1, 1),
    )
    task = build_task(protocol, open_data(config, root))
    uniform = next(each for each in task.test_sets if each.name == "uniform")
    assert uniform.counts.tolist() == [2, 0, 2]


def test_what_cannot_be_read_is_told_with_its_path(root: Path) -> None:
    content = (root / "b/3.png").read_bytes()
    (root / "b/3.png").write_bytes(content[: len(content) // 2])
    Image.new("I;16", (8, 8)).save(root / "a/1.png")
    splits = open_data(CONFIG, root)
    for images, place, message in (
        (splits.test, 0, r"b/3\.png is not a readable image"),
        (splits.train, 1, r"a/1\.png has more than 8 bits per channel"),
    ):
        with pytest.raises(DataError, match=message):
            images.read([place])
    with pytest.raises(IndexError):
        splits.test.read([-1])


def test_missing_and_empty_files_are_counted(root: Path) -> None:
    (root / "a/1.png").unlink()
    (root / "b/2.png").unlink()
    with pytest.raises(
        DataError, match=r"train\.txt: 2 of 3 files are not below .*: a/1\.png, b/2\.png"
    ):
        open_data(CONFIG, root)
    picture(root / "a/1.png")
    (root / "b/2.png").write_bytes(b"")
    with pytest.raises(DataError, match="an empty file"):
        open_data(CONFIG, root)


def test_links_may_not_leave_the_folder(root: Path, tmp_path: Path) -> None:
    picture(tmp_path / "elsewhere/1.png")
    (root / "a/1.png").unlink()
    (root / "a/1.png").symlink_to(tmp_path / "elsewhere/1.png")
    with pytest.raises(DataError, match=r"a/1\.png is a link to outside of"):
        open_data(CONFIG, root)
    (root / "a/1.png").unlink()
    (root / "a/1.png").symlink_to(root / "b/2.png")  # within it
    assert len(open_data(CONFIG, root).train) == 3
    (root / "c").symlink_to(tmp_path / "elsewhere")
    (root / "train.txt").write_text("a/one two.png 0\nc/1.png 1\n")
    with pytest.raises(DataError, match=r"c/1\.png is a link to outside of"):
        open_data(CONFIG, root)


def test_identity_is_of_lines_and_sizes_not_of_pixels_or_places(root: Path, tmp_path: Path) -> None:
    first = open_data(CONFIG, root)
    (root / "train.txt").write_bytes(TRAIN.replace("\n", "\r\n").encode())
    assert open_data(CONFIG, root).train.fingerprint == first.train.fingerprint
    moved = tmp_path / "moved"
    shutil.copytree(root, moved)
    (moved / "a").rename(moved / "first")
    mapped = replace(CONFIG, paths={"a/": "first/"})
    assert open_data(mapped, moved).train.fingerprint == first.train.fingerprint
    (root / "train.txt").write_text(TRAIN.replace("2.png 1", "2.png 0") + "b/3.png 1\n")
    assert open_data(CONFIG, root).train.fingerprint != first.train.fingerprint


def test_another_size_is_another_set_once_files_are_looked_at_anew(root: Path) -> None:
    first = open_data(CONFIG, root)
    picture(root / "b/3.png", size=(64, 64))
    assert open_data(CONFIG, root).test.fingerprint == first.test.fingerprint  # from the cache
    again = open_data(CONFIG, root, thorough=True)
    assert again.test.fingerprint != first.test.fingerprint
    assert open_data(CONFIG, root).test.fingerprint == again.test.fingerprint


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lists": {}}, "needs its train list"),
        ({"lists": {"train": FILES["train"]}}, "needs its test list"),
        ({"mean": None, "std": None}, "needs mean and std"),
        ({"lists": {**FILES, "train": ListFile("gone.txt")}}, r"list gone\.txt is not here"),
        ({"lists": {**FILES, "train": ListFile("train.txt", sha256="0" * 64)}}, "its SHA-256 is"),
        ({"lists": {**FILES, "train": ListFile("train.txt", blob="0" * 40)}}, "its git blob id is"),
        ({"lists": {**FILES, "train": ListFile("train.txt", lines=4)}}, "has 3 lines, .* says 4"),
    ],
)
def test_what_a_protocol_must_say(change: dict[str, Any], message: str, root: Path) -> None:
    with pytest.raises(DataError, match=message):
        open_data(replace(CONFIG, **change), root)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"source": "digits"}, 'lists needs source = "lists"'),
        ({"lists": {"tets": FILES["test"]}}, "lists has no 'tets'.* mean 'test'"),
        ({"resize": 6}, "resize = 6 must be at least image_size = 8"),
        ({"fit": "pad"}, "are cropped"),
    ],
)
def test_settings_that_do_not_fit(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        replace(CONFIG, **change)
    with pytest.raises(InputError, match="must be 64 digits"):
        ListFile("train.txt", sha256="abc")


def test_validation_images_and_names_of_classes(root: Path) -> None:
    (root / "val.txt").write_text("a/one two.png 0\n")
    config = replace(CONFIG, lists={**FILES, "holdout": ListFile("val.txt")})
    splits = open_data(config, root, thorough=True)
    assert splits.train.class_names == ("a", "b")
    assert splits.holdout is not None
    assert splits.warnings["files of two lists"] == [
        "a/one two.png: in the lists train and holdout"
    ]
    train = select_training(splits.train.labels, 2, TrainConfig(profile="all", holdout="val"))
    assert len(held_out(splits, train, TrainConfig(profile="all", holdout="val"))) == 1


def test_classes_are_called_after_their_folders_where_these_tell_them_apart(tmp_path: Path) -> None:
    def names(text: str) -> tuple[str, ...]:
        (tmp_path / "list.txt").write_text(text)
        return class_names(read_list(tmp_path / "list.txt", 2, Findings()), 2)

    assert names("d/a/in/1.png 0\nd/b/in/1.png 1\n") == ("a/in", "b/in")
    assert names("d/1.png 0\nd/2.png 1\n") == ("0", "1")
    assert names("a/1.png 0\nb/1.png 0\nc/2.png 1\n") == ("0", "1")


def test_many_paths_travel_as_one_string(root: Path) -> None:
    paths = Paths(["a/é.png", "b c.png", ""])
    again = pickle.loads(pickle.dumps(paths))  # as a process that opens images gets them
    assert list(again) == ["a/é.png", "b c.png", ""]
    with pytest.raises(IndexError):
        again[3]


def test_published_lists_are_known_by_their_blob_alone(root: Path) -> None:
    assert len({each.blob for each in LISTS}) == len(LISTS) == 37 + 2
    assert official(read_list(root / "train.txt", 2, Findings())) is None
    listing = replace(read_list(root / "train.txt", 2, Findings()), blob=LISTS[0].blob)
    found = official(listing)
    assert found is not None
    assert found.file == "ImageNet_LT_train.txt"
    assert str(found) == "ImageNet_LT_train.txt of ImageNet-LT"


def test_a_part_of_the_classes_opens_the_right_images(root: Path) -> None:
    (root / "train.txt").write_text(TRAIN + "b/3.png 2\n")
    config = replace(CONFIG, classes=3, subset=("2", "1"), lists={**FILES, "test": FILES["train"]})
    train = open_data(config, root).train
    assert train.streamed
    assert train.labels.tolist() == [1, 0]
    assert train.open(1).getpixel((0, 0)) == (120, 20, 200)
