"""What is wrong with a source, gathered over all of its files, and what was done to the rest."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from ltbench.errors import DataError

EXAMPLES = 5
MOST_LINES = 100  # of one kind of error: each is to be mended, and none is worth another pass


@dataclass
class Findings:
    """``errors`` and ``warnings``: kind to one line for each case; ``notes``: what was done, to the
    places. A warning is of what is probably a mistake but can be read.

    Places are written by :func:`shown`.
    """

    errors: dict[str, list[str]] = field(default_factory=dict)
    notes: dict[str, list[str]] = field(default_factory=dict)
    warnings: dict[str, list[str]] = field(default_factory=dict)

    def error(self, kind: str, line: str) -> None:
        self.errors.setdefault(kind, []).append(line)

    def warn(self, kind: str, line: str) -> None:
        self.warnings.setdefault(kind, []).append(line)

    def note(self, kind: str, place: str) -> None:
        self.notes.setdefault(kind, []).append(place)

    def refuse(self) -> None:
        """Raises :class:`DataProblems` where there is an error."""
        if self.errors:
            raise DataProblems(self)

    def tallies(self) -> dict[str, list[object]]:
        """Notes as ``[count, *first examples]``, to be stored."""
        return {kind: [len(p), *p[:EXAMPLES]] for kind, p in self.notes.items()}


class DataProblems(DataError):
    """One line: the first problem, how many more there are, and the command that lists them."""

    def __init__(self, findings: Findings) -> None:
        self.findings = findings
        lines = [line for lines in findings.errors.values() for line in lines]
        more = len(lines) - 1
        told = f"; {more} more like it" if len(findings.errors) == 1 else f"; {more} more problems"
        rest = f"{told} (`ltbench data check PROTOCOL` lists all)" if more else ""
        super().__init__(lines[0] + rest)


def shown(path: str | os.PathLike[str]) -> str:
    r"""A path or name as any terminal and JSON takes it: bytes that are no UTF-8 as ``\xe9``."""
    name = os.fspath(path)
    return printable(os.fsencode(name).decode("utf-8", "backslashreplace"))


def brief(text: str) -> str:
    """:func:`shown`, cut where it is longer than any line should be: names may be of any length."""
    safe = shown(text)
    return safe if len(safe) <= 200 else f"{safe[:200]}..."


def printable(text: str) -> str:
    r"""One line that moves no cursor and turns no text: whatever is no sign or blank as ``\x1b``."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def error_lines(findings: Findings) -> list[str]:
    """Each kind with its count, and its cases below it."""
    lines = []
    for kind, cases in findings.errors.items():
        lines.append(f"wrong: {kind}: {len(cases):,}")
        lines += [f"  {line}" for line in cases[:MOST_LINES]]
        if len(cases) > MOST_LINES:
            lines.append(f"  ... and {len(cases) - MOST_LINES:,} more")
    return lines


def warning_lines(warnings: Mapping[str, list[str]]) -> list[str]:
    """Each kind with its count, and the first cases below it."""
    lines = []
    for kind, cases in warnings.items():
        lines.append(f"warning: {kind}: {len(cases):,}")
        lines += [f"  {line}" for line in cases[:EXAMPLES]]
        if len(cases) > EXAMPLES:
            lines.append(f"  ... and {len(cases) - EXAMPLES:,} more")
    return lines


def note_lines(tallies: Mapping[str, list[object]]) -> list[str]:
    """One line for each treatment: how many images, and the first of them."""
    lines = []
    for kind, (count, *examples) in tallies.items():
        more = ", ..." if isinstance(count, int) and count > len(examples) else ""
        lines.append(f"note: {kind}: {count:,} ({', '.join(map(str, examples))}{more})")
    return lines
