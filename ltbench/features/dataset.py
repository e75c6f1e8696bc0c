"""Features behind the door of a data set, in the order of their source's images."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ltbench.data.dataset import Dataset, Images, Labels, check_labels
from ltbench.errors import DataError
from ltbench.features.header import Encoder
from ltbench.features.tensors import Array

Places: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True)
class LivePairs:
    """Where views are rendered when asked for: the images, and what makes features ``(B, D)`` of them."""

    images: Dataset
    encode: Callable[[Images], Array]


class FeatureDataset(Dataset):
    """Features float16 ``(N, D)``, or ``(S, N, D)`` of S feature sets, one an expert; no images.

    Image i of the source is row ``places[i]`` of every array. copies: augmented ones; pairs: both views
    of each stored pair; views: what these were rendered with; text: ``(C, D)`` of the class names;
    whole_pool: whether every image of the source is there; encoder: what made them, None where nothing did;
    origin: the fingerprint of the training images that they were made of, empty where it is not known.
    """

    image_size = 0

    def __init__(
        self,
        clean: Array,
        labels: ArrayLike,
        class_names: Sequence[str],
        fingerprint: str,
        *,
        places: Places | None = None,
        copies: Sequence[Array] = (),
        pairs: Sequence[tuple[Array, Array]] = (),
        views: str | None = None,
        live: LivePairs | None = None,
        text: Array | None = None,
        whole_pool: bool = True,
        encoder: Encoder | None = None,
        origin: str = "",
    ) -> None:
        if clean.ndim not in (2, 3):
            raise DataError(f"features must be (N, D) or (S, N, D), not {clean.shape}")
        self._clean, self._copies, self._pairs = clean, tuple(copies), tuple(pairs)
        self.places: Places = np.arange(clean.shape[-2]) if places is None else places
        own = np.asarray(labels, dtype=np.int64)[self.places]
        check_labels(own, len(class_names), "labels")
        own.flags.writeable = False
        self.labels: Labels = own
        self.class_names = tuple(class_names)
        self.views, self.live, self.text, self.whole_pool = views, live, text, whole_pool
        self._fingerprint, self.encoder, self.origin = fingerprint, encoder, origin

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the digests of the arrays, labels, order and class names."""
        return self._fingerprint

    @property
    def dim(self) -> int:
        return int(self._clean.shape[-1])

    @property
    def sets(self) -> int:
        """S: 1 where all experts are given the same features."""
        return int(self._clean.shape[0]) if self._clean.ndim == 3 else 1

    @property
    def copies(self) -> int:
        return len(self._copies)

    @property
    def pairs(self) -> int:
        """Stored pairs of views."""
        return len(self._pairs)

    def read(self, indices: ArrayLike) -> Array:
        """Float16 ``(B, D)``, or ``(B, S, D)`` of several feature sets, a fresh array."""
        return self._rows(self._clean, indices)

    def read_copy(self, copy: int, indices: ArrayLike) -> Array:
        """The same of an augmented copy."""
        return self._rows(self._copies[copy], indices)

    def read_view(self, pair: int, side: int, indices: ArrayLike) -> Array:
        """The same of one view, side 0 or 1, of a stored pair."""
        return self._rows(self._pairs[pair][side], indices)

    def _rows(self, array: Array, indices: ArrayLike) -> Array:
        chosen = np.asarray(indices, dtype=np.int64).reshape(-1)
        if chosen.size and (chosen.min() < 0 or chosen.max() >= len(self)):
            raise IndexError(f"image indices must lie in 0..{len(self) - 1}")
        rows = self.places[chosen]
        if array.ndim == 2:
            return np.ascontiguousarray(array[rows])
        return np.ascontiguousarray(array[:, rows].transpose(1, 0, 2))

    def take(self, classes: Sequence[int]) -> FeatureDataset:
        """The images of ``classes`` alone; the k-th listed class has label k."""
        labels: Any = np.full(len(self.class_names), -1, dtype=np.int64)
        labels[list(classes)] = np.arange(len(classes))
        kept = np.flatnonzero(labels[self.labels] >= 0)
        every = np.zeros(self._clean.shape[-2], dtype=np.int64)
        every[self.places[kept]] = labels[self.labels[kept]]
        live = self.live
        if live is not None:
            live = LivePairs(_Chosen(live.images, kept, self), live.encode)
        return FeatureDataset(
            self._clean,
            every,
            tuple(self.class_names[c] for c in classes),
            _of_classes(self.fingerprint, classes),
            places=self.places[kept],
            copies=self._copies,
            pairs=self._pairs,
            views=self.views,
            live=live,
            text=None if self.text is None else self.text[list(classes)],
            whole_pool=self.whole_pool,
            encoder=self.encoder,
            origin=_of_classes(self.origin, classes) if self.origin else "",
        )


def _of_classes(fingerprint: str, classes: Sequence[int]) -> str:
    """That of some classes, as :class:`ltbench.data.subset.ClassSubset` has it of images."""
    told = json.dumps({"whole": fingerprint, "classes": [int(c) for c in classes]})
    return hashlib.sha256(told.encode()).hexdigest()


class _Chosen(Dataset):
    """Some of the images of ``whole``, for views that are rendered when asked for."""

    def __init__(self, whole: Dataset, places: Places, of: FeatureDataset) -> None:
        self._whole, self._places = whole, places
        self.labels, self.class_names = whole.labels[places], whole.class_names
        self.image_size = whole.image_size

    @property
    def fingerprint(self) -> str:
        told = [self._whole.fingerprint, hashlib.sha256(self._places.tobytes()).hexdigest()]
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()

    def read(self, indices: ArrayLike) -> Images:
        return self._whole.read(self._places[np.asarray(indices, dtype=np.int64)])
