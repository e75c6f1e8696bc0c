"""Lines over the shift: which stand in which panel, and labels that can be read."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from itertools import combinations, pairwise
from pathlib import Path
from typing import NamedTuple

import pytest
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.text import Annotation, Text

from ltbench.report.figures.all import build_figures
from ltbench.report.figures.drawing import Drawing, drawing_settings
from ltbench.report.figures.ends import spread
from ltbench.report.figures.lines import GREY, named
from ltbench.report.figures.panels import LINES, PANELS
from ltbench.report.figures.style import looks
from ltbench.report.page.picture import figure_files, save_files
from ltbench.report.records.read import read_records
from ltbench.report.rows.sections import Section, build_sections

from ..builder import Results, Score

STRATEGIES = ("stability", "tilt", "em", "mlls", "entropy", "pseudo-label", "em[map=3]")
LEAN = {"forward10": 1.0, "forward2": 0.5, "uniform": 0.0, "backward2": -0.5, "backward10": -1.0}


def leaning(at: float, by: float) -> Score:
    return lambda name, seed, draw: min(100.0, at + by * LEAN.get(name, 0.0) + seed + 0.2 * draw)


class Study(NamedTuple):
    section: Section
    drawings: dict[str, Drawing]


@pytest.fixture(scope="module")
def drawn_study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Drawn once: the tests look at it and change nothing."""
    section = study(tmp_path_factory.mktemp("study"))
    return Study(section, drawn(section))


def section_of(root: Path) -> Section:
    return build_sections(read_records(root))[0][0]


def drawn(section: Section) -> dict[str, Drawing]:
    found = build_figures(section, looks((row.label, row.method) for row in section.rows))
    return {drawing.name: drawing for drawing in found}


def panels(drawing: Drawing) -> list[Axes]:
    return [axes for axes in drawing.figure.axes if axes.axison]


def labels(axes: Axes) -> list[Annotation]:
    return [child for child in axes.texts if isinstance(child, Annotation)]


def texts(axes: Axes) -> set[str]:
    return {label.get_text().replace("\n", "") for label in labels(axes)}


def data_lines(axes: Axes, section: Section) -> list[Line2D]:
    """Without the line at uniform."""
    return [line for line in axes.lines if len(line.get_xdata()) == len(section.shifts)]  # type: ignore[arg-type]


def assert_apart(drawing: Drawing) -> None:
    """No label lies over another or runs off the figure."""
    with drawing_settings():
        drawing.figure.draw_without_rendering()
    page = drawing.figure.bbox
    for axes in panels(drawing):
        boxes = {label.get_text(): Text.get_window_extent(label) for label in labels(axes)}
        assert boxes
        for (one, box), (other, second) in combinations(boxes.items(), 2):
            assert not box.overlaps(second), (one, other)
        for text, box in boxes.items():
            assert box.x0 >= axes.bbox.x1, text
            assert box.x1 <= page.x1 + 0.5, text
            assert page.y0 - 0.5 <= box.y0 <= box.y1 <= page.y1 + 0.5, text


def study(root: Path, seeds: Sequence[int] = (0, 1, 2)) -> Section:
    """Three trainings; SADE with more strategies than a panel has room for, all within a point."""
    results = Results(root)
    for seed in seeds:
        results.add("ce", seed, leaning(60, 20))
        results.add("ce", seed, leaning(66, 5), strategy="em")
        results.add("ce", seed, leaning(70, 5), strategy="oracle", oracle=True)
        results.add("logit-adjustment", seed, leaning(64, 8), training="ce")
        results.add("ride", seed, leaning(68, 15), experts=2)
        results.add("sade", seed, leaning(70, 2), experts=2, strategy="stability", label="sade")
        results.add("sade", seed, leaning(69, 4), experts=2, strategy="none", label="sade+none")
        for place, strategy in enumerate(STRATEGIES[1:]):
            name, _, params = strategy.partition("[")
            label = f"sade+{strategy}"
            results.add(
                "sade", seed, leaning(69.5 + place / 10, 3), experts=2, strategy=name, label=label,
                strategy_params=params.rstrip("]"),
            )  # fmt: skip
    return section_of(root)


