"""Directives that fill the page of the interface from docstrings: public names, contract modules."""

from __future__ import annotations

import ltbench

CONTRACT = (
    *("ltbench.method", "ltbench.strategy", "ltbench.session", "ltbench.settings"),
    *("ltbench.source", "ltbench.data.found", "ltbench.data.raw"),
    *("ltbench.backbone", "ltbench.models.network"),
)
"""Modules that a plugin may import beside ``ltbench`` itself."""


def interface() -> str:
    names = [name for name in ltbench.__all__ if not name.startswith("_")]
    functions = [name for name in names if name[0].islower()]
    classes = [name for name in names if name[0].isupper() and _home(name) not in CONTRACT]
    return "\n\n".join(
        [
            "## Functions",
            *(f"::: ltbench.{name}" for name in functions),
            "## The contract",
            *(f"::: ltbench.{name}" for name in classes),
            *(f"::: {module}" for module in CONTRACT),
        ]
    )


def _home(name: str) -> str:
    """A class of a contract module is told of there."""
    return str(getattr(ltbench, name).__module__)
