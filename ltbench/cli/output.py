"""What goes to stdout, and what becomes of a command whose reader left or whose disk is full."""

from __future__ import annotations

import errno
import os
import sys
from typing import NoReturn

import click

CLOSED = 141
"""Exit code where the reader of a pipe left: what a shell reports of a program ended by SIGPIPE."""

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EIO)


class OutputClosedError(Exception):
    """The reader of what this command prints left."""


def end_of_output(error: BaseException) -> int | None:
    """The exit code where the system refused what a command wrote, after one line; else None."""
    if isinstance(error, (OutputClosedError, BrokenPipeError)):
        drop_output()
        return CLOSED
    if isinstance(error, OSError) and error.errno is not None:
        drop_output()
        reason = error.strerror or type(error).__name__
        what = f"{error.filename}: " if error.filename is not None else ""
        if error.filename is None and error.errno in _NO_ROOM:
            what = "the output cannot be written: "
        click.echo(f"Error: {what}{reason}", err=True)
        return 1
    return None


def drop_output() -> None:
    """What is still in buffers goes nowhere, so that the end of the program does not try again."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
    except (OSError, ValueError):  # stdout is no file
        return


def flush(code: int) -> NoReturn:
    """Exits with ``code``, or with that of an output that could not be written to its end."""
    try:
        sys.stdout.flush()
    except OSError as error:
        code = end_of_output(error) or code
    sys.exit(code)
