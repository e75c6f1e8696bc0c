"""How figures look: readable at column width, in print and for the colour-blind."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from matplotlib.colors import to_hex, to_rgb

from ltbench.report.records.names import digest

if TYPE_CHECKING:
    from matplotlib.typing import FillStyleType

COLUMN_WIDTH = 3.5  # inches: one column of a two-column paper
FONT_SIZE = 8.0

# Okabe and Ito's palette without its yellow, which is not seen on white; then five of Tol's, for names
# that are not known here.
COLOURS = (
    *("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"),
    *("#332288", "#882255", "#999933", "#44AA99", "#661100"),
)
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
# Each has a colour of its own: the first method the first colour, and so on.
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


def _place(name: str, known: Sequence[str]) -> int:
    """Of its colour, by the name alone: what else is in a report must not change it.

    Known names have a colour of their own; others share those that are left, by a digest.
    """
    if name in known:
        return known.index(name)
    return len(known) + int(digest(name), 16) % (len(COLOURS) - len(known))


def looks(rows: Iterable[tuple[str, str]], known: Sequence[str] = METHODS) -> dict[str, Look]:
    """One look per label, from pairs of label and method; independent of their order.

    The colour tells methods apart, and a method has the same one in every report, whatever else is
    there. Marker and line, or marker and filling where there are no lines, tell the rows of one colour
    apart. They step together in cycles whose lengths share no factor: 56 rows of one colour differ as
    lines, 40 as points. The first eight colours start at different markers, so that seven methods of
    them with seven rows (points: five) differ without colour, too. Two methods that are not known may
    share a colour: then its cycles go on.

    known: methods that share their colour with no other.
    """
    members: dict[str, set[str]] = defaultdict(set)
    for label, method in rows:
        members[method].add(label)
    found: dict[str, Look] = {}
    steps = [0] * len(COLOURS)
    for method in sorted(members):
        place = _place(method, known)
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
