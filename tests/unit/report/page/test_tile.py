"""A hatch in a smaller tile draws the same, and one that does not repeat stays."""

from __future__ import annotations

from xml.etree.ElementTree import Element, SubElement

import pytest
from matplotlib.hatch import get_path
from matplotlib.path import Path

from ltbench.report.figures.style import HATCHES
from ltbench.report.page.tile import small_tile


def tile(d: str, side: str = "72") -> Element:
    pattern = Element("pattern", width=side, height=side)
    SubElement(pattern, "path", d=d)
    return pattern


def hatch(text: str) -> str:
    """As matplotlib writes it, in a tile of 72 points."""
    letters = {Path.MOVETO: "M", Path.LINETO: "L", Path.CURVE4: "C", Path.CLOSEPOLY: "z"}
    path = get_path(text, 6)  # type: ignore[no-untyped-call]
    return " ".join(
        letters[code] if code == Path.CLOSEPOLY
        else f"{letters[code]} " + " ".join(f"{72 * v:.6f}" for v in points)
        for points, code in path.iter_segments(simplify=False, curves=True)
    )  # fmt: skip


def starts(d: str, side: float) -> set[tuple[float, float]]:
    """Where subpaths begin, round the tile."""
    found = [part.split() for part in d.split("M")[1:]]
    return {
        (round(float(x) % side, 1) % side, round(float(y) % side, 1) % side) for x, y, *_ in found
    }


@pytest.mark.parametrize("text", sorted({h for h in HATCHES if set(h) & set(".o*O")}))
def test_shapes_that_repeat_are_drawn_once_and_none_is_lost(text: str) -> None:
    large = hatch(text)
    pattern = tile(large)
    small_tile(pattern)
    side = float(pattern.get("width", "0"))
    assert side < 72
    assert pattern.get("height") == pattern.get("width")
    d = pattern[0].get("d", "")
    assert len(d) < len(large) / 3
    # The tile laid out again has every shape of the large one, and no other.
    many = {
        (round(x + i * side, 1) % 72, round(y + j * side, 1) % 72)
        for x, y in starts(d, side)
        for i in range(round(72 / side))
        for j in range(round(72 / side))
    }
    assert many == starts(large, 72)


@pytest.mark.parametrize(
    "d",
    [
        "M 3 3 L 4 3 L 4 4 z",  # once in the tile
        "M 0 0 L 72 72 M 0 36 L 36 72",  # longer than a part of the tile
        " ".join(f"M {12 * i} 3 L {12 * i + 1} 4" for i in range(5)),  # one is missing
        "",
    ],
)
def test_what_does_not_repeat_stays(d: str) -> None:
    pattern = tile(d)
    small_tile(pattern)
    assert pattern.attrib == {"width": "72", "height": "72"}
    assert pattern[0].get("d") == d
