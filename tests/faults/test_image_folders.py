"""Folders as users have them: everything wrong is told at once, and what was done to the rest."""

from __future__ import annotations

import hashlib
import os
import re
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
from PIL import Image

from ltbench.data.findings import DataProblems, shown
from ltbench.data.sources import describe, open_data
from ltbench.errors import DataError
from ltbench.protocol.file import load_protocol_config
from ltbench.protocol.protocol import DataConfig

CommandLine = Callable[..., CompletedProcess[str]]
CONFIG = DataConfig(source="image-folder", classes=2, image_size=8)
PIXELS = np.random.RandomState(0).randint(0, 256, (8, 8, 3)).astype(np.uint8)
PROTOCOL = """
name = "mine"
version = "1.0"
title = "Mine"
[data]
source = "image-folder"
path = "data"
classes = 2
image_size = 8
[train]
profile = "all"
[recipe]
epochs = 1
batch_size = 4
lr = 0.1
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LTBENCH_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "data"
    for split in ("train", "test"):
        for name in ("a", "b"):
            for number in range(3):
                save(folder / split / name / f"{number}.png")
    (tmp_path / "p.toml").write_text(PROTOCOL)
    return folder


def save(path: Path, mode: str = "RGB", **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(PIXELS).convert(mode).save(path, **options)  # type: ignore[arg-type]
    return path


def problems(root: Path) -> dict[str, list[str]]:
    with pytest.raises(DataProblems) as caught:
        open_data(CONFIG, root, thorough=True)
    assert "\n" not in str(caught.value)
    return caught.value.findings.errors


def with_exif(path: Path, content: bytes) -> None:
    """A PNG whose eXIf chunk holds ``content``; its pixels are sound."""
    whole = save(path).read_bytes()
    at = whole.index(b"IDAT") - 4
    chunk = b"eXIf" + content
    sealed = len(content).to_bytes(4, "big") + chunk + zlib.crc32(chunk).to_bytes(4, "big")
    path.write_bytes(whole[:at] + sealed + whole[at:])


# -- names ---------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform != "linux", reason="names are bytes on Linux only")
def test_a_class_that_is_not_utf8_is_told_with_its_bytes(
    root: Path, ltbench_here: CommandLine, tmp_path: Path
) -> None:
    for split in ("train", "test"):
        bad = os.path.join(os.fsencode(root), split.encode(), b"caf\xe9")
        os.mkdir(bad)
        (Path(os.fsdecode(bad)) / "0.png").write_bytes(save(tmp_path / "x.png").read_bytes())
    for verb in (["data", "check"], ["data", "prepare"], ["run", "--methods", "ce", "--protocol"]):
        done = ltbench_here(*verb, tmp_path / "p.toml")
        assert done.returncode == 2
        assert r"caf\xe9" in done.stdout + done.stderr
        assert done.stderr.count("Error: ") == 1
    assert r"caf\xe9" in describe(CONFIG, root).missing


@pytest.mark.skipif(sys.platform != "linux", reason="names are bytes on Linux only")
def test_f25_a_file_that_is_not_utf8_is_read(root: Path) -> None:
    (root / "train" / "a" / "0.png").rename(root / "train" / "a" / os.fsdecode(b"\xff.png"))
    assert len(open_data(CONFIG, root).train) == 6


def test_f25_one_class_may_be_spelled_in_two_ways(root: Path) -> None:
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    (root / "train" / "a").rename(root / "train" / composed)
    (root / "test" / "a").rename(root / "test" / decomposed)
    splits = open_data(CONFIG, root)
    assert splits.train.class_names == ("b", composed)
    assert np.bincount(splits.test.labels).tolist() == [3, 3]
    one = splits.train.fingerprint
    (root / "train" / composed).rename(root / "train" / decomposed)
    assert open_data(CONFIG, root).train.fingerprint == one  # the same data on another machine


def test_two_spellings_in_one_split_are_refused(root: Path) -> None:
    if sys.platform == "darwin":
        pytest.skip("the file system knows one spelling only")
    save(root / "train" / "caf\u00e9" / "0.png")
    save(root / "train" / "cafe\u0301" / "0.png")
    (lines,) = [v for k, v in problems(root).items() if "two spellings" in k]
    assert r"'caf\xe9'" in lines[0]
    assert r"'cafe\u0301'" in lines[0]


def test_f25_names_are_shown_safely() -> None:
    assert shown("caf\u00e9") == "caf\u00e9"
    assert shown(os.fsdecode(b"caf\xe9")) == r"caf\xe9"
    assert shown("a\nb\x1b[31m") == r"a\nb\x1b[31m"


# -- what is done to images ----------------------------------------------------------------------


def test_broken_metadata_leaves_sound_pixels(root: Path) -> None:
    plain = open_data(CONFIG, root).train.read([0])
    for content in (b"MM\x00\x2a\xff\xff\xff\xff", b"junk", b"", b"II*\x00" + b"\xff" * 40):
        with_exif(root / "train" / "a" / "0.png", content)
        np.testing.assert_array_equal(open_data(CONFIG, root).train.read([0]), plain)
    with_exif(root / "train" / "a" / "0.png", b"junk")
    notes = open_data(CONFIG, root).notes
    assert notes["EXIF that cannot be read, pixels taken as they lie"][0] == 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_obeyed_and_told(root: Path, orientation: int) -> None:
    from PIL import ImageOps

    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(root / "train" / "a" / "0.png", exif=exif.tobytes())
    splits = open_data(CONFIG, root)
    with Image.open(path) as image:
        expected = np.asarray(ImageOps.exif_transpose(image)).transpose(2, 0, 1)
    np.testing.assert_array_equal(splits.train.read([0])[0], expected)
    assert ("turned as the EXIF orientation says" in splits.notes) == (orientation > 1)


@pytest.mark.parametrize(
    ("mode", "suffix", "note"),
    [
        ("L", "png", "grey, as three equal channels"),
        ("1", "PNG", "grey, as three equal channels"),
        ("RGBA", "png", "transparency left out, colours as stored"),
        ("LA", "png", "transparency left out, colours as stored"),
        ("CMYK", "jpg", "CMYK converted to RGB"),
        ("YCbCr", "JPEG", None),
        ("P", "gif", None),
    ],
)
def test_every_mode_becomes_rgb_as_pillow_does_it(
    root: Path, mode: str, suffix: str, note: str | None
) -> None:
    path = save(root / "train" / "a" / f"00.{suffix}", mode)
    splits = open_data(CONFIG, root)
    with Image.open(path) as image:
        expected = np.asarray(image.convert("RGB")).transpose(2, 0, 1)
    np.testing.assert_array_equal(splits.train.read([1])[0], expected)
    assert (note in splits.notes) == (note is not None)
    again = open_data(CONFIG, root)  # from the cache
    assert again.notes == splits.notes


def test_palettes_with_transparency_and_animations(root: Path) -> None:
    save(root / "train" / "a" / "00.png", "P", transparency=bytes(range(256)))
    frames = [Image.fromarray(np.roll(PIXELS, k, 0)) for k in range(3)]
    frames[0].save(root / "train" / "b" / "0.gif", save_all=True, append_images=frames[1:])
    notes = open_data(CONFIG, root).notes
    assert notes["transparency left out, colours as stored"][0] == 1
    assert notes["first of several frames"][0] == 1


# -- everything at once --------------------------------------------------------------------------


def spoil(root: Path) -> None:
    train = root / "train"
    for number in range(7):
        (train / "a" / f"text{number}.jpg").write_text("no image")
    (train / "a" / "empty.png").write_bytes(b"")
    whole = save(train / "b" / "cut.jpg").read_bytes()
    (train / "b" / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (train / "b" / "gone.png").symlink_to(root / "nowhere")
    (train / "linked").symlink_to(root / "nowhere")
    save(train / "b" / "deeper" / "x.png")
    Image.fromarray(np.full((8, 8), 40_000, dtype=np.uint16)).save(train / "b" / "deep.png")
    (train / "nothing").mkdir()
    save(root / "test" / "stranger" / "x.png")
    (train / "a" / ".DS_Store").write_bytes(b"x")
    (train / "a" / "Thumbs.db").write_bytes(b"x")
    (train / "readme.txt").write_text("beside")
    if hasattr(os, "mkfifo"):
        os.mkfifo(train / "a" / "pipe.png")


def test_f19_check_lists_everything_at_once(
    root: Path, ltbench_here: CommandLine, tmp_path: Path
) -> None:
    spoil(root)
    done = ltbench_here("data", "check", tmp_path / "p.toml")
    assert done.returncode == 2
    for expected in (
        r"wrong: files that are no readable image: 8\n",
        r"text0\.jpg is not a readable image \(of no known image format\)",
        r"text6\.jpg is not a readable image",
        r"wrong: empty files: 1\n",
        r"wrong: links that lead nowhere: 2\n",
        r"deeper is a folder inside a class folder \(files in it: 1\)",
        r"deep\.png has more than 8 bits per channel",
        r"nothing has no images; each class needs a training image",
        r"stranger is a class without a folder",
        r"wrong: numbers of classes: 1\n",
        r"note: files beside the class folders, not read: 1 \(.*readme\.txt\)",
        r"note: hidden or left by other programs, not read: 2 \(.*DS_Store, .*Thumbs\.db\)",
    ):
        assert re.search(expected, done.stdout), (expected, done.stdout)
    assert re.search(r"Error: \d+ things are wrong with the data of .*p\.toml", done.stderr)


def test_f19_a_run_says_one_line_with_the_count(
    root: Path, ltbench_here: CommandLine, tmp_path: Path
) -> None:
    for number in range(7):
        (root / "train" / "a" / f"text{number}.jpg").write_text("no image")
    done = ltbench_here("run", "--methods", "ce", "--protocol", tmp_path / "p.toml")
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert "text0.jpg" in line
    assert "6 more like it (`ltbench data check PROTOCOL` lists all)" in line
    assert not list((tmp_path / "cache").rglob("train-images.npy"))


def test_what_is_sound_is_summarised_with_what_was_done(
    root: Path, ltbench_here: CommandLine, tmp_path: Path
) -> None:
    save(root / "train" / "a" / "9.png", "RGBA")
    save(root / "beside" / "x.png")
    for _ in range(2):  # decoded, then from the cache
        done = ltbench_here("data", "check", tmp_path / "p.toml")
        assert done.returncode == 0, done.stderr
        assert re.search(r"note: transparency left out.*: 1 \(.*9\.png\)", done.stdout)


def test_images_over_the_limit_say_so(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)
    with pytest.raises(DataError, match="has more than 40 pixels, Pillow's size limit; make it"):
        open_data(CONFIG, root)


# -- what can be read and is probably a mistake --------------------------------------------------


def differing(root: Path) -> None:
    """Images that all differ, in place of the equal ones of the fixture."""
    for number, path in enumerate(sorted(root.rglob("*.png"))):
        Image.fromarray(np.roll(PIXELS, number, 0) ^ np.uint8(number)).save(path)


def test_litter_is_left_out_and_said(root: Path) -> None:
    for place in ("__MACOSX", "train/__MACOSX", "train/a/.ipynb_checkpoints", "test/b/__MACOSX"):
        save(root / place / "x.png")
    (root / "test" / "a" / "._0.png").write_bytes(b"x")
    splits = open_data(CONFIG, root)
    assert (len(splits.train), len(splits.test)) == (6, 6)
    assert splits.notes["hidden or left by other programs, not read"][0] == 5


def test_equal_files_are_told_with_both_names(
    root: Path, ltbench_here: CommandLine, tmp_path: Path
) -> None:
    differing(root)
    done = ltbench_here("data", "check", tmp_path / "p.toml")
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stdout
    for source, copy in (
        ("train/a/0.png", "test/a/leak.png"),
        ("train/a/1.png", "train/b/two labels.png"),
        ("test/b/0.png", "test/b/again.png"),
        ("train/b/2.png", "test/a/both.png"),
    ):
        (root / copy).write_bytes((root / source).read_bytes())
    done = ltbench_here("data", "check", tmp_path / "p.toml")
    assert done.returncode == 0, done.stderr
    told = done.stdout[done.stdout.index("warning") :].splitlines()
    assert told == [
        "warning: files with one content in train and test: 2",
        "  train/a/0.png = test/a/leak.png",
        "  train/b/2.png = test/a/both.png",
        "warning: files with one content under two labels: 2",
        "  train/a/1.png = train/b/two labels.png",
        "  train/b/2.png = test/a/both.png",
        "warning: files with one content twice in a class of one split: 1",
        "  test/b/0.png = test/b/again.png",
    ]


def test_many_equal_files_are_counted(root: Path) -> None:
    differing(root)
    content = (root / "train" / "a" / "0.png").read_bytes()
    for number in range(9):
        (root / "train" / "a" / f"copy{number}.png").write_bytes(content)
    (root / "test" / "b" / "far.png").write_bytes(content)
    warnings = open_data(CONFIG, root, thorough=True).warnings
    (line,) = warnings["files with one content in train and test"]
    assert line.startswith("train/a/0.png = test/b/far.png = ")  # what differs comes first
    assert line.endswith(" and 6 more")
    assert not open_data(CONFIG, root).warnings  # reading every file is for the check


def test_check_counts_classes_and_test_sets(
    root: Path, ltbench_here: CommandLine, tmp_path: Path
) -> None:
    differing(root)
    (root / "test" / "b" / "2.png").unlink()
    done = ltbench_here("data", "check", tmp_path / "p.toml", "--data-dir", root)
    assert "  a: 3, 3\n  b: 3, 2\n" in done.stdout
    assert re.search(r"  natural: 5 \(2 classes, 2 to 3\)", done.stdout)
    (tmp_path / "p.toml").write_text(PROTOCOL.replace('"all"', '"exponential"\nmax_count = 99'))
    done = ltbench_here("data", "check", tmp_path / "p.toml")
    assert done.returncode == 0
    assert "warning: these images do not give what the protocol asks for: " in done.stdout


def test_f19_each_bad_file_has_the_reason_of_the_decoder(root: Path) -> None:
    for suffix in ("jpg", "png", "bmp"):
        whole = save(root / "train" / "a" / f"cut.{suffix}").read_bytes()
        (root / "train" / "a" / f"cut.{suffix}").write_bytes(whole[: len(whole) * 3 // 4])
    (root / "test" / "b" / "page.jpg").write_text("<html>")
    lines = problems(root)["files that are no readable image"]
    assert len(lines) == 4
    for line in lines:
        reason = "of no known image format" if "page" in line else "runcated"
        assert reason in line, line


LISTS = """
name = "mine"
version = "1.0"
title = "Mine"
[data]
source = "lists"
path = "data"
classes = 2
image_size = 8
mean = [0.5, 0.5, 0.5]
std = [0.2, 0.2, 0.2]
lists.train = { file = "train.txt" }
lists.test = { file = "test.txt", sha256 = "DIGEST" }
[train]
profile = "all"
[recipe]
epochs = 1
batch_size = 4
lr = 0.1
"""


@pytest.fixture
def lists(root: Path, tmp_path: Path) -> Path:
    for split in ("train", "test"):
        lines = [f"{split}/{c}/{i}.png {k}" for k, c in enumerate("ab") for i in range(3)]
        (root / f"{split}.txt").write_text("\n".join(lines) + "\n")
    digest = hashlib.sha256((root / "test.txt").read_bytes()).hexdigest()
    protocol = tmp_path / "lists.toml"
    protocol.write_text(LISTS.replace("DIGEST", digest))
    return protocol


def asked(protocol: Path, tmp_path: Path) -> list[list[str | Path]]:
    results = ["--results", tmp_path / "results"]
    run = ["run", "--methods", "ce", "--protocol", protocol, *results]
    return [["data", "check", protocol], run]


def test_f19_a_list_of_another_version_is_refused(
    lists: Path, root: Path, ltbench_here: CommandLine, tmp_path: Path
) -> None:
    (root / "test.txt").write_text("test/a/0.png 0\ntest/b/0.png 1\n")
    for words in asked(lists, tmp_path):
        done = ltbench_here(*words)
        assert done.returncode == 2
        assert "test.txt is another list than the protocol's: its SHA-256 is" in done.stderr
    assert not (tmp_path / "results").exists() or not any((tmp_path / "results").iterdir())


def test_f19_files_of_a_list_that_are_missing_are_counted_with_the_first_five(
    lists: Path, root: Path, ltbench_here: CommandLine, tmp_path: Path
) -> None:
    for path in (root / "train").rglob("*.png"):
        path.unlink()
    first = ", ".join(f"train/{name}.png" for name in ("a/0", "a/1", "a/2", "b/0", "b/1"))
    for words in asked(lists, tmp_path):
        done = ltbench_here(*words)
        assert done.returncode == 2
        told = done.stdout + done.stderr
        assert "6 of 6 files are not below" in told
        assert f"{first}, ..." in told
        assert "b/2.png" not in told


def test_f19_images_beyond_the_lists_change_nothing(lists: Path, root: Path) -> None:
    config = load_protocol_config(str(lists)).data
    before = open_data(config, root)
    save(root / "train" / "a" / "extra.png")
    after = open_data(config, root, thorough=True)
    assert after.train.fingerprint == before.train.fingerprint
    assert len(after.train) == 6


def test_f19_check_counts_the_images_beyond_the_lists_with_the_first_five(
    lists: Path, root: Path, ltbench_here: CommandLine
) -> None:
    done = ltbench_here("data", "check", lists)
    assert done.returncode == 0, done.stderr
    assert "beside those" not in done.stdout
    for number in range(6):
        save(root / "train" / "a" / f"extra{number}.png")
    save(root / "test" / "b" / "extra.JPG")
    save(root / "nowhere" / "x.png")  # a folder of which no list names a file
    (root / "train" / "a" / "readme.txt").write_text("no image")
    (root / "train" / "a" / "._0.png").write_text("left by a system")
    done = ltbench_here("data", "check", lists)
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stdout.splitlines() if "beside those" in line]
    first = ", ".join(f"train/a/extra{number}.png" for number in range(4))
    told = (
        f"note: images beside those that are listed, not used: 7 (test/b/extra.JPG, {first}, ...)"
    )
    assert line == told


def test_f19_a_list_of_other_paths_than_the_folders_is_counted_where_its_images_lie(
    lists: Path, root: Path, ltbench_here: CommandLine
) -> None:
    (root / "train").rename(root / "pictures")
    text = lists.read_text().replace("[train]", 'paths = { "train/" = "pictures/" }\n[train]')
    lists.write_text(text)
    save(root / "pictures" / "a" / "extra.png")
    done = ltbench_here("data", "check", lists)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "not used: 1 (pictures/a/extra.png)" in done.stdout


def test_f19_check_counts_the_images_beside_a_table(
    root: Path, ltbench_here: CommandLine, tmp_path: Path
) -> None:
    lines = [f"{s}/{c}/{i}.png,{c},{s}" for s in ("train", "test") for c in "ab" for i in range(3)]
    lines[0] = lines[0].replace("train/a/", "./train/./a/", 1)  # the same folder
    (root / "table.csv").write_text("\n".join(["file,label,split", *lines]) + "\n")
    text = (tmp_path / "p.toml").read_text()
    assert 'source = "image-folder"' in text
    (tmp_path / "p.toml").write_text(text.replace('source = "image-folder"', 'source = "table"'))
    words = ["data", "check", tmp_path / "p.toml", "--data-dir", root / "table.csv"]
    done = ltbench_here(*words)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "beside those" not in done.stdout
    save(root / "train" / "a" / "extra.png")
    done = ltbench_here(*words)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"not used: 1 \(\S*train/\S*a/extra\.png\)", done.stdout), done.stdout


def test_f19_more_images_in_a_folder_are_another_data_set(root: Path) -> None:
    """Told apart by its fingerprint, so that no trial goes on with them."""
    before = open_data(CONFIG, root)
    save(root / "train" / "a" / "extra.png")
    after = open_data(CONFIG, root)
    assert len(after.train) == 7
    assert after.train.fingerprint != before.train.fingerprint
    assert after.test.fingerprint == before.test.fingerprint
