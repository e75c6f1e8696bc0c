"""ltbench: a benchmark of test-agnostic long-tailed recognition."""

from __future__ import annotations

from importlib import import_module
from types import FunctionType
from typing import TYPE_CHECKING

from ltbench.version import __version__

if TYPE_CHECKING:
    from ltbench.api import (
        evaluate_trials,
        get_method,
        get_strategy,
        list_backbones,
        list_methods,
        list_protocols,
        list_sources,
        list_strategies,
        load_protocol,
        plan_trials,
        run,
    )
    from ltbench.backbone import Backbone
    from ltbench.hyper import Hyper
    from ltbench.method import Architecture, Method, Phase, Reference
    from ltbench.python.deciding import decide_mix
    from ltbench.python.images import draw_test_sets, export_lists, load_images, locate_images
    from ltbench.python.importing import import_outputs
    from ltbench.python.logits import load_logits
    from ltbench.python.plugins import check_plugin, write_plugin
    from ltbench.python.predicting import load_predictions
    from ltbench.python.reporting import write_report
    from ltbench.python.settings import resolve_settings
    from ltbench.python.studies import reproduce_study
    from ltbench.python.trained import load_model
    from ltbench.python.trials import clean_results, compare_trials, list_trials
    from ltbench.python.tuning import tune_method
    from ltbench.report.frames.recalls import load_recalls
    from ltbench.report.frames.results import load_results
    from ltbench.report.frames.streams import load_streams
    from ltbench.source import DataSource
    from ltbench.strategy import Strategy

# Loaded when first used: torch and pandas take seconds, `ltbench --help` must not.
_HOMES = {
    "evaluate_trials": "ltbench.api",
    "get_method": "ltbench.api",
    "get_strategy": "ltbench.api",
    "list_backbones": "ltbench.api",
    "list_methods": "ltbench.api",
    "list_protocols": "ltbench.api",
    "list_sources": "ltbench.api",
    "list_strategies": "ltbench.api",
    "load_protocol": "ltbench.api",
    "plan_trials": "ltbench.api",
    "run": "ltbench.api",
    "Backbone": "ltbench.backbone",
    "Hyper": "ltbench.hyper",
    "Architecture": "ltbench.method",
    "Method": "ltbench.method",
    "Phase": "ltbench.method",
    "Reference": "ltbench.method",
    "decide_mix": "ltbench.python.deciding",
    "draw_test_sets": "ltbench.python.images",
    "export_lists": "ltbench.python.images",
    "load_images": "ltbench.python.images",
    "locate_images": "ltbench.python.images",
    "import_outputs": "ltbench.python.importing",
    "load_logits": "ltbench.python.logits",
    "check_plugin": "ltbench.python.plugins",
    "load_predictions": "ltbench.python.predicting",
    "write_plugin": "ltbench.python.plugins",
    "write_report": "ltbench.python.reporting",
    "reproduce_study": "ltbench.python.studies",
    "resolve_settings": "ltbench.python.settings",
    "clean_results": "ltbench.python.trials",
    "compare_trials": "ltbench.python.trials",
    "list_trials": "ltbench.python.trials",
    "tune_method": "ltbench.python.tuning",
    "load_results": "ltbench.report.frames.results",
    "load_recalls": "ltbench.report.frames.recalls",
    "load_streams": "ltbench.report.frames.streams",
    "DataSource": "ltbench.source",
    "Strategy": "ltbench.strategy",
    "load_model": "ltbench.python.trained",
}

__all__ = [
    "Architecture",
    "Backbone",
    "DataSource",
    "Hyper",
    "Method",
    "Phase",
    "Reference",
    "Strategy",
    "__version__",
    "check_plugin",
    "clean_results",
    "compare_trials",
    "decide_mix",
    "draw_test_sets",
    "evaluate_trials",
    "export_lists",
    "get_method",
    "get_strategy",
    "import_outputs",
    "list_backbones",
    "list_methods",
    "list_protocols",
    "list_sources",
    "list_strategies",
    "list_trials",
    "load_images",
    "load_logits",
    "load_model",
    "load_predictions",
    "load_protocol",
    "load_recalls",
    "load_results",
    "load_streams",
    "locate_images",
    "plan_trials",
    "reproduce_study",
    "resolve_settings",
    "run",
    "tune_method",
    "write_plugin",
    "write_report",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'ltbench' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    if isinstance(value, FunctionType):
        from ltbench.python.words import in_python_words

        value = in_python_words(value)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
