"""Where templates of the user's are filled: no file, no attribute of Python's, bounded work."""

from __future__ import annotations

from collections.abc import Sized
from typing import Any

from jinja2 import Template
from jinja2.exceptions import SecurityError
from jinja2.sandbox import SandboxedEnvironment

LARGEST = 100_000_000  # characters of what is written
STEPS = 1_000_000  # of all range(...) together, so that loops within loops end
_LONGEST = 1_000_000  # characters of a text, or bits of a number, that an expression makes


class Sandbox(SandboxedEnvironment):
    """Without a loader there is nothing that it could include, import or extend."""

    # At run time only, by call_binop: constants would be computed while the template is read.
    intercepted_binops = frozenset({"**", "*", "%"})

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
