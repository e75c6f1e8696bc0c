from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ltbench.data.sources import open_data
from ltbench.errors import DataError
from ltbench.protocol.protocol import DataConfig

CONFIG = DataConfig(source="image-folder", classes=2, image_size=16)


def picture(
    path: Path, width: int = 24, height: int = 16, mode: str = "RGB", seed: int = 0
) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.RandomState(seed).randint(0, 256, (height, width, 3)).astype(np.uint8)
    Image.fromarray(pixels).convert(mode).save(path)
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "my images ü"
    for number in range(3):
        picture(folder / "train" / "zebra" / f"{number}.png", seed=number)
    picture(folder / "train" / "ant" / "b.jpg", 40, 33)
    picture(folder / "train" / "ant" / "a.png", 17, 50, "L")
    picture(folder / "test" / "zebra" / "x.png", mode="RGBA", seed=9)
    return folder


def test_classes_are_sorted_and_one_may_lack_test_images(root: Path) -> None:
    splits = open_data(CONFIG, root)
    assert splits.train.class_names == ("ant", "zebra") == splits.test.class_names
    assert splits.train.labels.tolist() == [0, 0, 1, 1, 1]
    assert splits.test.labels.tolist() == [1]
    assert splits.train.read([0, 1, 2]).shape == (3, 3, 16, 16)
    grey = splits.train.read([0])[0]
    np.testing.assert_array_equal(grey[0], grey[2])


@pytest.mark.parametrize(("width", "height"), [(24, 16), (40, 33), (17, 50), (16, 16), (7, 9)])
def test_pixels_are_those_of_torchvision(root: Path, width: int, height: int) -> None:
    transforms = pytest.importorskip("torchvision.transforms")
    path = picture(root / "train" / "ant" / "a.png", width, height, seed=4)
    expected = transforms.CenterCrop(16)(transforms.Resize(16)(Image.open(path)))
    got = open_data(CONFIG, root).train.read([0])[0]
    np.testing.assert_array_equal(got, np.asarray(expected).transpose(2, 0, 1))


def test_hidden_files_and_files_beside_class_folders_are_ignored(root: Path) -> None:
    (root / "train" / "ant" / ".DS_Store").write_bytes(b"x")
    (root / "train" / "ant" / "Thumbs.db").write_bytes(b"x")
    (root / "train" / ".git").mkdir()
    (root / "train" / "readme.txt").write_text("x")
    assert len(open_data(CONFIG, root).train) == 5


def test_changed_images_are_decoded_again(root: Path) -> None:
    before = open_data(CONFIG, root).train.fingerprint
    picture(root / "train" / "zebra" / "3.png", seed=3)
    after = open_data(CONFIG, root).train
    assert len(after) == 6
    assert after.fingerprint != before


def test_unreadable_images_are_named(root: Path) -> None:
    bad = root / "train" / "zebra" / "1.png"
    whole = bad.read_bytes()
    for content in (b"not an image", b"", whole[: len(whole) // 2]):
        bad.write_bytes(content)
        with pytest.raises(DataError, match=r"zebra/1\.png is not a readable image"):
            open_data(CONFIG, root)
    bad.unlink()
    bad.symlink_to(root / "nowhere")
    with pytest.raises(DataError, match=r"zebra/1\.png cannot be read"):
        open_data(CONFIG, root)


def test_images_of_16_bits_are_refused_rather_than_clipped(root: Path) -> None:
    deep = np.full((20, 20), 40_000, dtype=np.uint16)
    Image.fromarray(deep).save(root / "train" / "ant" / "c.png")
    with pytest.raises(DataError, match=r"c\.png has more than 8 bits per channel"):
        open_data(CONFIG, root)


def test_class_mismatches(root: Path) -> None:
    picture(root / "test" / "zebras" / "x.png")
    with pytest.raises(DataError, match=r"zebras is a class without a folder .* mean 'zebra'\?"):
        open_data(CONFIG, root)
    (root / "test" / "zebras" / "x.png").rename(root / "test" / "zebra" / "y.png")
    (root / "test" / "zebras").rmdir()
    with pytest.raises(DataError, match="has 2 classes, the protocol says 3"):
        open_data(DataConfig("image-folder", 3, 16), root)
    (root / "train" / "yak").mkdir()
    with pytest.raises(DataError, match="yak has no images; each class needs a training image"):
        open_data(CONFIG, root)


def test_a_single_class_is_refused(tmp_path: Path) -> None:
    picture(tmp_path / "one" / "train" / "only" / "a.png")
    picture(tmp_path / "one" / "test" / "only" / "a.png")
    with pytest.raises(DataError, match="at least 2 classes, not 1"):
        open_data(CONFIG, tmp_path / "one")


def test_missing_or_empty_split_and_nested_folder(root: Path) -> None:
    (root / "train" / "ant" / "more").mkdir()
    with pytest.raises(DataError, match="more is a folder inside a class folder"):
        open_data(CONFIG, root)
    (root / "train" / "ant" / "more").rmdir()
    (root / "test" / "zebra" / "x.png").unlink()
    with pytest.raises(DataError, match="test has no images"):
        open_data(CONFIG, root)
    (root / "test").rename(root / "val")
    with pytest.raises(DataError, match="no folder 'test'; expected train/<class>"):
        open_data(CONFIG, root)


def test_whole_numbers_are_ordered_by_value_and_it_is_said(tmp_path: Path) -> None:
    from ltbench.data.class_order import BY_VALUE, ordered_classes
    from ltbench.data.folder import find_folder

    for k in range(12):
        picture(tmp_path / "own" / "train" / str(k) / "a.png", seed=k)
        picture(tmp_path / "own" / "test" / str(k) / "a.png", seed=k)
    config = DataConfig(source="image-folder", classes=12, image_size=16)
    splits = open_data(config, tmp_path / "own")
    assert splits.train.class_names == tuple(map(str, range(12)))
    assert BY_VALUE in find_folder(tmp_path / "own", 16).findings.notes
    assert ordered_classes(["b10", "b2", "1"]) == ("1", "b10", "b2")  # not all are numbers: as text
    assert ordered_classes(["010", "9", "10", "-3"]) == ("-3", "9", "010", "10")
    assert ordered_classes(["\u00b2", "10", "9"]) == (
        "10",
        "9",
        "\u00b2",
    )  # a superscript is no number


def test_an_order_that_is_the_same_either_way_keeps_its_cache_entry(root: Path) -> None:
    from ltbench.data.folder import find_folder

    found = find_folder(root, 16)
    assert found.options == {"image_size": 16, "reader": 2}
    assert not any("ordered" in kind for kind in found.findings.notes)
