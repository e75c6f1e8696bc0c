"""Decoding images of any format that Pillow reads."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias, TypeVar

import numpy as np
from PIL import Image, UnidentifiedImageError

from ltbench.data.dataset import Images
from ltbench.data.findings import Findings, shown
from ltbench.errors import DataError
from ltbench.files import refuse_endless

T = TypeVar("T")
R = TypeVar("R")

_ORIENTATION = 0x0112
# As Pillow's exif_transpose, which also writes the other tags anew and fails where one is broken.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class Mapper(Protocol):
    """Like the built-in ``map`` over one iterable; results come in order."""

    def __call__(self, function: Callable[[T], R], items: Iterable[T], /) -> Iterator[R]: ...


@contextmanager
def mapper(*, threaded: bool) -> Iterator[Mapper]:
    """``map``, in a few threads where that pays: Pillow releases the lock while it decodes."""
    with warnings.catch_warnings():
        # Pillow's, of damaged metadata and large images: what matters of it is among the findings.
        # Set here, before any thread runs: the filters are the process's.
        warnings.simplefilter("ignore")
        if not threaded:
            yield map
            return
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            yield pool.map


class UnreadableImage(DataError):
    """An image that cannot be used. ``kind`` groups those that fail alike."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True)
class Decoded:
    """uint8 (3, size, size); ``done``: what had to be done to the image, for the user to know.

    An image that cannot be used is black, and ``failed`` says why.
    """

    pixels: Images
    done: tuple[str, ...] = ()
    failed: UnreadableImage | None = None


def try_decoding(decode: Callable[[], Decoded], size: int) -> Decoded:
    """``decode()``; where it fails the reason, so that all failures of a set are told together."""
    try:
        return decode()
    except UnreadableImage as error:
        return Decoded(np.zeros((3, size, size), dtype=np.uint8), failed=error)


def collect(decoded: Iterable[Decoded], places: Iterable[str], findings: Findings) -> Images:
    """Images (B, 3, H, W); what was done and what failed goes into ``findings``."""
    pixels = []
    for one, place in zip(decoded, places, strict=True):
        pixels.append(one.pixels)
        if one.failed is not None:
            findings.error(one.failed.kind, str(one.failed))
        for done in one.done:
            findings.note(done, place)
    return np.stack(pixels)


def decode_exact(content: bytes, size: int, where: str) -> Decoded:
    """Encoded image to (3, size, size); :class:`UnreadableImage` where it has another size."""
    with _opened(content, where) as image:
        if image.size != (size, size):
            width, height = image.size
            raise UnreadableImage(
                "images of another size",
                f"{where} has {width} x {height} pixels, the protocol says {size} x {size}",
            )
        done = _stored_deeper(image)
        pixels = to_array(_rgb(image, where, done))
        return Decoded(pixels, (*done, *_frames(image)))


Encoded: TypeAlias = Path | bytes | Image.Image
"""An image file, its content, or an image that is open already."""


def decode_resized(
    source: Encoded, size: int, fit: str = "crop", *, upright: bool = True, where: str = ""
) -> Decoded:
    """Image to (3, size, size) by :func:`square`.

    upright: obey a camera's EXIF orientation, as for photographs of a user's own. Published sets are
    read without, as the code that made their published numbers reads them. where: names the image
    in messages; by default its path. Raises :class:`UnreadableImage` where it is no readable image.
    """
    where = where or (shown(source) if isinstance(source, Path) else "an image")
    with _opened(source, where) as opened:
        done = _stored_deeper(opened)
        # Before anything asks for the metadata, which may be broken where the pixels are sound.
        _load(opened, where)
        colour = _rgb(_upright(opened, done) if upright else opened, where, done)
        return Decoded(to_array(square(colour, size, fit)), (*done, *_frames(opened)))


def open_rgb(source: Encoded, where: str = "") -> Image.Image:
    """The image whole, as published code opens it: in RGB, a camera's EXIF orientation not obeyed.

    Raises :class:`UnreadableImage`, which names ``where`` (by default the path), where it is none.
    """
    where = where or (shown(source) if isinstance(source, Path) else "an image")
    with _opened(source, where) as opened:
        return _rgb(opened, where, [])


