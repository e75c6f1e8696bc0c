"""Stored pairs of augmented views of the test images, made once per data set and reused by all.

Semantics (SADE, ``test_training_cifar.py`` and its data loader; torchvision on PIL images), each
step with parameters of its own for every image and view:

    RandomCrop(size, padding p, black)                   with crop = "padded"
    RandomResizedCrop(size, crop_scale) of the image     with crop = "resized"
        as it was taken (SADE's loaders of ImageNet-LT, Places-LT and iNaturalist)
    ColorJitter(brightness, contrast, saturation, hue)   with jitter_probability; order at random
    grey, three equal channels                           with gray_probability
    GaussianBlur(radius = sigma), sigma in blur_sigma    with blur_probability
    RandomHorizontalFlip(0.5)                            if flip

The views depend on no model. Crop and flip only move pixels and are done on arrays; everything
that computes pixel values is done by torchvision on PIL images, in one thread: on images this small
a second one only contends for the interpreter (measured: a third slower). Many are made in several
processes (:mod:`ltbench.evaluate.view_processes`). Resized crops are cut where images are read
(:mod:`ltbench.evaluate.view_crops`).
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from math import prod
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from ltbench.data.cache import cache_root
from ltbench.data.dataset import Dataset, Images
from ltbench.errors import InputError, LtbenchError
from ltbench.evaluate.view_crops import pictures
from ltbench.files import crc32_of, sweep_abandoned, write_atomically
from ltbench.protocol.protocol import ViewsConfig

VIEWS_VERSION = 1
"""Raised when the views that the same settings give change."""

Progress = Callable[[int, int], None]
Over = Callable[[Callable[["Chunk"], Images], Iterable["Chunk"]], Iterable[Images]]
"""As ``map``: applies a function to chunks and gives the results in their order."""

_SUM = b"crc32 %08x"
"""After the numbers of a file: the CRC-32 of these; files of an earlier ltbench have none."""
_SUM_BYTES = len(_SUM % 0)
_COMPARED: dict[Path, tuple[int, int, int]] = {}
"""Files whose numbers this process has compared: inode, size and time of change."""
_CHUNK = 500  # images rendered between two writes and two calls of progress
_ORDERS = np.array(list(itertools.permutations(range(4))))


@dataclass(frozen=True)
class ViewParameters:
    """What is random about one pair; every array is indexed by image, then by view (0 or 1)."""

    top: NDArray[np.int64]  # (N, 2) first row of the crop in the padded image
    left: NDArray[np.int64]  # (N, 2) its first column
    jitter: NDArray[np.bool_]  # (N, 2) whether brightness, contrast, saturation and hue change
    order: NDArray[np.int64]  # (N, 2, 4) in which order; 0 is brightness, 3 is hue
    factor: NDArray[np.float64]  # (N, 2, 4) by how much; for hue in turns of the colour circle
    gray: NDArray[np.bool_]  # (N, 2)
    sigma: NDArray[np.float64]  # (N, 2) blur in pixels, 0 where there is none
    flip: NDArray[np.bool_]  # (N, 2)

    def of(self, start: int, stop: int) -> ViewParameters:
        """Those of the images ``start`` to ``stop - 1``."""
        return ViewParameters(*(getattr(self, field.name)[start:stop] for field in fields(self)))


@dataclass(frozen=True)
class Chunk:
    """Images (B, 3, H, W) of which ``view`` (0 or 1) is asked, and their parameters."""

    images: Images
    view: int
    views: ViewsConfig
    parameters: ViewParameters


def view_pair(
    test: Dataset,
    views: ViewsConfig,
    k: int,
    *,
    progress: Progress | None = None,
    over: Over = map,
) -> Images:
    """Pair ``k`` of views of all test images: (2, N, 3, H, W) uint8, read-only, memory-mapped.

    Made where the cache lacks it or holds a damaged file; ``progress(done, total)`` counts views;
    ``over`` may render several chunks of images at once.
    Processes may race: they write the same bytes. Raises ``IndexError`` for ``k`` outside
    0..pairs-1, :class:`InputError` where the cache folder cannot be written,
    :class:`LtbenchError` where the disk is full.
    """
    if not 0 <= k < views.pairs:
        raise IndexError(f"view pair {k} is outside 0..{views.pairs - 1}")
    shape = (2, len(test), 3, test.image_size, test.image_size)
    path = _path(test, views, k)
    stored = _open(path, shape)
    if stored is not None:
        return stored
    parameters = draw_view_parameters(views, len(test), k)
    try:
        write_atomically(
            path,
            lambda file: _write(file, shape, _chunks(test, views, parameters, k), progress, over),
            needed=prod(shape),
        )
    except OSError as error:
        raise InputError(
            f"cannot write views to {path.parent}: {error}; "
            "set LTBENCH_CACHE to a folder that can be written"
        ) from error
    sweep_abandoned([path])  # as large as itself
    stored = _open(path, shape)
    if stored is None:
        raise LtbenchError(f"{path} is damaged right after it was written; is the disk in order?")
    return stored


def missing_pairs(test: Dataset, views: ViewsConfig) -> list[int]:
    """Pairs that the cache lacks."""
    shape = (2, len(test), 3, test.image_size, test.image_size)
    return [k for k in range(views.pairs) if _open(_path(test, views, k), shape) is None]


def _path(test: Dataset, views: ViewsConfig, k: int) -> Path:
    return cache_root() / "views" / _key(test, views) / f"pair{k}.npy"


def draw_view_parameters(views: ViewsConfig, n: int, k: int) -> ViewParameters:
    """The parameters of pair ``k`` for ``n`` images.

    Each image (by index) and view has twelve uniform numbers of its own, whichever steps are on:
    neither another pair, nor more images, nor a step switched off changes any other draw.
    Raises :class:`InputError` unless ``blur_sigma`` is a range.
    """
    if len(views.blur_sigma) != 2:
        raise InputError(f"blur_sigma = {list(views.blur_sigma)} must be two numbers: least, most")
    digest = hashlib.sha256(json.dumps([views.seed, k]).encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
    table = torch.rand(n, 2, 12, dtype=torch.float64, generator=generator).numpy()
    top, left, jitter, order, *factors, gray, blur, sigma, flip = np.moveaxis(table, 2, 0)
    offsets = 2 * views.crop_padding + 1
    strengths = (views.brightness, views.contrast, views.saturation)
    ranges = [(max(0.0, 1.0 - x), 1.0 + x) for x in strengths] + [(-views.hue, views.hue)]
    scaled = [low + (high - low) * u for (low, high), u in zip(ranges, factors, strict=True)]
    least, most = views.blur_sigma
    return ViewParameters(
        top=(top * offsets).astype(np.int64),
        left=(left * offsets).astype(np.int64),
        jitter=jitter < views.jitter_probability,
        order=_ORDERS[(order * len(_ORDERS)).astype(np.int64)],
        factor=np.stack(scaled, axis=2),
        gray=gray < views.gray_probability,
        sigma=np.where(blur < views.blur_probability, least + (most - least) * sigma, 0.0),
        flip=(flip < 0.5) & views.flip,
    )


def _key(test: Dataset, views: ViewsConfig) -> str:
    identity = json.dumps(
        [VIEWS_VERSION, test.fingerprint, views.images_identity()], sort_keys=True
    )
    return hashlib.sha256(identity.encode()).hexdigest()[:32]


def _open(path: Path, shape: tuple[int, ...]) -> Images | None:
    """None where the file is absent or not what a finished one would be.

    Header and size are checked at each opening, the numbers by their checksum once in a process.
    """
    try:
        stored = np.lib.format.open_memmap(path, mode="r")
        beyond = path.stat().st_size - stored.offset - stored.nbytes
        fits = stored.shape == shape and stored.dtype == np.uint8 and stored.flags.c_contiguous
        if not fits or beyond not in (0, _SUM_BYTES) or not _matches(path, stored.offset, beyond):
            return None
    except (OSError, ValueError, EOFError):
        return None
    return stored


def _matches(path: Path, offset: int, beyond: int) -> bool:
    """Whether the numbers from ``offset`` on are those of the checksum in the last ``beyond`` bytes."""
    if not beyond:
        return True  # of an earlier ltbench
    with path.open("rb") as file:  # not mapped: what is read stays the system's memory
        status = os.fstat(file.fileno())
        known = (status.st_ino, status.st_size, status.st_mtime_ns)
        if _COMPARED.get(path) == known:
            return True
        file.seek(offset)
        found = crc32_of(file, status.st_size - offset - beyond)
        if file.read() != _SUM % found:
            return False
    _COMPARED[path] = known
    return True


def _chunks(
    test: Dataset, views: ViewsConfig, parameters: ViewParameters, k: int
) -> Iterator[Chunk]:
    n = len(test)
    for view in range(2):
        for start in range(0, n, _CHUNK):
            stop = min(start + _CHUNK, n)
            images = pictures(test, views, k, view, slice(start, stop))
            yield Chunk(images, view, views, parameters.of(start, stop))


def _write(
    path: Path,
    shape: tuple[int, ...],
    chunks: Iterator[Chunk],
    progress: Progress | None,
    over: Over,
) -> None:
    done = found = 0
    # Plain writes, not a writable memory map: there a full disk would kill the process.
    with path.open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        for rendered in over(render, chunks):
            numbers = rendered.tobytes()
            file.write(numbers)
            found = zlib.crc32(numbers, found)
            done += len(rendered)
            if progress is not None:
                progress(done, shape[0] * shape[1])
        file.write(_SUM % found)


def render(chunk: Chunk) -> Images:
    """The views (B, 3, H, W) that ``chunk`` asks for."""
    images, view, views, p = chunk.images, chunk.view, chunk.views, chunk.parameters
    size, margin = images.shape[2], (views.crop_padding, views.crop_padding)
    padded = np.pad(images.transpose(0, 2, 3, 1), ((0, 0), margin, margin, (0, 0)))
    strengths = (views.brightness, views.contrast, views.saturation, views.hue)
    # Strength 0 skips the step, as torchvision does: even a hue change of 0 rounds colours.
    active = frozenset(i for i in range(4) if strengths[i] > 0)
    out = np.empty((len(images), size, size, 3), dtype=np.uint8)
    for i in range(len(images)):
        top, left = p.top[i, view], p.left[i, view]
        crop = padded[i, top : top + size, left : left + size]
        factor, sigma = p.factor[i, view], float(p.sigma[i, view])
        order = p.order[i, view] if p.jitter[i, view] else ()
        steps = [(step, float(factor[step])) for step in order if step in active]
        seen = _recolour(crop, steps, bool(p.gray[i, view]), sigma)
        out[i] = seen[:, ::-1] if p.flip[i, view] else seen
    return np.ascontiguousarray(out.transpose(0, 3, 1, 2))


def _recolour(crop: Images, steps: list[tuple[int, float]], gray: bool, sigma: float) -> Images:
    """(H,W,3) -> (H,W,3): what changes pixel values, on a PIL image."""
    if not (steps or gray or sigma):
        return crop
    # Here, because importing it takes seconds and stored views need it no more.
    import torchvision.transforms.functional as F

    jitter = (F.adjust_brightness, F.adjust_contrast, F.adjust_saturation, F.adjust_hue)
    image = Image.fromarray(np.ascontiguousarray(crop))
    for step, factor in steps:
        image = jitter[step](image, factor)
    if gray:
        image = F.to_grayscale(image, num_output_channels=3)
    if sigma:
        image = image.filter(ImageFilter.GaussianBlur(radius=sigma))
    return np.asarray(image)
