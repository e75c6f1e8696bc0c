"""Where templates of the user's are filled: no file, no attribute of Python's, bounded work."""

from __future__ import annotations

import re
from collections.abc import Callable, Sized
from typing import Any

from jinja2 import Template
from jinja2.exceptions import SecurityError
from jinja2.sandbox import SandboxedEnvironment

LARGEST = 100_000_000  # characters of what is written
STEPS = 1_000_000  # of all range(...) together, so that loops within loops end
_LONGEST = 1_000_000  # characters of a text, or bits of a number, that an expression makes
_SLOW = 100_000  # characters of a text that is wrapped: a second
_LENGTHEN = ("center", "format", "indent", "join", "replace", "wordwrap")  # filters
_WIDE = re.compile(
    r"\d{7,}|\*|\{[^{}]*\{"
)  # a format that asks for a width of millions, or for any


class Sandbox(SandboxedEnvironment):
    """Without a loader there is nothing that it could include, import or extend."""

    # At run time only, by call_binop: constants would be computed while the template is read.
    intercepted_binops = frozenset({"**", "*", "%"})

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        del self.globals["lipsum"]  # filler text of any length, by a search for each word
        for name in _LENGTHEN:
            self.filters[name] = _bounded(name, self.filters[name])

    def call(self, context: Any, called: Any, /, *arguments: Any, **named: Any) -> Any:
        """Methods of texts are bounded as the filters are."""
        owner = getattr(
            getattr(called, "__wrapped__", called), "__self__", None
        )  # format is wrapped
        if isinstance(owner, str):
            _refuse_long(called.__name__, owner, (*arguments, *named.values()))
        return super().call(context, called, *arguments, **named)

    def filled(self, template: Template, **values: Any) -> str:
        """Raises :class:`jinja2.exceptions.SecurityError` beyond :data:`LARGEST` and :data:`STEPS`."""
        steps = 0

        def bounded(*ends: int) -> range:
            nonlocal steps
            found = range(*ends)
            steps += len(found) + 1
            if steps > STEPS:
                raise SecurityError(f"more than {STEPS} steps of range()")
            return found

        parts, length = [], 0
        for part in template.generate(range=bounded, **values):
            parts.append(part)
            length += len(part)
            if length > LARGEST:
                raise SecurityError(f"it writes more than {LARGEST} characters")
        return "".join(parts)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Refuses powers, repeats and formats that would take all memory or all time."""
        if operator == "**" and isinstance(left, int) and isinstance(right, int):
            size = left.bit_length() * max(right, 0)
        elif operator == "*" and isinstance(left, Sized) and isinstance(right, int):
            size = len(left) * right
        elif operator == "*" and isinstance(right, Sized) and isinstance(left, int):
            size = len(right) * left
        elif operator == "%" and isinstance(left, str | bytes):
            raise SecurityError("a text % values is not allowed; use the filter round or printed")
        else:
            size = 0
        if size > _LONGEST:
            raise SecurityError(f"{operator} makes more than {_LONGEST} characters or bits")
        return super().call_binop(context, operator, left, right)


def _bounded(name: str, kept: Callable[..., Any]) -> Callable[..., Any]:
    """The filter ``kept``, which is not asked for what would take all memory."""
    passed = (
        1 if hasattr(kept, "jinja_pass_arg") else 0
    )  # the environment or its context goes first

    def bounded(*arguments: Any, **named: Any) -> Any:
        first, value, *rest = (None, *arguments) if not passed else arguments
        if name == "join" and not isinstance(value, str | list | tuple):
            value = list(value)
        _refuse_long(name, value, (*rest, *named.values()))
        return kept(*([first] if passed else []), value, *rest, **named)

    if passed:
        bounded.jinja_pass_arg = kept.jinja_pass_arg  # type: ignore[attr-defined]
    return bounded


def _refuse_long(name: str, value: Any, arguments: tuple[Any, ...]) -> None:
    """What ``value`` becomes is at most its length times the largest argument, as length or number."""
    if name.startswith("format"):
        if _WIDE.search(str(value)):
            raise SecurityError(
                f"{name}: widths of millions, '*' and nested fields are not allowed"
            )
        return
    if name == "wordwrap" and _length(value) > _SLOW:
        raise SecurityError(f"wordwrap of more than {_SLOW} characters")
    most = max((_length(each) for each in arguments), default=1)
    if max(_length(value), 1) * max(most, 1) > LARGEST:
        raise SecurityError(f"{name} makes more than {LARGEST} characters")


def _length(value: Any) -> int:
    if isinstance(value, int):
        return abs(value)
    if isinstance(value, list | tuple):
        return sum(len(each) if isinstance(each, Sized) else 1 for each in value)
    return len(value) if isinstance(value, Sized) else 1