def square(image: Image.Image, size: int, fit: str, resize: int | None = None) -> Image.Image:
    """``image`` as a square of ``size`` pixels a side, bilinear and antialiased.

    ``crop``: the short side becomes ``resize`` (None: ``size``), then the middle square, as
    torchvision's Resize and CenterCrop do. ``pad``: the long side becomes ``size``, the rest is black,
    equal on both sides up to one pixel. ``squash``: both sides become ``size``.
    """
    if fit == "squash":
        return image.resize((size, size), Image.Resampling.BILINEAR)
    if fit == "pad":
        long = max(image.size)
        # Not ImageOps.pad, which fails where the short side would be less than half a pixel.
        width, height = (max(1, round(size * side / long)) for side in image.size)
        whole = Image.new("RGB", (size, size))
        scaled = image.resize((width, height), Image.Resampling.BILINEAR)
        whole.paste(scaled, ((size - width) // 2, (size - height) // 2))
        return whole
    width, height = image.size
    short, to = min(width, height), size if resize is None else resize
    scaled = image.resize(
        (max(to, to * width // short), max(to, to * height // short)),
        Image.Resampling.BILINEAR,
    )
    left, top = round((scaled.width - size) / 2), round((scaled.height - size) / 2)
    return scaled.crop((left, top, left + size, top + size))


def _upright(image: Image.Image, done: list[str]) -> Image.Image:
    """Turned as the camera's EXIF orientation says; metadata that cannot be read says nothing."""
    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # Pillow raises many kinds for damaged metadata
        done.append("EXIF that cannot be read, pixels taken as they lie")
        return image
    if orientation not in _TURNS:
        return image
    done.append("turned as the EXIF orientation says")
    return image.transpose(_TURNS[orientation])


@contextmanager
def _opened(source: Encoded, where: str) -> Iterator[Image.Image]:
    if isinstance(source, Image.Image):
        yield source
        return
    try:
        if isinstance(source, Path):
            refuse_endless(source)
        image = Image.open(io.BytesIO(source) if isinstance(source, bytes) else source)
    except Exception as error:  # Pillow's readers raise many kinds for damaged files
        raise _unreadable(where, error) from error
    with image:
        yield image


def _load(image: Image.Image, where: str) -> None:
    try:
        image.load()
    except Exception as error:
        raise _unreadable(where, error) from error


def _rgb(image: Image.Image, where: str, done: list[str]) -> Image.Image:
    _load(image, where)
    if image.mode == "F" or image.mode.startswith("I"):
        # Pillow would clip such values at 255 and give a white image.
        raise UnreadableImage(
            "images of more than 8 bits per channel",
            f"{where} has more than 8 bits per channel (mode {image.mode}); convert it first",
        )
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        done.append("transparency left out, colours as stored")
    if image.mode in ("L", "LA", "1", "La"):
        done.append("grey, as three equal channels")
    elif image.mode not in ("RGB", "RGBA", "RGBa", "P", "PA"):
        done.append(f"{image.mode} converted to RGB")
    try:
        return image.convert("RGB")
    except Exception as error:
        raise _unreadable(where, error) from error


def _stored_deeper(image: Image.Image) -> list[str]:
    """Pillow reads the upper half of colours of 16 bits; asked before the pixels are loaded."""
    deep = any(";16" in str(part) for tile in getattr(image, "tile", ()) for part in tile)
    grey = image.mode.startswith("I")  # refused: Pillow would not halve it
    return ["16 bits per channel, the upper 8 read"] if deep and not grey else []


def _frames(image: Image.Image) -> list[str]:
    """Asked last: counting frames may move to another one."""
    try:
        return ["first of several frames"] if getattr(image, "n_frames", 1) > 1 else []
    except Exception:  # a damaged frame behind the one that was read
        return []


def to_array(image: Image.Image) -> Images:
    pixels: Images = np.asarray(image, dtype=np.uint8)
    return pixels.transpose(2, 0, 1)


def _unreadable(where: str, error: Exception) -> UnreadableImage:
    if isinstance(error, OSError) and error.strerror:
        return UnreadableImage(
            "files that cannot be read", f"{where} cannot be read: {error.strerror}"
        )
    if isinstance(error, Image.DecompressionBombError):
        most = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        return UnreadableImage(
            "images over Pillow's size limit",
            f"{where} has more than {most:,} pixels, Pillow's size limit; make it smaller first",
        )
    # Of an unknown format Pillow's own text repeats the path or the address of a buffer.
    reason = str(error).splitlines()[0][:100] if str(error) else type(error).__name__
    if isinstance(error, UnidentifiedImageError):
        reason = "of no known image format"
    return UnreadableImage(
        "files that are no readable image", f"{where} is not a readable image ({reason})"
    )
