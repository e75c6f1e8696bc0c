"""The errors a user can meet. Each carries one line: what is wrong, where, and what would be right."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class LtbenchError(Exception):
    """Base of all errors raised on purpose; the command line prints them without a traceback."""

    exit_code = 1


class InputError(LtbenchError, ValueError):
    """What was asked for is wrong (a name, a value, a file); nothing was started. Exit code 2."""

    exit_code = 2


class DataError(InputError):
    """Images are missing, damaged or of another version. Exit code 2."""


class ContractError(LtbenchError):
    """A plugin broke its contract: a wrong shape, a wrong type, a non-finite value."""


class DivergedError(LtbenchError):
    """Loss, weights or logits became NaN or infinite, in 1-based ``epoch`` and ``step``, at rate ``lr``."""

    def __init__(self, message: str, epoch: int, step: int, lr: float) -> None:
        super().__init__(message)
        self.epoch, self.step, self.lr = epoch, step, lr


class InterruptedRun(LtbenchError):
    """The run was asked to stop; what is finished stays, the same command continues."""


def describe(error: BaseException) -> str:
    """One line: our own errors by their text, others with their type."""
    text = str(error).strip().splitlines()
    if isinstance(error, LtbenchError):
        return str(error)
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__


def nearest(name: str, known: Iterable[str]) -> str:
    """``"; did you mean 'sade'?"`` where a known name is close, else an empty string."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""
