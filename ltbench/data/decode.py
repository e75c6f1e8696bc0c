"""Decoding images of any format that Pillow reads."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
from PIL import Image, ImageOps

from ltbench.data.dataset import Images
from ltbench.errors import DataError

T = TypeVar("T")


class Mapper(Protocol):
    """Like the built-in ``map`` over one iterable; results come in order."""

    def __call__(
        self, function: Callable[[T], Images], items: Iterable[T], /
    ) -> Iterator[Images]: ...


@contextmanager
def mapper(*, threaded: bool) -> Iterator[Mapper]:
    """``map``, in a few threads where that pays: Pillow releases the lock while it decodes."""
    if not threaded:
        yield map
        return
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        yield pool.map


def decode_exact(content: bytes, size: int, where: str) -> Images:
    """Encoded image to uint8 (3, size, size); :class:`DataError` where it has another size."""
    with _opened(io.BytesIO(content), where) as image:
        if image.size != (size, size):
            width, height = image.size
            raise DataError(
                f"{where} has {width} x {height} pixels, the protocol says {size} x {size}"
            )
        return _to_array(image, where)


def decode_resized(path: Path, size: int) -> Images:
    """Image file to uint8 (3, size, size): short side to ``size`` (bilinear, antialiased), then the
    middle square, as torchvision's Resize and CenterCrop do. A camera's rotation mark is obeyed.

    Raises :class:`DataError` naming the file where it is no readable image.
    """
    with _opened(path, str(path)) as opened:
        try:
            upright = ImageOps.exif_transpose(opened)
            colour = _rgb(upright, str(path))
        except DataError:
            raise
        except Exception as error:
            raise _unreadable(str(path), error) from error
        width, height = colour.size
        short = min(width, height)
        scaled = colour.resize(
            (max(size, size * width // short), max(size, size * height // short)),
            Image.Resampling.BILINEAR,
        )
        left, top = round((scaled.width - size) / 2), round((scaled.height - size) / 2)
        return _to_array(scaled.crop((left, top, left + size, top + size)), str(path))


@contextmanager
def _opened(source: io.BytesIO | Path, where: str) -> Iterator[Image.Image]:
    try:
        image = Image.open(source)
    except Exception as error:  # Pillow's readers raise many kinds for damaged files
        raise _unreadable(where, error) from error
    with image:
        yield image


def _rgb(image: Image.Image, where: str) -> Image.Image:
    if image.mode == "F" or image.mode.startswith("I"):
        # Pillow would clip such values at 255 and give a white image.
        raise DataError(
            f"{where} has more than 8 bits per channel (mode {image.mode}); convert it first"
        )
    return image.convert("RGB")


def _to_array(image: Image.Image, where: str) -> Images:
    try:
        pixels: Images = np.asarray(_rgb(image, where), dtype=np.uint8)
    except DataError:
        raise
    except Exception as error:
        raise _unreadable(where, error) from error
    return pixels.transpose(2, 0, 1)


def _unreadable(where: str, error: Exception) -> DataError:
    if isinstance(error, OSError) and error.strerror:
        return DataError(f"{where} cannot be read: {error.strerror}")
    # Pillow's own text repeats the path or the address of a buffer.
    return DataError(f"{where} is not a readable image ({type(error).__name__})")
