"""Progress of downloading and decoding images."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn, TimeRemainingColumn

from ltbench.execute.bars import LiveBars


class DataProgress(LiveBars):
    """Called with stage, done and total; a bar a stage on a terminal, one line a stage elsewhere."""

    def __init__(self, console: Console, *, quiet: bool = False) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
        super().__init__(console, columns, quiet)
        self.tasks: dict[str, TaskID] = {}
        self.said: set[str] = set()

    def __call__(self, stage: str, done: int, total: int) -> None:
        if self.bars is not None:
            if stage not in self.tasks:
                self.tasks[stage] = self.bars.add_task(stage, total=total or None)
            self.bars.update(self.tasks[stage], completed=done, total=total or None)
        elif not self.quiet and stage not in self.said:
            self.said.add(stage)
            self.console.print(f"{stage} ...", markup=False)
