"""A figure on the page takes a fraction of what matplotlib writes, and shows the same."""

from __future__ import annotations

import base64
import io
import math
import re
from pathlib import Path
from xml.etree.ElementTree import fromstring

import numpy as np
import pytest
from matplotlib.image import imread

from ltbench.report.figures.drawing import Drawing, new_figure
from ltbench.report.page.path import short_number, short_path
from ltbench.report.page.small import small_svg
from ltbench.report.page.svg import to_svg

from ..browser import Browser

SIZES = {"m": 2, "l": 2, "h": 1, "v": 1, "q": 4, "c": 6, "a": 7, "z": 0}


def ends(d: str) -> list[tuple[float, float]]:
    """Where every command of short path data ends, followed by hand."""
    tokens = re.findall(r"[A-Za-z]|-?(?:\d+(?:\.\d+)?|\.\d+)", d)
    found: list[tuple[float, float]] = []
    x = y = 0.0
    start, letter, at = (0.0, 0.0), "", 0
    while at < len(tokens):
        if tokens[at].isalpha():
            letter, at = tokens[at].lower(), at + 1
        elif letter == "m":
            letter = "l"
        numbers = [float(token) for token in tokens[at : at + SIZES[letter]]]
        at += SIZES[letter]
        if letter == "z":
            x, y = start
        elif letter in "hv":
            x, y = (x + numbers[0], y) if letter == "h" else (x, y + numbers[0])
        else:
            x, y = x + numbers[-2], y + numbers[-1]
        start = (x, y) if letter == "m" else start
        found.append((x, y))
    return found


@pytest.mark.parametrize(
    ("long", "short"),
    [
        ("M 1 2 \nL 3.001 2 \nL 3 4.5 \nz\n", "M1 2h2v2.5z"),
        ("M 0.5 0.5 L 1.25 1 L 2 2 M -1 0 L 0 1", "M.5.5l.75.5.75 1m-3-2 1 1"),
        ("M 0 0 Q 1 2 3 4 Q 5 6 7 8 z M 1 1 L 2 1", "M0 0q1 2 3 4 2 2 4 4zm1 1h1"),
        ("M 0 0 M 1 1 M 2 3 L 3 4", "M0 0m1 1m1 2 1 1"),
        ("M 0 0 C 1 2 3 4 5 6", "M0 0c1 2 3 4 5 6"),
        ("M 0 0 L 0.004 0.2 L 0 0.004", "M0 0v.2-.2"),
        ("M 0 0 A 1 1 0 0 1 2 0", "M 0 0 A 1 1 0 0 1 2 0"),  # not matplotlib's: as it is
        ("", ""),
    ],
)
def test_path_data_in_fewer_characters(long: str, short: str) -> None:
    assert short_path(long) == short


def test_rounding_does_not_add_up_along_a_path() -> None:
    points = [(math.sin(k) * 3 + k / 300, math.cos(7 * k) + k / 7) for k in range(2000)]
    long = "M " + " L ".join(f"{x:.6f} {y:.6f}" for x, y in points)
    found = ends(short_path(long))
    assert len(found) == len(points)
    assert max(math.dist(a, b) for a, b in zip(found, points, strict=True)) < 0.0075


def circle(x: float, y: float, radius: float, turn: int) -> str:
    """Eight cubic curves, as matplotlib has them."""
    k = 4 / 3 * math.tan(math.pi / 16) * radius
    text = f"M {x} {y - radius} "
    for n in range(8):
        a, b = (turn * math.pi / 4 * m - math.pi / 2 for m in (n, n + 1))
        text += (
            f"C {x + radius * math.cos(a) - turn * k * math.sin(a)}"
            f" {y + radius * math.sin(a) + turn * k * math.cos(a)}"
            f" {x + radius * math.cos(b) + turn * k * math.sin(b)}"
            f" {y + radius * math.sin(b) - turn * k * math.cos(b)}"
            f" {x + radius * math.cos(b)} {y + radius * math.sin(b)} "
        )
    return text + "z"


def test_a_circle_is_two_arcs_in_its_own_direction() -> None:
    assert short_path(circle(10, 20, 1.5, 1)) == "M10 18.5a1.5 1.5 0 1 1 0 3 1.5 1.5 0 1 1 0-3z"
    assert "0 1 0" in short_path(circle(10, 20, 1.5, -1))
    squeezed = circle(10, 20, 1.5, 1).replace("21.5", "21.9")
    assert "a" not in short_path(squeezed)


