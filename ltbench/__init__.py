"""ltbench: a benchmark of test-agnostic long-tailed recognition."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from ltbench.version import __version__

if TYPE_CHECKING:
    from ltbench.api import (
        get_method,
        get_strategy,
        list_methods,
        list_protocols,
        list_strategies,
        load_protocol,
        run,
    )
    from ltbench.hyper import Hyper
    from ltbench.method import Architecture, Method, Phase, Reference
    from ltbench.report.frame import load_results
    from ltbench.strategy import Strategy
    from ltbench.trained import load_model

# Loaded when first used: torch and pandas take seconds, `ltbench --help` must not.
_HOMES = {
    "get_method": "ltbench.api",
    "get_strategy": "ltbench.api",
    "list_methods": "ltbench.api",
    "list_protocols": "ltbench.api",
    "list_strategies": "ltbench.api",
    "load_protocol": "ltbench.api",
    "run": "ltbench.api",
    "load_model": "ltbench.trained",
    "load_results": "ltbench.report.frame",
    "Architecture": "ltbench.method",
    "Hyper": "ltbench.hyper",
    "Method": "ltbench.method",
    "Phase": "ltbench.method",
    "Reference": "ltbench.method",
    "Strategy": "ltbench.strategy",
}

__all__ = [
    "Architecture",
    "Hyper",
    "Method",
    "Phase",
    "Reference",
    "Strategy",
    "__version__",
    "get_method",
    "get_strategy",
    "list_methods",
    "list_protocols",
    "list_strategies",
    "load_model",
    "load_protocol",
    "load_results",
    "run",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'ltbench' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
