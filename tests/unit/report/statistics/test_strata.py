"""The class of each test image: told by a record, by another record, or not at all."""

from __future__ import annotations

import base64
import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ltbench.evaluate.metrics import pack_labels
from ltbench.report.records.bits import unpacked_classes
from ltbench.report.records.read import read_records
from ltbench.report.rows.rows import Row
from ltbench.report.rows.sections import build_sections
from ltbench.report.statistics.images import image_intervals
from ltbench.report.statistics.strata import rows_bits

from ..builder import Results, flat, write

IMAGES = 40
LABELS = np.random.default_rng(0).permutation(np.repeat(np.arange(4), IMAGES))
RECALLS = (90.0, 70.0, 40.0, 10.0)


def add(results: Results, method: str, seed: int = 0, *, told: bool, **changes: Any) -> None:
    """A record whose uniform images lie in the order of ``LABELS``, as those of CIFAR do."""
    path = results.add(method, seed, flat(52.5), recall=lambda c, s: RECALLS[c])
    record = json.loads(path.read_text())
    uniform = record["distributions"]["uniform"]
    rng = np.random.default_rng(seed)
    bits = np.zeros(len(LABELS), dtype=bool)
    for c, recall in enumerate(RECALLS):
        members = rng.permutation(np.flatnonzero(c == LABELS))
        bits[members[: round(IMAGES * recall / 100)]] = True
    uniform["correct"] = base64.b64encode(np.packbits(bits).tobytes()).decode()
    if told:
        uniform["labels"] = pack_labels(torch.from_numpy(LABELS))
    write(
        path, record | {"distributions": record["distributions"] | {"uniform": uniform | changes}}
    )


def rows_of(root: Path) -> tuple[Row, ...]:
    (section,) = build_sections(read_records(root))[0]
    return section.rows


@pytest.mark.parametrize("classes", [2, 100, 256, 257, 1000])
def test_classes_come_back(classes: int) -> None:
    labels = torch.randint(classes, (997,), generator=torch.Generator().manual_seed(1))
    labels[0] = classes - 1
    found = unpacked_classes(pack_labels(labels), 997)
    assert found is not None
    assert found.tolist() == labels.tolist()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "%%%",
        base64.b64encode(b"not compressed").decode(),
        base64.b64encode(zlib.compress(bytes(159))).decode(),
        base64.b64encode(zlib.compress(bytes(10_000_000))).decode(),
    ],
)
def test_damaged_classes_are_no_classes(text: str) -> None:
    assert unpacked_classes(text, 160) is None


def test_the_uniform_set_is_stratified_where_a_record_tells_its_order(tmp_path: Path) -> None:
    results = Results(tmp_path, images=IMAGES)
    add(results, "ce", told=True)
    (found,) = rows_bits(rows_of(tmp_path), "uniform")
    assert found.sizes == (IMAGES,) * 4
    right = found.correct[0].reshape(4, IMAGES).sum(axis=1)
    assert right.tolist() == [round(IMAGES * r / 100) for r in RECALLS]
    intervals = image_intervals(rows_of(tmp_path), "uniform")
    assert intervals.stratified
    p = np.array(RECALLS) / 100
    expected = 1.96 * 100 * (p * (1 - p) / IMAGES / 16).sum() ** 0.5
    assert intervals.cells["ce"].half_width == pytest.approx(expected, rel=0.08)


def test_one_record_tells_the_order_of_all_others(tmp_path: Path) -> None:
    """Records made before the key existed are stratified as soon as a later one joins them."""
    results = Results(tmp_path, images=IMAGES)
    add(results, "ce", 0, told=False)
    add(results, "ce", 1, told=False)
    before = image_intervals(rows_of(tmp_path), "uniform")
    assert not before.stratified
    add(results, "sade", told=True)
    after = image_intervals(rows_of(tmp_path), "uniform")
    assert after.stratified
    assert after.cells["ce"].mean == before.cells["ce"].mean
    wide, narrow = before.cells["ce"].half_width, after.cells["ce"].half_width
    assert wide is not None
    assert narrow is not None
    assert narrow < 0.9 * wide


@pytest.mark.parametrize("shift", [1, 3])
def test_an_order_that_does_not_give_the_recalls_is_refused(tmp_path: Path, shift: int) -> None:
    wrong = pack_labels(torch.from_numpy(np.roll(LABELS, shift)))
    add(Results(tmp_path, images=IMAGES), "ce", told=True, labels=wrong)
    assert [found.sizes for found in rows_bits(rows_of(tmp_path), "uniform")] == [(4 * IMAGES,)]


def test_seeds_and_rows_meet_the_same_image_in_one_column(tmp_path: Path) -> None:
    results = Results(tmp_path, images=IMAGES)
    add(results, "ce", 0, told=True)
    add(results, "ce", 1, told=False)
    add(results, "sade", 0, told=False)
    ce, sade = rows_bits(rows_of(tmp_path), "uniform")
    assert ce.seeds == (0, 1)
    assert np.array_equal(ce.correct[0], sade.correct[0])  # made from one random state
    assert not np.array_equal(ce.correct[0], ce.correct[1])


@pytest.mark.parametrize(("off", "classes"), [(3e-4, 4), (0.1, 1)])
def test_recalls_in_a_few_digits_still_tell_the_order(
    tmp_path: Path, off: float, classes: int
) -> None:
    """A record whose recalls were rounded keeps its classes; one with other recalls has none."""
    results = Results(tmp_path, images=IMAGES)
    add(results, "ce", told=True)
    path = next(tmp_path.rglob("evaluations/*.json"))
    record = json.loads(path.read_text())
    (draw,) = record["distributions"]["uniform"]["draws"].values()
    draw["per_class"] = [recall + off for recall in draw["per_class"][:2]] + draw["per_class"][2:]
    write(path, record)
    (found,) = rows_bits(rows_of(tmp_path), "uniform")
    assert len(found.sizes) == classes
