"""Live bars on a terminal; elsewhere and when quiet there are none, and plain lines are told."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import Progress, ProgressColumn


class LiveBars:
    """A context in which ``bars`` is shown, or None where ``console`` is no terminal or quiet."""

    def __init__(self, console: Console, columns: tuple[ProgressColumn, ...], quiet: bool) -> None:
        self.console, self.quiet = console, quiet
        self.bars: Progress | None = None
        if console.is_terminal and not quiet:
            self.bars = Progress(*columns, console=console, transient=True)

    def __enter__(self) -> Self:
        if self.bars is not None:
            self.bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.bars is not None:
            self.bars.stop()
