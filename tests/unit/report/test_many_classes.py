"""Reports on thousands of classes: lists beside the record, bins in figures and pages, exact tables."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest

from ltbench.report.build import build_report
from ltbench.report.statistics.binned import BINS, bin_means, rank_bins
from ltbench.trial.class_values import values_path
from ltbench.trial.light import write_record

from .builder import Results

CLASSES = 1207


def recall(c: int, seed: int) -> float:
    return (c * 37 % 100) / 1.0


def results_of(root: Path) -> Results:
    counts = [2 * CLASSES - c for c in range(CLASSES)]
    groups = {"many": range(400), "medium": range(400, 800), "few": range(800, CLASSES)}
    results = Results(root, counts=counts, groups={k: list(v) for k, v in groups.items()}, draws=1)
    for seed in range(2):
        results.add("head", seed, lambda n, s, d: 50.0, recall=recall)
    return results


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Records as they are written now: lists by class beside them."""
    root = tmp_path_factory.mktemp("many")
    results_of(root)
    paths = list(root.rglob("evaluations/*.json"))
    assert paths
    for path in paths:
        write_record(path, json.loads(path.read_text()))
        assert values_path(path).exists()
        assert "class_values" in json.loads(path.read_text())
    return root


def test_bins_hold_every_class_once_and_their_means() -> None:
    order = list(range(CLASSES))[::-1]
    bins = rank_bins(order)
    assert len(bins) == BINS
    assert [c for members in bins for c in members] == order
    assert {len(members) for members in bins} == {6, 7}
    values: list[float | None] = [recall(c, 0) for c in range(CLASSES)]
    values[CLASSES - 1] = None
    expected = sum(recall(c, 0) for c in bins[0][1:]) / (len(bins[0]) - 1)
    assert bin_means(values, bins)[0] == pytest.approx(expected)
    assert rank_bins(list(range(1000))) == [[c] for c in range(1000)]


def test_the_page_has_two_hundred_numbers_and_the_tables_are_exact(root: Path) -> None:
    output = build_report(root, figures=False).output
    text = (output / "report.html").read_text()
    found = [json.loads(one) for one in re.findall(r"<script[^>]*json[^>]*>(.*?)</script>", text)]
    shifts = [one for one in _dicts(found) if one.keys() >= {"place", "tests", "rows"}]
    assert shifts
    assert shifts[0]["place"] == list(range(BINS))
    assert len(shifts[0]["rows"][0]["recalls"]) == BINS
    assert not [one for one in _dicts(found) if one.keys() >= {"names", "train", "rows"}]
    few = sum(recall(c, 0) for c in range(800, CLASSES)) / (CLASSES - 800)
    assert f"{few:.2f}" in text or f"{few:.1f}" in text


def _dicts(value: object) -> list[dict[str, object]]:
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    own = [value] if isinstance(value, dict) else []
    return own + [one for item in inside for one in _dicts(item)]  # type: ignore[return-value]


def test_the_figure_by_class_tells_of_bins_and_its_file_of_every_class(
    root: Path, svg_alone: None
) -> None:
    output = build_report(root).output
    (path,) = output.rglob("*accuracy-per-class*.csv")
    lines = list(csv.DictReader(path.read_text().splitlines()))
    assert [int(line["rank"]) for line in lines] == list(range(1, CLASSES + 1))
    assert len({line["recall"] for line in lines}) <= BINS
    assert "200 bins by rank" in "".join(p.read_text() for p in output.rglob("*.md"))


def test_a_record_without_its_values_is_listed_as_unreadable(tmp_path: Path) -> None:
    results_of(tmp_path)
    for path in tmp_path.rglob("evaluations/*.json"):
        write_record(path, json.loads(path.read_text()))
    lost = next(iter(tmp_path.rglob("*.values.npz")))
    lost.unlink()
    report = build_report(tmp_path, figures=False).output
    told = "".join(path.read_text() for path in report.rglob("*.md"))
    assert lost.name in told
