"""The table of docs/peers.md: recorded by the comparisons, written and read here."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "peers.md"
REQUIREMENTS = Path(__file__).with_name("requirements.txt")
FLOOR = -12
"""Distances of rounding are no property of a library: what is below 1e-12 is not told apart."""

EQUAL = 1e-6
"""What is called equal is that near: single precision of the priors that strategies return."""

TRANSCRIBED = {"rliable": "1.2.0"}
"""What does not install beside current pandas and is compared through a transcription."""


@dataclass(frozen=True)
class Row:
    """The largest distance seen; ours, theirs: distances from an independent, more exact answer."""

    quantity: str
    peer: str
    verdict: str
    distance: float
    ours: float | None = None
    theirs: float | None = None

    def joined(self, other: Row) -> Row:
        """Of two measurements of one row the larger distances."""
        assert self.verdict == other.verdict, (self.verdict, other.verdict)
        larger = {
            name: max(present, default=None)
            for name in ("distance", "ours", "theirs")
            if (
                present := [
                    value for row in (self, other) if (value := getattr(row, name)) is not None
                ]
            )
        }
        return replace(self, **larger)

    def cells(self) -> list[str]:
        peer = f"{self.peer} {(pinned() | TRANSCRIBED)[self.peer]}"
        numbers = (self.distance, self.ours, self.theirs)
        return [self.quantity, peer, *map(shown, numbers), self.verdict]


@dataclass
class Ledger:
    """Rows by quantity and peer."""

    rows: dict[tuple[str, str], Row] = field(default_factory=dict)

    def record(
        self,
        quantity: str,
        peer: str,
        distance: float,
        verdict: str = "equal",
        *,
        ours: float | None = None,
        theirs: float | None = None,
    ) -> None:
        assert not math.isnan(distance), quantity
        assert distance <= EQUAL or not verdict.startswith("equal"), (quantity, peer, distance)
        row = Row(quantity, peer, verdict, float(distance), ours, theirs)
        known = self.rows.get((quantity, peer))
        self.rows[quantity, peer] = row if known is None else known.joined(row)


def exponent(distance: float) -> float:
    """k of the smallest power of ten 10^k that is not below ``distance``, not below FLOOR."""
    if distance == math.inf:
        return math.inf
    return max(FLOOR, math.ceil(math.log10(distance))) if distance > 0 else FLOOR


def shown(distance: float | None) -> str:
    """An upper bound that is the same on other machines: the next power of ten."""
    if distance is None:
        return ""
    found = exponent(distance)
    if found == FLOOR:
        return "none"
    return "infinite" if found == math.inf else f"1e{found:+03.0f}"


def pinned() -> dict[str, str]:
    """Versions by name, from the requirements of this folder."""
    text = REQUIREMENTS.read_text(encoding="utf-8")
    return dict(re.findall(r"^([\w-]+)==(\S+)$", text, re.MULTILINE))


def written(rows: Iterable[Row], page: Path = PAGE) -> str:
    """The page with these rows in place of its table; what people wrote around it stays."""
    text = page.read_text(encoding="utf-8")
    before, _, after = text.partition(START)
    _, _, after = after.partition(END)
    lines = [HEADING, "|---|---|---|---|---|---|"]
    lines += ["| " + " | ".join(row.cells()) + " |" for row in rows]
    return before + START + "\n\n" + "\n".join(lines) + "\n\n" + END + after


def read(page: Path = PAGE) -> dict[tuple[str, str], list[str]]:
    """Cells of the page's rows by quantity and peer."""
    table = page.read_text(encoding="utf-8").partition(START)[2].partition(END)[0]
    lines = [line[2:-2] for line in table.splitlines() if line.startswith("| ")]
    rows = [[cell.strip() for cell in line.split(" | ")] for line in lines[1:]]
    return {(row[0], row[1].rsplit(" ", 1)[0]): row for row in rows}


START, END = "<!-- table: written by make peers-table -->", "<!-- end of table -->"
HEADING = (
    "| quantity | peer | largest distance | ours from exact | peer from exact"
    " | who is right, how decided |"
)
