"""The console of every command."""

from __future__ import annotations

import errno
import os

from rich.console import Console


class _PipeConsole(Console):
    def on_broken_pipe(self) -> None:
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))  # `main` knows what to do


def stdout_console(*, soft_wrap: bool = False) -> Console:
    """As wide as the terminal, 80 columns elsewhere; without colours there."""
    return _PipeConsole(soft_wrap=soft_wrap)
