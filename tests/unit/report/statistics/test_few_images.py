"""Intervals where few images are right or wrong: Wilson's, which is never without width."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest

from ltbench import import_outputs
from ltbench.report.build import build_report
from ltbench.report.records.schema import Training
from ltbench.report.rows.rows import Row
from ltbench.report.statistics import images
from ltbench.report.statistics.images import ImageIntervals, image_intervals, wilson
from ltbench.report.statistics.strata import RowBits


@pytest.mark.parametrize(
    ("right", "n"), [(11, 11), (0, 11), (1, 1), (0, 1), (3, 7), (10, 11), (250, 1000), (999, 1000)]
)
def test_the_interval_is_that_of_scipy(right: int, n: int) -> None:
    theirs = binomtest(right, n).proportion_ci(0.95, method="wilson")
    assert wilson(right, n) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
    least, greatest = wilson(right, n)
    assert 0 <= least < greatest <= 1


def intervals_of(
    bits: list[list[int]], sizes: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> ImageIntervals:
    array = np.array(bits, dtype=bool)
    row = Row("ce", "ce", Training("ce", "{}", "1", ""))
    found = RowBits(row, tuple(range(len(array))), array, sizes)
    monkeypatch.setattr(images, "rows_bits", lambda rows, name: [found])
    return image_intervals([row], "uniform")


def test_eleven_of_eleven_have_a_width(monkeypatch: pytest.MonkeyPatch) -> None:
    found = intervals_of([[1] * 11], (11,), monkeypatch)
    cell = found.cells["ce"]
    assert cell.mean == 100.0
    theirs = binomtest(11, 11).proportion_ci(0.95, method="wilson")
    assert cell.half_width == pytest.approx(50 * (theirs.high - theirs.low))
    assert found.wilson


def test_classes_all_right_and_all_wrong_have_a_width(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bootstrap inside classes draws the same numbers each time."""
    found = intervals_of([[1] * 8 + [0] * 12], (8, 12), monkeypatch)
    theirs = binomtest(8, 20).proportion_ci(0.95, method="wilson")
    assert found.cells["ce"].half_width == pytest.approx(50 * (theirs.high - theirs.low))


def test_enough_images_keep_the_bootstrap(monkeypatch: pytest.MonkeyPatch) -> None:
    few = intervals_of([[1] * 4 + [0] * 36], (40,), monkeypatch)
    enough = intervals_of([[1] * 5 + [0] * 35], (40,), monkeypatch)
    assert (few.wilson, enough.wilson) == (True, False)
    width = enough.cells["ce"].half_width
    assert width is not None
    assert (width * 2 / 100 * 40) % 1 == pytest.approx(0, abs=1e-6)  # whole images


def test_the_caption_says_so_where_it_is_used(tmp_path: Path) -> None:
    labels = np.repeat([0, 1, 2], 30)
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(90, 3))
    sure = noise + 20 * np.eye(3)[labels]
    unsure = noise + np.eye(3)[labels]
    for name, logits in (("sure", sure), ("unsure", unsure)):
        import_outputs(
            logits, labels, counts=[60, 20, 10], name=name, strategies="none",
            results=tmp_path / name,
        )  # fmt: skip
        build_report(tmp_path / name, figures=False)
        text = next((tmp_path / name).glob("report/*/report.md")).read_text()
        assert ("Wilson's interval" in text) == (name == "sure")
        if name == "sure":
            assert "100.0 ± 0.0" not in text
