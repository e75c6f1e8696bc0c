"""What an error says of the command line's options, in the words of a Python call."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from ltbench.errors import InputError

P = ParamSpec("P")
T = TypeVar("T")

_OPTION = re.compile(r"--([a-z][a-z-]*[a-z])(?: [A-Z]+\b| (?=['\"]))?")
_ARGUMENTS = {"plugin": "plugins", "ensemble": "ensembles", "output": "folder"}
"""Options whose argument has another name."""


def in_python(text: str) -> str:
    """``--data-dir`` to ``data_dir=``; commands in backquotes stay commands.

    ``--set KEY`` becomes ``override KEY``, since overrides are keywords of their own.
    """
    parts = text.split("`")
    return "`".join(_translated(part) if i % 2 == 0 else part for i, part in enumerate(parts))


def _translated(text: str) -> str:
    text = re.sub(r"--set\b", "override", text)
    return _OPTION.sub(lambda m: _ARGUMENTS.get(m[1], m[1].replace("-", "_")) + "=", text)


def in_python_words(function: Callable[P, T]) -> Callable[P, T]:
    """The function, whose :class:`InputError` names arguments instead of options."""

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        except InputError as error:
            error.args = (in_python(str(error)), *error.args[1:])
            raise

    return call
