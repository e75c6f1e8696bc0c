"""Progress of downloading and decoding images."""

from __future__ import annotations

from contextlib import AbstractContextManager
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn


class DataProgress(AbstractContextManager["DataProgress"]):
    """Called with stage, done and total; a bar a stage on a terminal, one line a stage elsewhere."""

    def __init__(self, console: Console, *, quiet: bool = False) -> None:
        self.console, self.quiet = console, quiet
        self.tasks: dict[str, TaskID] = {}
        self.said: set[str] = set()
        self.bars: Progress | None = None
        if console.is_terminal and not quiet:
            columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
            self.bars = Progress(*columns, console=console, transient=True)

    def __enter__(self) -> DataProgress:
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

    def __call__(self, stage: str, done: int, total: int) -> None:
        if self.bars is not None:
            if stage not in self.tasks:
                self.tasks[stage] = self.bars.add_task(stage, total=total or None)
            self.bars.update(self.tasks[stage], completed=done, total=total or None)
        elif not self.quiet and stage not in self.said:
            self.said.add(stage)
            self.console.print(f"{stage} ...", markup=False)
