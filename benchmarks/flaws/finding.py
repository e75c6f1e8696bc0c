"""What an experiment found: a small table for people, the numbers behind it as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ltbench.files import write_json, write_text


@dataclass(frozen=True)
class Finding:
    """``name`` is the stem of its files; ``data`` holds what the table rounds, and more."""

    name: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]
    data: Mapping[str, Any]

    def markdown(self) -> str:
        lines = [f"**{self.title}**", "", _pipe(self.columns)]
        lines.append(_pipe([":---", *["---:"] * (len(self.columns) - 1)]))
        lines += [_pipe(row) for row in self.rows]
        for note in self.notes:
            lines += ["", note]
        return "\n".join([*lines, ""])

    def write(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / f"{self.name}.md", self.markdown())
        write_json(folder / f"{self.name}.json", {"title": self.title, **self.data})


def _pipe(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def signed(value: float | None, half_width: float | None = None, digits: int = 2) -> str:
    """``+1.23 ±0.45``; a dash where there is nothing."""
    if value is None:
        return "–"
    width = "" if half_width is None else f" ±{half_width:.{digits}f}"
    return f"{value:+.{digits}f}{width}"
