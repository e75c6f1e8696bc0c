"""Stored view pairs: exact semantics, stable draws, a cache that survives damage."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torchvision.transforms.functional as F
from PIL import Image, ImageFilter

from ltbench.data.dataset import ArrayDataset, Images
from ltbench.errors import InputError
from ltbench.evaluate import view_images
from ltbench.evaluate.view_images import draw_view_parameters, view_pair
from ltbench.protocol.protocol import ViewsConfig

CIFAR = ViewsConfig()
DIGITS = ViewsConfig(
    crop_padding=1,
    flip=False,
    saturation=0.0,
    hue=0.0,
    gray_probability=0.0,
    blur_probability=0.0,
)
PLAIN = ViewsConfig(
    crop_padding=0,
    flip=False,
    jitter_probability=0.0,
    gray_probability=0.0,
    blur_probability=0.0,
)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LTBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def images_of(n: int, size: int, seed: int = 0) -> Images:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (n, 3, size, size), dtype=np.uint8)


def dataset(n: int = 40, size: int = 8, seed: int = 0) -> ArrayDataset:
    return ArrayDataset(images_of(n, size, seed), np.zeros(n, dtype=np.int64), ("only",))


def files(cache: Path) -> list[Path]:
    return sorted(path for path in (cache / "views").rglob("*") if path.is_file())


def slow_views(images: Images, views: ViewsConfig, k: int) -> Images:
    """The published transforms in their order, image after image, all of them on PIL images."""
    p = draw_view_parameters(views, len(images), k)
    operations = (
        (F.adjust_brightness, views.brightness),
        (F.adjust_contrast, views.contrast),
        (F.adjust_saturation, views.saturation),
        (F.adjust_hue, views.hue),
    )
    size = images.shape[-1]
    out = np.empty((2, *images.shape), dtype=np.uint8)
    for v in range(2):
        for i in range(len(images)):
            pil = Image.fromarray(np.ascontiguousarray(images[i].transpose(1, 2, 0)))
            if views.crop_padding:
                pil = F.pad(pil, [views.crop_padding], 0, "constant")
            pil = F.crop(pil, int(p.top[i, v]), int(p.left[i, v]), size, size)
            if p.jitter[i, v]:
                for step in p.order[i, v].tolist():
                    operation, strength = operations[step]
                    if strength:
                        pil = operation(pil, float(p.factor[i, v, step]))
            if p.gray[i, v]:
                pil = F.to_grayscale(pil, num_output_channels=3)
            if p.sigma[i, v]:
                pil = pil.filter(ImageFilter.GaussianBlur(radius=float(p.sigma[i, v])))
            if p.flip[i, v]:
                pil = F.hflip(pil)
            out[v, i] = np.asarray(pil).transpose(2, 0, 1)
    return out


@pytest.mark.parametrize("size", [8, 13, 32])
@pytest.mark.parametrize("views", [CIFAR, DIGITS, PLAIN], ids=["cifar", "digits", "plain"])
def test_equals_the_slow_transcription(views: ViewsConfig, size: int) -> None:
    test = dataset(150, size)
    got = view_pair(test, views, 1)
    assert got.shape == (2, 150, 3, size, size)
    assert got.dtype == np.uint8
    assert np.array_equal(got, slow_views(test.read(np.arange(150)), views, 1))


def test_chunks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(view_images, "_CHUNK", 7)
    test = dataset(20)
    seen: list[tuple[int, int]] = []
    got = view_pair(test, CIFAR, 0, progress=lambda done, total: seen.append((done, total)))
    assert np.array_equal(got, slow_views(test.read(np.arange(20)), CIFAR, 0))
    assert seen == [(done, 40) for done in (7, 14, 20, 27, 34, 40)]


def test_is_a_read_only_memory_map() -> None:
    got = view_pair(dataset(), CIFAR, 0)
    assert isinstance(got, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        got[0, 0] = 0


def test_views_and_pairs_differ() -> None:
    first, second = (view_pair(dataset(), CIFAR, k) for k in (0, 1))
    for one, other in ((first[0], first[1]), (first[0], second[0]), (first[1], second[1])):
        assert (one != other).any(axis=(1, 2, 3)).mean() > 0.9


def test_more_pairs_keep_the_first_ones(cache: Path) -> None:
    few, many = (dataclasses.replace(CIFAR, pairs=pairs) for pairs in (1, 5))
    first = np.array(view_pair(dataset(), few, 0))
    again = view_pair(dataset(), many, 0)
    assert np.array_equal(first, again)
    assert len(files(cache)) == 1
    view_pair(dataset(), many, 4)
    assert [path.name for path in files(cache)] == ["pair0.npy", "pair4.npy"]
    with pytest.raises(IndexError, match=r"0\.\.0"):
        view_pair(dataset(), few, 1)


def test_parameters_belong_to_the_image() -> None:
    """More images, or a step switched off, leave every other draw as it was."""
    few, many = draw_view_parameters(CIFAR, 10, 2), draw_view_parameters(CIFAR, 1000, 2)
    plain = draw_view_parameters(dataclasses.replace(CIFAR, blur_probability=0.0, hue=0.0), 10, 2)
    for field in dataclasses.fields(few):
        assert np.array_equal(getattr(few, field.name), getattr(many, field.name)[:10])
        if field.name not in ("sigma", "factor"):
            assert np.array_equal(getattr(few, field.name), getattr(plain, field.name))
    assert np.array_equal(few.factor[..., :3], plain.factor[..., :3])


def test_parameters_follow_the_settings() -> None:
    n = 5000
    p = draw_view_parameters(CIFAR, n, 0)
    for offsets in (p.top, p.left):
        counts = np.bincount(offsets.reshape(-1))
        assert len(counts) == 9
        assert (abs(counts - 2 * n / 9) < 5 * (2 * n / 9) ** 0.5).all()
    orders = Counter(map(tuple, p.order.reshape(-1, 4).tolist()))
    assert len(orders) == 24
    assert max(orders.values()) < 1.5 * 2 * n / 24
    assert abs(p.jitter.mean() - 0.8) < 0.02
    assert abs(p.gray.mean() - 0.2) < 0.02
    assert abs(p.flip.mean() - 0.5) < 0.02
    assert abs((p.sigma > 0).mean() - 0.2) < 0.02
    blurred = p.sigma[p.sigma > 0]
    assert 0.1 <= blurred.min() < 0.12 < 1.98 < blurred.max() < 2.0
    for step, (low, high) in enumerate([(0.6, 1.4)] * 3 + [(-0.1, 0.1)]):
        factor = p.factor[..., step]
        assert low <= factor.min() < low + 0.01
        assert high - 0.01 < factor.max() <= high
    strong = draw_view_parameters(dataclasses.replace(CIFAR, brightness=1.0), n, 0)
    assert strong.factor[..., 0].min() >= 0.0


def test_neighbouring_seeds_and_pairs_share_no_draw() -> None:
    tables = [
        draw_view_parameters(dataclasses.replace(CIFAR, seed=seed), 20, k).factor
        for seed in range(3)
        for k in range(3)
    ]
    values = np.concatenate([table.reshape(-1) for table in tables])
    assert len(np.unique(values)) == len(values)


def test_second_call_computes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    first = view_pair(dataset(), CIFAR, 0)

    def refuse(*_: object) -> Images:
        raise AssertionError("rendered again")

    monkeypatch.setattr(view_images, "render", refuse)
    assert np.array_equal(view_pair(dataset(), CIFAR, 0), first)
    for other, views in ((dataset(seed=1), CIFAR), (dataset(), dataclasses.replace(CIFAR, seed=1))):
        with pytest.raises(AssertionError, match="rendered again"):
            view_pair(other, views, 0)
    monkeypatch.setattr(view_images, "VIEWS_VERSION", view_images.VIEWS_VERSION + 1)
    with pytest.raises(AssertionError, match="rendered again"):
        view_pair(dataset(), CIFAR, 0)


def _other_shape(path: Path) -> None:
    np.save(path, np.zeros((2, 3, 3, 8, 8), dtype=np.uint8))


def _other_type(path: Path) -> None:
    np.save(path, np.zeros((2, 40, 3, 8, 8), dtype=np.int8))


def _pickle(path: Path) -> None:
    np.save(path, np.array([{}], dtype=object), allow_pickle=True)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"not an array at all" * 20),
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: path.write_bytes(path.read_bytes() + b"x"),
        lambda path: path.write_bytes(path.read_bytes()[:9]),
        _other_shape,
        _other_type,
        _pickle,
    ],
    ids=["empty", "noise", "short", "long", "header", "shape", "type", "pickle"],
)
def test_damaged_file_is_made_anew(cache: Path, damage: Callable[[Path], object]) -> None:
    expected = np.array(view_pair(dataset(), CIFAR, 0))
    (path,) = files(cache)
    size = path.stat().st_size
    path.unlink()
    np.save(path, expected)  # a new file: the old one may still be mapped
    damage(path)
    assert np.array_equal(view_pair(dataset(), CIFAR, 0), expected)
    assert path.stat().st_size == size
    assert files(cache) == [path]


def test_a_file_of_before_there_were_checksums_is_read(cache: Path) -> None:
    expected = np.array(view_pair(dataset(), CIFAR, 0))
    (path,) = files(cache)
    path.unlink()
    np.save(path, expected)
    before = path.read_bytes()
    assert np.array_equal(view_pair(dataset(), CIFAR, 0), expected)
    assert path.read_bytes() == before


def test_numbers_are_compared_once(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    view_pair(dataset(), CIFAR, 0)

    def crc32(*arguments: object) -> int:
        raise AssertionError("compared again")

    monkeypatch.setattr(view_images.zlib, "crc32", crc32)
    view_pair(dataset(), CIFAR, 0)


def test_an_interrupted_build_leaves_nothing(cache: Path) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        view_pair(dataset(), CIFAR, 0, progress=stop)
    assert files(cache) == []


def test_rivals_get_the_same(cache: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: view_pair(dataset(), CIFAR, 0), range(4)))
    assert all(np.array_equal(result, results[0]) for result in results)
    assert len(files(cache)) == 1


def test_an_unusable_cache_folder_is_named(cache: Path) -> None:
    cache.write_text("a file where a folder should be")
    with pytest.raises(InputError, match="LTBENCH_CACHE"):
        view_pair(dataset(), CIFAR, 0)


def test_blur_sigma_must_be_a_range() -> None:
    with pytest.raises(InputError, match="blur_sigma"):
        view_pair(dataset(), dataclasses.replace(CIFAR, blur_sigma=(1.0,)), 0)
