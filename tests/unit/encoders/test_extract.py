"""Extraction: whole, in order, resumed after an interruption, refused where it would mix."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from ltbench.data.dataset import ArrayDataset, Splits
from ltbench.data.sources import open_data
from ltbench.encoder import LoadedEncoder, Preprocessing
from ltbench.encoders import extract as module
from ltbench.encoders import pieces
from ltbench.encoders.encode import Encode
from ltbench.encoders.extract import UNFINISHED, Wanted, extract
from ltbench.encoders.load import Chosen
from ltbench.encoders.parts import parts_of
from ltbench.errors import InputError
from ltbench.evaluate.view_images import view_pair
from ltbench.features.folder import FeatureFolder
from ltbench.features.header import TEST, TRAIN
from ltbench.features.views import views_identity
from ltbench.protocol.file import load_protocol_config
from ltbench.protocol.protocol import Protocol
from ltbench.seeds import generator, seed_for
from ltbench.train.augment import Augmenter
from ltbench.train.resized import augmented, uniforms

CPU = torch.device("cpu")


class Corner(nn.Module):
    """The nine grey values at the middle; it can be told to stop, as a user does."""

    def __init__(self) -> None:
        super().__init__()
        self.after: int | None = None
        self.images = 0

    def forward(self, images: Tensor) -> Tensor:
        if self.after is not None and self.images >= self.after:
            raise KeyboardInterrupt
        self.images += len(images)
        return images[:, 0, 2:5, 2:5].reshape(len(images), -1)


def expected(images: np.ndarray) -> np.ndarray:
    grey: np.ndarray = (images[:, 0, 2:5, 2:5].reshape(len(images), -1) / np.float32(255)).astype(
        np.float16
    )
    return grey


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    for where in (module, pieces):
        monkeypatch.setattr(where, "PIECE", 250)


@pytest.fixture(scope="module")
def protocol() -> Protocol:
    return load_protocol_config("digits-lt", ("recipe.crop_padding=1",))


@pytest.fixture(scope="module")
def splits(protocol: Protocol) -> Splits:
    return open_data(protocol.data)


def encoder(name: str = "corner") -> Encode:
    return Encode(Chosen(name, "features", LoadedEncoder(Corner(), Preprocessing(), "w")), CPU, 100)


def test_every_tensor_is_what_the_encoder_gives_of_the_images_it_names(
    protocol: Protocol, splits: Splits, tmp_path: Path
) -> None:
    done = extract(protocol, splits, encoder(), Wanted(pairs=2, copies=2), tmp_path)
    folder = FeatureFolder(tmp_path)
    folder.verify()
    header = folder.header
    assert header == done.header
    assert (header.dim, header.experts, header.augmented, header.pairs) == (9, 1, 2, 2)
    assert header.whole_pool
    assert header.source.fingerprint == splits.train.fingerprint
    assert header.views == views_identity(protocol.views)
    train, test = (images.read(np.arange(len(images))) for images in (splits.train, splits.test))
    assert np.array_equal(folder.clean(TRAIN), expected(train))
    assert np.array_equal(folder.clean(TEST), expected(test))
    for file, images in ((TRAIN, splits.train), (TEST, splits.test)):
        assert np.array_equal(folder.labels(file), images.labels)
        assert np.array_equal(folder.row(file), np.arange(len(images)))
    augmenter = Augmenter(protocol.recipe, 8, CPU)
    for copy in range(2):
        draws = augmenter.draw(len(train), generator("features", "augmented", copy))
        moved = augmenter.apply(torch.from_numpy(train), draws).numpy()
        assert np.array_equal(folder.copy(copy), expected(moved))
        for view in range(2):
            seen = view_pair(splits.test, protocol.views, copy)[view]
            assert np.array_equal(folder.pair(copy)[view], expected(seen))
    assert not np.array_equal(folder.copy(0), folder.copy(1))
    assert not (tmp_path / UNFINISHED).exists()


def test_what_an_interrupted_extraction_finished_is_kept_and_nothing_else(
    protocol: Protocol, splits: Splits, tmp_path: Path
) -> None:
    whole = extract(protocol, splits, encoder(), Wanted(copies=1), tmp_path / "whole")
    stopped = encoder()
    network = stopped.network
    assert isinstance(network, Corner)
    network.after = 600  # in the middle of the third piece
    with pytest.raises(KeyboardInterrupt):
        extract(protocol, splits, stopped, Wanted(copies=1), tmp_path / "part")
    assert not (tmp_path / "part" / "features.json").exists()
    assert len(list((tmp_path / "part" / UNFINISHED).glob("*.safetensors"))) == 2
    again = encoder()
    done = extract(protocol, splits, again, Wanted(copies=1), tmp_path / "part")
    assert done.kept == 500
    assert isinstance(again.network, Corner)
    assert again.network.images == done.images == 2 * 1197 + 600 - 500
    assert done.header == whole.header  # the digests of every tensor among them


def test_a_damaged_piece_is_made_again(protocol: Protocol, splits: Splits, tmp_path: Path) -> None:
    stopped = encoder()
    assert isinstance(stopped.network, Corner)
    stopped.network.after = 600
    with pytest.raises(KeyboardInterrupt):
        extract(protocol, splits, stopped, Wanted(), tmp_path)
    one, two = sorted((tmp_path / UNFINISHED).glob("*.safetensors"))
    content = bytearray(one.read_bytes())
    content[-1] ^= 1
    one.write_bytes(content)
    two.write_bytes(two.read_bytes()[:-3])
    done = extract(protocol, splits, encoder(), Wanted(), tmp_path)
    assert (done.damaged, done.kept, done.images) == (2, 0, 1797)
    FeatureFolder(tmp_path).verify()


def test_pieces_of_another_extraction_are_refused(
    protocol: Protocol, splits: Splits, tmp_path: Path
) -> None:
    stopped = encoder()
    assert isinstance(stopped.network, Corner)
    stopped.network.after = 300
    with pytest.raises(KeyboardInterrupt):
        extract(protocol, splits, stopped, Wanted(), tmp_path)
    with pytest.raises(InputError, match=r"another extraction \(name 'corner', asked is 'other'"):
        extract(protocol, splits, encoder("other"), Wanted(), tmp_path)
    views = replace(protocol, views=replace(protocol.views, brightness=0.1))
    with pytest.raises(InputError, match=r"another extraction \(views "):
        extract(views, splits, encoder(), Wanted(), tmp_path)


def test_a_whole_folder_is_checked_and_other_features_never_replace_it(
    protocol: Protocol, splits: Splits, tmp_path: Path
) -> None:
    extract(protocol, splits, encoder(), Wanted(), tmp_path)
    again = encoder()
    assert extract(protocol, splits, again, Wanted(), tmp_path).whole
    assert isinstance(again.network, Corner)
    assert again.network.images == 0
    for other, wanted, told in (
        (encoder("other"), Wanted(), "encoder"),
        (encoder(), Wanted(copies=1), "augmented"),
        (encoder(), Wanted(pairs=1), "views"),
    ):
        with pytest.raises(InputError, match=rf"holds other features \({told}"):
            extract(protocol, splits, other, wanted, tmp_path)


@pytest.mark.parametrize(
    ("wanted", "change", "told"),
    [
        (Wanted(pairs=6), {}, r"--views 6: digits-lt has views.pairs = 5"),
        (Wanted(copies=1), {"crop_padding": 0}, r"recipe of digits-lt augments nothing"),
        (Wanted(prompt="a {}."), {}, r"--prompt: corner was trained without texts"),
    ],
)
def test_what_cannot_be_made_is_refused_before_any_work(
    wanted: Wanted,
    change: dict[str, int],
    told: str,
    protocol: Protocol,
    splits: Splits,
    tmp_path: Path,
) -> None:
    other = replace(protocol, recipe=replace(protocol.recipe, **change))  # type: ignore[arg-type]
    with pytest.raises(InputError, match=told) as found:
        extract(other, splits, encoder(), wanted, tmp_path / "f")
    assert "\n" not in str(found.value)
    assert not (tmp_path / "f").exists()


def test_experts_of_their_own_features_are_stored_one_after_another(
    protocol: Protocol, splits: Splits, tmp_path: Path
) -> None:
    class Two(Corner):
        def forward(self, images: Tensor) -> Tensor:
            one = super().forward(images)
            return torch.stack((one, 2 * one), dim=1)

    loaded = LoadedEncoder(Two(), Preprocessing(), "w")
    extract(protocol, splits, Encode(Chosen("two", "f", loaded), CPU), Wanted(), tmp_path)
    folder = FeatureFolder(tmp_path)
    assert (folder.header.experts, folder.header.dim) == (2, 9)
    test = splits.test.read(np.arange(len(splits.test)))
    one, two = folder.clean(TEST)
    assert np.array_equal(one, expected(test))
    assert np.array_equal(two, 2 * one)


def test_a_folder_that_cannot_be_made_is_one_line(
    protocol: Protocol, splits: Splits, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file" / "f"):
        with pytest.raises(InputError, match=r"-o .* cannot be made"):
            extract(protocol, splits, encoder(), Wanted(), out)


class Photos(ArrayDataset):
    """Images that training opens one by one, of 12 x 10 pixels."""

    @property
    def streamed(self) -> bool:
        return True

    def open(self, index: int) -> Image.Image:
        pixels = np.random.RandomState(index).randint(0, 256, (10, 12, 3)).astype(np.uint8)
        return Image.fromarray(pixels)


def test_copies_of_large_images_are_cut_as_training_cuts_them(protocol: Protocol) -> None:
    images = Photos(np.zeros((5, 3, 8, 8), np.uint8), np.arange(5) % 2, ("a", "b"))
    parts = parts_of(Splits(images, images, "here"), protocol, 0, 2)
    assert [str(part) for part in parts] == [
        *("train-clean", "train-aug0", "train-aug1", "test-clean")
    ]
    for copy, part in enumerate(parts[1:3]):
        key = seed_for("features", "augmented", copy)
        for i, found in enumerate(part.read(1, 4), 1):
            cut = augmented(images.open(i), 8, protocol.recipe, uniforms(key, i))
            assert np.array_equal(found, np.asarray(cut).transpose(2, 0, 1))
    assert not np.array_equal(parts[1].read(0, 5), parts[2].read(0, 5))
