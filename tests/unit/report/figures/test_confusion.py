"""The figure of confusions: what is drawn is what is counted, and every name is whole."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import PowerNorm

from ltbench.report.figures.classes import class_figure
from ltbench.report.figures.confusion import PAIRS, confusion_figure, short_names
from ltbench.report.figures.drawing import Drawing, drawing_settings
from ltbench.report.figures.style import looks
from ltbench.report.records.read import read_records
from ltbench.report.rows.sections import Section, build_sections

from ..builder import Results, flat, with_arrays


def section_of(root: Path, classes: int, methods: tuple[str, ...] = ("ce",)) -> Section:
    """Names of 30 characters; recalls up to 100 %."""
    groups = {"many": list(range(classes)), "medium": [], "few": []}
    counts = [500 - c for c in range(classes)]
    results = Results(root, counts=counts, groups=groups, parts=False)
    rng = np.random.default_rng(classes)
    for number, method in enumerate(methods):
        record = results.add(method, 0, flat(50.0 - number), recall=lambda c, s: 100.0 - c / 2)
        loaded = json.loads(record.read_text())
        loaded["class_names"] = [
            f"a class of thirty characters {c:03d}"[-30:] for c in range(classes)
        ]
        record.write_text(json.dumps(loaded))
        confusion = rng.poisson(0.5, (classes, classes)) + np.diag(rng.integers(5, 60, classes))
        half = np.full(classes, 0.5)
        with_arrays(record, {"uniform": (confusion, half, half)})
    return build_sections(read_records(root))[0][0]


def drawn(section: Section) -> Drawing:
    with drawing_settings():
        found = confusion_figure(section)
    assert found is not None
    return found


def texts_outside(drawing: Drawing) -> list[str]:
    """Texts that run over the edge of the figure."""
    with drawing_settings():
        figure = drawing.figure
        figure.draw_without_rendering()
        width, height = figure.bbox.width, figure.bbox.height
        found = []
        for axes in [axes for axes in figure.axes if axes.axison]:
            texts = [axes.xaxis.label, axes.yaxis.label, axes.title, axes._left_title]  # type: ignore[attr-defined]
            for axis in (axes.xaxis, axes.yaxis):
                low, high = sorted(axis.get_view_interval())
                texts += [t.label1 for t in axis.get_major_ticks() if low <= t.get_loc() <= high]
            for text in texts:
                box = text.get_window_extent()
                inside = box.x0 >= -1 and box.y0 >= -1 and box.x1 <= width + 1
                if text.get_text() and text.get_visible() and not (inside and box.y1 <= height + 1):
                    found.append(text.get_text())
    return found


@pytest.mark.parametrize(
    ("classes", "methods"),
    [(2, ("ce",)), (2, ("ce", "sade")), (10, ("ce", "sade", "ride")), (50, ("ce",)), (60, ("ce",))],
)
def test_no_name_is_cut_and_no_figure_is_wider_than_a_page(
    tmp_path: Path, classes: int, methods: tuple[str, ...]
) -> None:
    section = section_of(tmp_path, classes, methods)
    drawing = drawn(section)
    assert texts_outside(drawing) == []
    assert drawing.figure.get_figwidth() <= 7.17
    labels = [t.get_text() for a in drawing.figure.axes for t in a.get_yticklabels()]
    assert sum(section.class_names[0] in label for label in labels) >= (classes <= 50)
    with drawing_settings():
        lines = class_figure(section, looks((row.label, row.method) for row in section.rows))
    assert lines is not None
    assert texts_outside(lines) == []
    assert lines.figure.axes[0].get_ylim()[1] <= 100


def test_a_matrix_holds_shares_of_the_true_class_on_a_scale_to_100(tmp_path: Path) -> None:
    section = section_of(tmp_path, 10)
    drawing = drawn(section)
    mesh = drawing.figure.axes[0].collections[0]
    shares = np.asarray(mesh.get_array()).reshape(10, 10)
    assert shares.sum(axis=1) == pytest.approx(np.full(10, 100.0))
    assert isinstance(mesh.norm, PowerNorm)
    assert (mesh.norm.vmin, mesh.norm.vmax) == (0, 100)
    place = {name: c for c, name in enumerate(section.class_names)}
    told = np.zeros((10, 10))
    for method, true, predicted, _, share in drawing.data:
        assert method == "ce"
        told[place[str(true)], place[str(predicted)]] = share
    np.testing.assert_allclose(told, shares)


def test_beyond_fifty_classes_the_worst_pairs_are_bars(tmp_path: Path) -> None:
    drawing = drawn(section_of(tmp_path, 60))
    widths = [bar.get_width() for bar in drawing.figure.axes[0].patches]
    wrong = sorted((float(str(d[4])) for d in drawing.data if d[1] != d[2]), reverse=True)
    assert widths == pytest.approx(wrong[:PAIRS])


def test_few_rows_are_chosen_by_their_mean_and_named(tmp_path: Path) -> None:
    drawing = drawn(section_of(tmp_path, 20, ("b", "a")))  # b has the higher mean
    assert {line[0] for line in drawing.data} == {"b"}
    assert "Shown: b, of 2 rows" in drawing.caption


def test_without_counts_there_is_no_such_figure(tmp_path: Path) -> None:
    Results(tmp_path).add("ce", 0, flat(50))
    assert confusion_figure(build_sections(read_records(tmp_path))[0][0]) is None


def test_long_names_keep_what_tells_them_apart() -> None:
    latin = "Phylloscopus trochiloides {} (Linnaeus, 1758), juvenile"
    names = [*(latin.format(form) for form in ("viridanus", "nitidus", "plumbeitarsus")), "Wren"]
    short = short_names(names)
    assert len(set(short)) == 4
    assert all(len(name) <= 32 for name in short)
    assert all(
        form in name
        for form, name in zip(("viridanus", "nitidus", "plumbeitarsus"), short, strict=False)
    )
    assert short[0] == "Phylloscopus trochilo…viridanus…"
    assert short[3] == "Wren"


def test_a_long_title_ends_before_the_scale(tmp_path: Path) -> None:
    """Two classes in one panel: the narrowest there is."""
    drawing = drawn(section_of(tmp_path, 2, ("my-network-with-a-long-name-indeed",)))
    with drawing_settings():
        figure = drawing.figure
        figure.draw_without_rendering()
        panel, scale = figure.axes
        title = panel._left_title.get_window_extent()  # type: ignore[attr-defined]
        assert title.x1 < scale.get_window_extent().x0
        assert title.y1 <= figure.bbox.height
