"""Figures: what is drawn is what is in the CSV, and the files are real."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import pytest
from matplotlib.collections import LineCollection

from ltbench.report.figures.all import build_figures
from ltbench.report.figures.classes import running_mean
from ltbench.report.figures.cost import cost_figure
from ltbench.report.figures.drawing import (
    legend_columns,
    short_labels,
    wrapped_labels,
)
from ltbench.report.figures.style import COLOURS, looks
from ltbench.report.figures.uniform import groups_figure
from ltbench.report.page.picture import figure_files, save_files
from ltbench.report.records.read import read_records
from ltbench.report.rows.sections import Section, build_sections

from ..builder import Results, flat


def section_of(root: Path) -> Section:
    return build_sections(read_records(root))[0][0]


def looks_of(section: Section) -> dict[str, object]:
    return dict(looks((row.label, row.method) for row in section.rows))


def test_files_are_written_and_hold_the_numbers(tmp_path: Path) -> None:
    results = Results(tmp_path / "r", counts=[100 - c for c in range(25)])
    for seed in range(3):
        results.add(
            "_sade$x$ 中",
            seed,
            flat(50 + seed),
            experts=2,
            weights=lambda name, s, draw: [0.25, 0.75],
            recall=lambda c, s: None if c == 3 else 60.0 - c,
        )
    section = section_of(tmp_path / "r")
    drawings = build_figures(section, looks((row.label, row.method) for row in section.rows))
    assert [d.name for d in drawings] == [
        *("accuracy-over-shift", "accuracy-per-class", "expert-weights", "groups")
    ]
    for drawing in drawings:
        for path in save_files(drawing.name, figure_files(drawing), tmp_path / "f"):
            assert path.stat().st_size > (100 if path.suffix == ".csv" else 5000), path
        assert drawing.figure.get_figwidth() == 3.5
    with (tmp_path / "f" / "accuracy-over-shift.csv").open(encoding="utf-8") as file:
        first = next(csv.DictReader(file))
    assert (first["distribution"], float(first["top1"])) == ("forward10", 51.0)
    assert float(first["x"]) == pytest.approx(-math.log(10))
    assert float(first["half_width"]) == pytest.approx(4.3026527297 / math.sqrt(3))
    text = (tmp_path / "f" / "accuracy-per-class.csv").read_text(encoding="utf-8")
    assert "nan" not in text
    assert text.splitlines()[4].split(",")[5] == ""  # class 3 has no test image


def test_png_is_the_same_twice(tmp_path: Path) -> None:
    Results(tmp_path / "r").add("ce", 0, flat(50))
    section = section_of(tmp_path / "r")
    contents = []
    for name in ("a", "b"):
        drawing = build_figures(section, looks_of(section))[0]  # type: ignore[arg-type]
        contents.append(
            [
                p.read_bytes()
                for p in save_files(drawing.name, figure_files(drawing), tmp_path / name)
            ]
        )
    assert contents[0] == contents[1]


def test_a_label_looks_alike_everywhere_and_strategies_share_a_colour() -> None:
    pairs = [("sade", "sade"), ("sade+none", "sade"), ("ce", "ce")]
    found = looks(pairs)
    assert found == looks(reversed(pairs))
    assert found["sade"].colour == found["sade+none"].colour != found["ce"].colour
    assert found["sade"].line != found["sade+none"].line
    assert len(set(COLOURS)) == 12


def test_running_mean_by_hand() -> None:
    assert running_mean([1.0, 2.0, 6.0, None, 4.0], 3) == [1.5, 3.0, 4.0, 5.0, 4.0]


def test_legend_columns_shrink_with_long_labels() -> None:
    assert legend_columns(["ce", "ride", "sade", "x", "y"]) == 4
    assert legend_columns(["a very long label of some method" * 2] * 2) == 1
    assert legend_columns([]) >= 0


def test_labels_without_room_keep_both_ends_and_stay_apart() -> None:
    long = [f"balanced-softmax+tilt[{'x' * 40}={i},fallback=False]" for i in range(3)]
    short = short_labels(["ce", *long, "sade+tilt[degree=1]"], 40)
    assert (short[0], short[-1]) == ("ce", "sade+tilt[degree=1]")
    assert len(set(short)) == 5
    assert max(map(len, short)) <= 40
    assert short_labels(["balanced-softmax+tilt[a=1,b=2]"], 20) == ["balanced-soft…1,b=2]"]


def test_a_long_label_breaks_before_its_parameters() -> None:
    labels = ["ce", "balanced-softmax+tilt[degree=1,fallback=False]", "m" * 60]
    assert wrapped_labels(labels, 28) == [
        "ce",
        "balanced-softmax+tilt\n[degree=1,fallback=False]",
        f"{'m' * 28}\n{'m' * 6}…{'m' * 17}",
    ]


def test_the_points_over_cost_are_inside_the_axes(tmp_path: Path) -> None:
    results = Results(tmp_path)
    for seed in range(3):
        results.add("ce", seed, flat(60.0 + seed))
        results.add("ce", seed, flat(70.0 + seed), strategy="em", label="ce+em")
    section = section_of(tmp_path)
    drawing = cost_figure(section, looks((row.label, row.method) for row in section.rows))
    assert drawing is not None
    (axes,) = drawing.figure.axes
    low, high = axes.get_ylim()
    assert low < 61.0 < 71.0 < high
    assert axes.get_xlim()[0] == 0.0
    largest = max(float(row[1] or row[2]) for row in drawing.data)  # type: ignore[arg-type]
    assert axes.get_xlim()[1] >= 1.1 * largest  # markers that stand aside are not cut


def test_whiskers_of_groups_end_at_the_axes(tmp_path: Path) -> None:
    """Three seeds far apart have an interval wider than 0 to 100, which would cross the names."""
    results = Results(tmp_path / "r", counts=[100 - c for c in range(25)])
    for seed, recall in enumerate((5.0, 50.0, 95.0)):
        results.add("sade", seed, flat(50), recall=lambda c, s, recall=recall: recall)
    section = section_of(tmp_path / "r")
    drawing = groups_figure(section, looks((row.label, row.method) for row in section.rows))
    assert drawing is not None
    assert max(float(line[3]) for line in drawing.data) > 100  # type: ignore[arg-type]
    (axes,) = drawing.figure.axes
    whiskers = [found for found in axes.collections if isinstance(found, LineCollection)]
    assert whiskers
    assert all(found.get_clip_on() for found in whiskers)
