from __future__ import annotations

import numpy as np
import pytest

from ltbench.data.dataset import ArrayDataset, channel_statistics
from ltbench.errors import DataError

IMAGES = np.random.RandomState(1).randint(0, 256, (7, 3, 4, 4)).astype(np.uint8)
LABELS = [0, 1, 2, 0, 1, 2, 0]
NAMES = ("a", "b", "c")


def test_read_gives_fresh_images_in_the_asked_order() -> None:
    dataset = ArrayDataset(IMAGES, LABELS, NAMES)
    images = dataset.read([5, 0, 5])
    assert images.dtype == np.uint8
    assert images.shape == (3, 3, 4, 4)
    np.testing.assert_array_equal(images, IMAGES[[5, 0, 5]])
    images[:] = 0
    np.testing.assert_array_equal(dataset.read([5]), IMAGES[[5]])
    assert dataset.read([]).shape == (0, 3, 4, 4)
    assert (len(dataset), dataset.image_size, dataset.class_names) == (7, 4, NAMES)


@pytest.mark.parametrize("indices", [[-1], [7], 3, [0.5], [True] * 7])
def test_read_refuses_what_is_no_index(indices: object) -> None:
    with pytest.raises(IndexError):
        ArrayDataset(IMAGES, LABELS, NAMES).read(indices)  # type: ignore[arg-type]


def test_labels_cannot_be_changed_from_outside() -> None:
    labels = np.array(LABELS)
    dataset = ArrayDataset(IMAGES, labels, NAMES)
    labels[0] = 2
    assert dataset.labels[0] == 0
    with pytest.raises(ValueError, match="read-only"):
        dataset.labels[0] = 1


def test_fingerprint_tells_images_labels_names_and_shape_apart() -> None:
    base = ArrayDataset(IMAGES, LABELS, NAMES).fingerprint
    assert base == ArrayDataset(np.asfortranarray(IMAGES), LABELS, NAMES).fingerprint
    changed = IMAGES.copy()
    changed[6, 2, 3, 3] ^= 1
    reshaped = IMAGES[:4].reshape(1, 3, 8, 8)
    others = [
        ArrayDataset(changed, LABELS, NAMES),
        ArrayDataset(IMAGES, [*LABELS[::-1][:6], 1], NAMES),
        ArrayDataset(IMAGES, LABELS, ("a", "b", "d")),
        ArrayDataset(IMAGES, LABELS, (*NAMES, "d")),
        ArrayDataset(IMAGES[:4], LABELS[:1] * 4, NAMES),
        ArrayDataset(reshaped, LABELS[:1], NAMES),
    ]
    prints = {base, *(other.fingerprint for other in others)}
    assert len(prints) == 7
    assert all(len(text) == 64 for text in prints)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (IMAGES.astype(np.float32), LABELS, "uint8"),
        (IMAGES[:, :1], LABELS, r"\(N, 3, H, W\)"),
        (IMAGES[:, :, :3], LABELS, "square"),
        (IMAGES, LABELS[:-1], "7 images need as many labels"),
        (IMAGES, [0, 1, 2, 3, 1, 2, 0], r"label 3 is outside 0\.\.2"),
        (IMAGES, [0, 1, 2, -1, 1, 2, 0], "label -1 is outside"),
    ],
)
def test_wrong_arrays_are_refused(images: np.ndarray, labels: list[int], message: str) -> None:
    with pytest.raises(DataError, match=message):
        ArrayDataset(images, labels, NAMES)


def test_channel_statistics_equal_numpy_in_double_precision() -> None:
    dataset = ArrayDataset(IMAGES, LABELS, NAMES)
    for chosen in (None, [1, 3, 4]):
        mean, std = channel_statistics(dataset, chosen)
        pixels = (IMAGES if chosen is None else IMAGES[chosen]).astype(np.float64) / 255
        np.testing.assert_allclose(mean, pixels.mean(axis=(0, 2, 3)), rtol=1e-12)
        np.testing.assert_allclose(std, pixels.std(axis=(0, 2, 3)), rtol=1e-12)
    with pytest.raises(DataError, match="no images"):
        channel_statistics(dataset, [])
