"""How figures look: readable at column width, in print and for the colour-blind."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from matplotlib.colors import to_hex, to_rgb

if TYPE_CHECKING:
    from matplotlib.typing import FillStyleType

COLUMN_WIDTH = 3.5  # inches: one column of a two-column paper
FONT_SIZE = 8.0

# Okabe and Ito's palette without its yellow, which is not seen on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
# As many as a figure has rows at most: no two bars of a figure share one.
HATCHES = (
    *("", "////", "....", "xxxx", "\\\\\\\\", "++++", "oooo", "----", "||||", "//", "**", "xx"),
    *("..", "OO"),
)
FILLS: tuple[FillStyleType, ...] = ("full", "left", "bottom", "right", "top")
Line = str | tuple[float, tuple[float, ...]]
# Each repeats within the handle of a legend, or it would look like a full line there.
DASHES: tuple[Line, ...] = (
    "-",
    (0, (4, 1.4)),
    (0, (3.5, 1.2, 1, 1.2)),
    (0, (1.9, 1.1)),
    (0, (3.5, 1.1, 1, 1.1, 1, 1.1)),
    (0, (6.5, 2.4)),
    (0, (4.5, 1.2, 2, 1.2)),
)
# Each has one colour in all reports: the first method the first colour, and so on.
METHODS = ("sade", "ce", "logit-adjustment", "ride", "balanced-softmax")
STRATEGIES = (*("stability", "tilt", "em", "mlls", "entropy", "logit-adjustment", "pseudo-label"),)
DOTTED: Line = (0, (1, 1.2))  # kept for rows that know the true test prior
EXPERT_COLOURS = ("#440154", "#21918C", "#E06C00", "#5A5A5A", "#3B7DD8", "#A0004F")

# Newer versions of matplotlib type the keys as literals, older ones do not.
RC: Any = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same figure on every machine
    "font.size": FONT_SIZE,
    "axes.labelsize": FONT_SIZE,
    "axes.titlesize": FONT_SIZE,
    "xtick.labelsize": 7.0,
    "ytick.labelsize": 7.0,
    "legend.fontsize": 7.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.5,
    "lines.linewidth": 1.2,
    "lines.markersize": 3.2,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "legend.frameon": False,
    "hatch.linewidth": 0.5,
    "legend.handlelength": 3.0,
    "pdf.fonttype": 42,  # editable text; many venues refuse Type 3 fonts
    "text.parse_math": False,  # "$" in a name is a dollar sign
}


@dataclass(frozen=True)
class Look:
    """Colour, marker, its filling and the line of one row in every figure.

    An empty marker is kept for rows that know the true test prior.
    """

    colour: str
    marker: str
    line: Line
    fill: FillStyleType = "full"


def ink(colour: str) -> str:
    """The colour, as dark as text of it has to be on white (contrast 4.5 to 1, WCAG 2)."""
    red, green, blue = to_rgb(colour)
    for step in range(20):
        shade = 1.0 - step / 20
        parts = [shade * value for value in (red, green, blue)]
        linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in parts]
        luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
        if 1.05 / (luminance + 0.05) >= 4.5:
            return str(to_hex((parts[0], parts[1], parts[2])))
    return "#000000"


def _places(names: Iterable[str], known: Sequence[str]) -> dict[str, int]:
    """Known names have the place of their own, others those that are free, the last ones first."""
    found = sorted(set(names))
    places = {name: known.index(name) for name in found if name in known}
    last = [*range(len(known), len(COLOURS)), *range(len(known))]
    free = [place for place in last if place < len(COLOURS) and place not in places.values()]
    order = free + last[: len(COLOURS)]
    others = [name for name in found if name not in places]
    for number, name in enumerate(others):
        taken = number if number < len(free) else len(free) + (number - len(free)) % len(last)
        places[name] = order[taken]
    return places


def looks(rows: Iterable[tuple[str, str]], known: Sequence[str] = METHODS) -> dict[str, Look]:
    """One look per label, from pairs of label and method; independent of their order.

    The colour tells methods apart; marker and line, or marker and filling where there are no lines,
    tell the rows of one method apart. They step together in cycles whose lengths share no factor:
    56 rows of one colour differ as lines, 40 as points. Each colour starts at another marker, so
    that seven methods of seven rows (points: five) differ without colour, too. From the eighth
    method on colours come again, and their cycles go on.

    known: methods whose colour is the same in every report, whatever else there is.
    """
    members: dict[str, set[str]] = defaultdict(set)
    for label, method in rows:
        members[method].add(label)
    found: dict[str, Look] = {}
    steps = [0] * len(COLOURS)
    places = _places(members, known)
    for method in sorted(members):
        place = places[method]
        for label in sorted(members[method]):
            step = steps[place]
            steps[place] += 1
            found[label] = Look(
                colour=COLOURS[place],
                marker=MARKERS[(place + step) % len(MARKERS)],
                line=DASHES[step % len(DASHES)],
                fill=FILLS[step % len(FILLS)],
            )
    return found
