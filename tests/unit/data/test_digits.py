from __future__ import annotations

import numpy as np
from sklearn import datasets

from ltbench.data.digits import load_digits, scale
from ltbench.data.sources import describe, is_ready, open_data
from ltbench.protocol.protocol import DataConfig

CONFIG = DataConfig(source="digits", classes=10, image_size=8)


def test_counts() -> None:
    splits = open_data(CONFIG)
    assert np.bincount(splits.test.labels).tolist() == [60] * 10
    pool = np.bincount(splits.train.labels)
    assert pool.min() == 114
    assert (len(splits.train), len(splits.test)) == (1197, 600)
    assert splits.train.image_size == 8
    assert splits.train.class_names[3] == "three"


def test_every_image_is_used_once_and_keeps_its_label() -> None:
    splits = load_digits()
    bunch = datasets.load_digits()
    expected = sorted(
        (int(label), image.tobytes())
        for label, image in zip(bunch.target, scale(bunch.images), strict=True)
    )
    got = sorted(
        (int(label), image.tobytes())
        for part in (splits.train, splits.test)
        for label, image in zip(part.labels, part.read(np.arange(len(part))), strict=True)
    )
    assert got == expected


def test_selection_against_a_slow_transcription() -> None:
    bunch = datasets.load_digits()
    generator = np.random.RandomState(0)
    test: list[int] = []
    train: list[int] = []
    for label in range(10):
        own = np.array([i for i in range(1797) if bunch.target[i] == label])
        generator.shuffle(own)
        test += list(own[:60])
        train += list(own[60:])
    splits = load_digits()
    np.testing.assert_array_equal(splits.train.labels, bunch.target[train])
    for part, rows in ((splits.train, train), (splits.test, test)):
        grey = [[[round(v * 255 / 16) for v in row] for row in bunch.images[i]] for i in rows[:40]]
        images = part.read(np.arange(40))
        for channel in range(3):
            np.testing.assert_array_equal(images[:, channel], grey)


def test_values_span_the_byte() -> None:
    grey = np.arange(16 + 1, dtype=np.float64).reshape(1, 1, 17)
    assert scale(grey)[0, 0, 0, [0, 8, 16]].tolist() == [0, 128, 255]


def test_global_generator_is_untouched_and_the_result_repeats() -> None:
    np.random.seed(5)
    before = np.random.get_state(legacy=False)["state"]["key"].copy()
    first, second = load_digits(), load_digits()
    np.testing.assert_array_equal(np.random.get_state(legacy=False)["state"]["key"], before)
    assert first.train.fingerprint == second.train.fingerprint != first.test.fingerprint


def test_always_ready() -> None:
    assert is_ready(CONFIG)
    assert describe(CONFIG).found == "embedded in scikit-learn"
