"""What `ltbench report` says on the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ltbench.report.page.markdown import failure_line
from ltbench.report.page.part import Part
from ltbench.report.records.read import Unreadable
from ltbench.report.records.schema import Failure
from ltbench.report.render.terminal import print_table

if TYPE_CHECKING:
    from rich.console import Console


class Printer:
    """Prints to ``console``, or nothing without one."""

    def __init__(self, console: Console | None) -> None:
        self._console = console

    def unreadable(self, found: Sequence[Unreadable]) -> None:
        if found:
            self._line(f"{len(found)} unreadable, not counted:", "bold yellow")
        for bad in found:
            self._line(f"  {bad.place}: {bad.reason}", "yellow")

    def part(self, part: Part) -> None:
        if self._console is None:
            return
        from rich.rule import Rule
        from rich.text import Text

        self._console.print(Rule(Text(part.title, style="bold")))
        long = [table.title for table in part.tables if not table.in_terminal]
        for number, table in enumerate(table for table in part.tables if table.in_terminal):
            # The other captions repeat the first; they stand in the files.
            print_table(table, self._console, caption=number == 0)
        if long:
            self._line(f"in the files only: {'; '.join(long)}", "dim")

    def end(self, failures: Sequence[Failure], unevaluated: int, target: Path) -> None:
        for failure in failures:
            self._line(f"no result: {failure_line(failure)}", "yellow")
        if unevaluated:
            noun = "trial has" if unevaluated == 1 else "trials have"
            self._line(f"{unevaluated} finished {noun} no evaluation yet (`ltbench evaluate`)")
        self._line(f"report written to {target}")

    def _line(self, text: str, style: str = "") -> None:
        if self._console is not None:
            from rich.text import Text

            # A path that is wrapped or cut can not be copied.
            self._console.print(Text(text, style=style), soft_wrap=True)