def test_a_panel_per_training_with_a_few_labelled_lines(drawn_study: Study) -> None:
    section = drawn_study.section
    drawing = drawn_study.drawings["accuracy-over-shift"]
    found = {axes.get_title("left"): axes for axes in panels(drawing)}
    assert list(found) == ["ce", "ride", "sade"]
    assert texts(found["ce"]) == {"none", "em", "logit-adjustment", "oracle"}
    assert texts(found["ride"]) == {"none"}
    assert {"stability", "none"} < texts(found["sade"])
    assert "em[map=3]" not in texts(found["sade"])  # of one strategy the plain settings first
    for axes in found.values():
        assert len(data_lines(axes, section)) == len(labels(axes)) <= LINES
        assert axes.get_ylim() == found["ce"].get_ylim()
        assert axes.get_ylim()[1] <= 100.0
    assert "Shown are" in drawing.caption or "Not shown: " in drawing.caption
    assert not drawing.figure.legends
    assert_apart(drawing)


def test_the_plain_row_is_grey_the_oracle_dotted_and_strategies_look_alike_everywhere(
    drawn_study: Study,
) -> None:
    section = drawn_study.section
    drawing = drawn_study.drawings["accuracy-over-shift"]
    colours: dict[str, set[object]] = {}
    for axes in panels(drawing):
        lines = data_lines(axes, section)
        pairs = zip(labels(axes), lines, strict=True)
        by_name = {label.get_text(): line for label, line in pairs}
        assert by_name["none"].get_color() == GREY
        assert by_name["none"].get_marker() == "o"
        if "oracle" in by_name:
            assert by_name["oracle"].get_color() == GREY
            assert by_name["oracle"].get_linestyle() != "-"
        for name, line in by_name.items():
            colours.setdefault(name, set()).add((line.get_color(), line.get_marker()))
        rest = [
            line.get_color() for name, line in by_name.items() if name not in ("none", "oracle")
        ]
        assert GREY not in rest
        assert len(rest) == len(set(rest))
    assert all(len(looks_found) == 1 for looks_found in colours.values())