def test_numbers_without_what_is_not_seen() -> None:
    assert [short_number(x) for x in (0.504, -0.5, 12.0, -0.001, 100, 10.10)] == [
        *(".5", "-.5", "12", "0", "100", "10.1")
    ]


SVG = """<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"
 width="9pt" height="9pt" viewBox="0 0 9 9"><metadata>m</metadata><!-- c -->
 <defs><style>*{stroke-linejoin: round}</style></defs>
 <g id="axes_1"><g id="empty"/><g clip-path="url(#clip)">
  <use xlink:href="#mark" x="1.2345" y="0" style="fill: #0072b2; stroke: #aabbcc"/>
  <use xlink:href="#mark" transform="translate(3.0001 4)" style="fill: #0072b2; stroke: #aabbcc"/>
 </g></g>
 <defs><path id="mark" d="M 0 0 L 1 0" style="opacity: 0.5"/><clipPath id="clip"><rect x="0" y="0"
 width="9.000001" height="9"/></clipPath></defs></svg>"""


def test_what_says_nothing_goes_and_what_is_shared_is_said_once() -> None:
    text = small_svg(SVG)
    root = fromstring(text)
    assert root.get("viewBox") == "0 0 9 9"
    assert root.get("width") is None
    assert "metadata" not in text
    assert "style" not in text
    (group,) = (e for e in root.iter() if e.tag.endswith("}g"))
    assert group.attrib == {"clip-path": "url(#0)", "fill": "#0072b2", "stroke": "#abc"}
    assert [use.attrib for use in group] == [
        {"href": "#1", "x": "1.23"},
        {"href": "#1", "x": "3", "y": "4"},
    ]
    assert {e.tag.rpartition("}")[2]: e.get("id") for e in root.iter() if e.get("id")} == {
        **{"clipPath": "0", "path": "1"}
    }
    assert 'opacity="0.5"' in text  # of the path itself: never moved to a group


def busy() -> Drawing:
    """Rings, dots, stripes, dashes, markers, an image, turned text: what the report's figures have."""
    figure = new_figure(3.0)
    one, two = figure.subplots(1, 2)
    for k, hatch in enumerate(("oooo", "....", "////", "**")):
        one.bar([k], [k + 1], hatch=hatch, color=f"C{k}", edgecolor="white")
    for k, marker in enumerate("os^DvPX*"):
        two.plot([0, 1, 2], [k, k + 1, k], marker=marker, fillstyle="left", linestyle="--")
    two.plot(
        [k / 20 for k in range(40)], [3 + (k * 7 % 5) for k in range(40)], "D", color="C4", mec="C1"
    )
    two.imshow([[0.0, 1.0], [1.0, 0.0]], extent=(0, 1, 0, 1), aspect="auto")
    two.fill_between([0, 2], [0, 1], [3, 4], alpha=0.2)
    two.set_ylabel("accuracy (%)")
    return Drawing("busy", "", figure, (), ())


PAGE = """<!doctype html><meta charset="utf-8"><style>* {{ margin: 0 }} svg {{ width: 700px; height: 600px }}
{style}</style>{svg}"""


def test_in_a_browser_the_small_figure_looks_like_the_large_one(
    tmp_path: Path, tab: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = to_svg(busy(), "_1_")
    monkeypatch.setattr("ltbench.report.page.svg.small_svg", lambda svg: svg)
    large = to_svg(busy(), "_1_")
    assert len(small) < 0.35 * len(large)
    seen = []
    tab.resize(720, 700)
    for name, svg in (("small", small), ("large", large)):
        page = tmp_path / f"{name}.html"
        page.write_text(PAGE.format(svg=svg, style=""), encoding="utf-8")
        tab.open(page)
        picture = base64.b64decode(tab.call("/screenshot"))
        seen.append(np.asarray(imread(io.BytesIO(picture)))[..., :3])
    assert seen[0].std() > 0.05  # something is seen
    apart = np.abs(seen[0] - seen[1]).max(axis=-1)
    assert float(apart.mean()) < 0.002
    assert float((apart > 0.3).mean()) < 0.002
