"""How images of any shape become squares, against transcriptions in Pillow and NumPy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import ltbench
from ltbench.data.cache import entry_path
from ltbench.data.folder import find_folder
from ltbench.data.locate import locate
from ltbench.data.sources import open_data
from ltbench.errors import InputError
from ltbench.protocol.protocol import DataConfig
from ltbench.settings import identity_of

SIZE = 16
SHAPES = [(24, 16), (40, 33), (17, 50), (16, 16), (7, 9), (400, 3), (1, 300)]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """One image of each shape, in each of two classes and splits."""
    for split in ("train", "test"):
        for label, name in enumerate(("ant", "zebra")):
            folder = tmp_path / "own" / split / name
            folder.mkdir(parents=True)
            for i, (width, height) in enumerate(SHAPES):
                rng = np.random.RandomState(10 * i + label)
                pixels = rng.randint(1, 256, (height, width, 3)).astype(np.uint8)
                Image.fromarray(pixels).save(folder / f"{i}.png")
    return tmp_path / "own"


def config(fit: str) -> DataConfig:
    return DataConfig(source="image-folder", classes=2, image_size=SIZE, fit=fit)


def transcribed(image: Image.Image, fit: str) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    if fit == "squash":
        return np.asarray(image.resize((SIZE, SIZE), Image.Resampling.BILINEAR))
    width, height = image.size
    if width >= height:
        width, height = SIZE, max(1, int(np.rint(SIZE * height / width)))
    else:
        width, height = max(1, int(np.rint(SIZE * width / height))), SIZE
    inner = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))
    top, left = (SIZE - height) // 2, (SIZE - width) // 2
    around = ((top, SIZE - height - top), (left, SIZE - width - left), (0, 0))
    return np.pad(inner, around)


@pytest.mark.parametrize("fit", ["pad", "squash"])
def test_pixels_are_those_of_the_transcription(root: Path, fit: str) -> None:
    got = open_data(config(fit), root).train.read(np.arange(len(SHAPES)))
    for i in range(len(SHAPES)):
        image = Image.open(root / "train" / "ant" / f"{i}.png")
        expected = transcribed(image, fit).transpose(2, 0, 1)
        np.testing.assert_array_equal(got[i], expected, err_msg=str(SHAPES[i]))


def test_padding_keeps_the_shape_and_squashing_fills(root: Path) -> None:
    padded = open_data(config("pad"), root).train.read([1])[0]
    black = (padded == 0).all(axis=(0, 2))
    assert black.sum() == SIZE - round(SIZE * 33 / 40)  # rows, of an image of 40 x 33
    assert not (open_data(config("squash"), root).train.read([1])[0] == 0).all(axis=(0, 2)).any()


def test_each_way_has_an_entry_of_its_own_and_the_usual_one_keeps_its(root: Path) -> None:
    founds = [locate(config(fit), root).find() for fit in ("crop", "pad", "squash")]
    entries = {entry_path(found) for found in founds if found is not None}
    assert len(entries) == 3
    assert entry_path(find_folder(root, SIZE)) in entries
    assert "fit" not in find_folder(root, SIZE).options
    assert "fit" not in identity_of(config("crop"))
    assert identity_of(config("pad"))["fit"] == "pad"
    prints = {open_data(config(fit), root).train.fingerprint for fit in ("crop", "pad", "squash")}
    assert len(prints) == 3


def test_a_table_of_files_is_fitted_too(root: Path, tmp_path: Path) -> None:
    rows = [f"{p.relative_to(root)},{p.parent.name},{p.parts[-3]}" for p in root.rglob("*.png")]
    table = tmp_path / "t.csv"
    table.write_text("file,label,split\n" + "\n".join(rows))
    given = DataConfig(source="table", classes=2, image_size=SIZE, fit="pad", path=str(table))
    of_table = open_data(given, root)
    of_folder = open_data(config("pad"), root)
    np.testing.assert_array_equal(of_table.train.read([0, 5]), of_folder.train.read([0, 5]))


def test_where_it_means_nothing_or_is_mistyped() -> None:
    with pytest.raises(InputError, match="must be one of: crop, pad, squash"):
        config("stretch")
    with pytest.raises(InputError, match="those of digits have their size"):
        ltbench.load_protocol("digits-lt", data={"fit": "pad"})


def test_another_source_does_not_take_it_over(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(
        "name='own'\nversion='1'\ntitle='Own'\n[data]\nsource='image-folder'\npath='x'\nclasses=10\n"
        "image_size=8\nfit='pad'\n[train]\nprofile='all'\n[recipe]\nepochs=1\nbatch_size=8\nlr=0.1\n"
    )
    (tmp_path / "child.toml").write_text(
        "extends='own.toml'\nname='child'\n[data]\nsource='digits'\nimage_size=8\n"
    )
    (tmp_path / "other.toml").write_text("extends='own.toml'\nname='other'\n[data]\npath='y'\n")
    assert ltbench.load_protocol(str(tmp_path / "child.toml")).data.fit == "crop"
    assert ltbench.load_protocol(str(tmp_path / "other.toml")).data.fit == "pad"