def test_the_data_beside_the_figure_are_the_lines(
    drawn_study: Study, tmp_path: Path, svg_alone: None
) -> None:
    section = drawn_study.section
    drawing = drawn_study.drawings["accuracy-over-shift"]
    save_files(drawing.name, figure_files(drawing), tmp_path / "f")
    with (tmp_path / "f" / "accuracy-over-shift.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    lines = sum(len(data_lines(axes, section)) for axes in panels(drawing))
    assert len({row["method"] for row in rows}) == lines
    ends = {
        row["method"]: float(row["top1"]) for row in rows if row["distribution"] == "backward10"
    }
    assert ends["ce"] == pytest.approx(60 - 20 + 1 + 0.1)
    last = sorted(
        line.get_ydata()[-1]  # type: ignore[index]
        for axes in panels(drawing)
        for line in data_lines(axes, section)
    )
    assert last == pytest.approx(sorted(ends.values()))


def test_methods_with_one_row_each_share_one_panel(tmp_path: Path) -> None:
    results = Results(tmp_path)
    for place in range(9):
        for seed in range(3):
            results.add(f"m{place}", seed, leaning(60 + place, 5))
            results.add(f"m{place}", seed, leaning(75, 5), strategy="oracle", oracle=True)
    section = section_of(tmp_path)
    found = drawn(section)
    (axes,) = panels(found["accuracy-over-shift"])
    assert texts(axes) == {"m4", "m5", "m6", "m7", "m8", "m8+oracle"}
    assert "Shown are 6 of 18" in found["accuracy-over-shift"].caption
    assert "methods-over-shift" not in found  # it would be the same picture
    assert_apart(found["accuracy-over-shift"])


def test_methods_as_published_have_a_picture_for_the_front_page(drawn_study: Study) -> None:
    drawing = drawn_study.drawings["methods-over-shift"]
    (axes,) = panels(drawing)
    assert texts(axes) == {"ce", "logit-adjustment", "ride", "sade"}
    assert drawing.figure.get_figwidth() == 3.5
    assert "standard deviation over seeds and draws" in drawing.caption
    assert_apart(drawing)


def test_the_band_is_an_interval_and_below_three_seeds_the_range_of_seeds_and_draws(
    tmp_path: Path,
) -> None:
    for name, seeds in (("few", (0, 1)), ("many", (0, 1, 2))):
        results = Results(tmp_path / name)
        for seed in seeds:
            results.add("ce", seed, leaning(60, 5))
            results.add("ride", seed, leaning(80, 5))
        drawing = drawn(section_of(tmp_path / name))["accuracy-over-shift"]
        (axes,) = panels(drawing)
        vertices = axes.collections[0].get_paths()[0].vertices
        low, high = min(v[1] for v in vertices), max(v[1] for v in vertices)  # type: ignore[union-attr]
        if name == "few":
            assert (low, high) == pytest.approx((55.0, 65 + 1 + 0.2))
            assert "from the lowest to the highest" in drawing.caption
        else:
            assert high == pytest.approx(66.1 + 4.30265 / 3**0.5, abs=1e-3)
            assert "95 % t intervals" in drawing.caption
            assert "lowest" not in drawing.caption


def test_many_trainings_with_long_names_stay_apart_and_below_a_hundred(tmp_path: Path) -> None:
    results = Results(tmp_path)
    long = f"tilt[{'x' * 30}=1,fallback=False]"
    for place in range(8):
        name = f"a-method-with-a-long-name-{place}"
        results.add(name, 0, leaning(99.5, 0))
        results.add(name, 0, leaning(99.6, 0), strategy="tilt", label=f"{name}+{long}")
        results.add(name, 0, leaning(99.7, 0), strategy="em", label=f"{name}+em")
    drawing = drawn(section_of(tmp_path))["accuracy-over-shift"]
    assert len(panels(drawing)) == PANELS
    assert len({axes.get_title("left") for axes in panels(drawing)}) == PANELS
    assert all(axes.get_ylim()[1] <= 100.0 for axes in panels(drawing))
    assert_apart(drawing)


def test_an_oracle_with_a_guessed_bias_is_not_drawn(tmp_path: Path) -> None:
    results = Results(tmp_path)
    results.add("ride", 0, leaning(60, 5))
    results.add(
        "ride", 0, leaning(50, 5), strategy="oracle", oracle=True, bias={"kind": "reference"}
    )
    drawing = drawn(section_of(tmp_path))["accuracy-over-shift"]
    assert {row[0] for row in drawing.data} == {"ride"}
    assert "Not shown: ride+oracle" in drawing.caption


def test_labels_are_spread_as_little_as_possible() -> None:
    assert spread([], [], 0, 10) == []
    assert spread([5.0, 1.0], [2.0, 2.0], 0, 10) == [5.0, 1.0]
    assert spread([5.0, 5.0], [2.0, 2.0], 0, 10) == [4.0, 6.0]
    assert spread([0.0, 0.0, 9.0], [2.0, 4.0, 2.0], 0, 10) == [1.0, 4.0, 9.0]
    assert spread([9.9, 9.8], [2.0, 2.0], 0, 10) == [9.0, 7.0]
    crowded = spread([1.0] * 5, [3.0] * 5, 0, 10)  # more than there is room for: upwards
    assert [b - a for a, b in pairwise(crowded)] == [3.0] * 4


def test_ticks_are_named_from_the_ends_and_the_middle_where_there_is_room() -> None:
    names = {-3.0: "F50", -2.9: "F45", -1.5: "F5", 0.0: "U", 0.1: "B1", 3.0: "B50"}
    assert named(names, 2.2) == ["F50", "", "F5", "U", "", "B50"]
