"""The oldest supported versions are pyproject.toml's own lower bounds."""

from __future__ import annotations

import importlib.util
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SPEC = importlib.util.spec_from_file_location("lower_bounds", ROOT / "tests" / "lower_bounds.py")
assert SPEC is not None
assert SPEC.loader is not None
lower_bounds = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(lower_bounds)


def test_every_dependency_has_an_oldest_version() -> None:
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    pins = lower_bounds.pins(wanted)
    assert [pin.partition("==")[0] for pin in pins] == [w.partition(">=")[0] for w in wanted]
    assert {"torch", "torchvision", "pandas", "numpy", "matplotlib", "click"} <= {
        pin.partition("==")[0] for pin in pins
    }
    assert lower_bounds.pins(["torch>=2.6"]) == ["torch==2.6"]


@pytest.mark.parametrize("without", ["torch", "torch<3", "torch>=2.6,<3", "torch>=2.6 ; extra"])
def test_a_dependency_without_one_is_named(without: str) -> None:
    with pytest.raises(ValueError, match=r"pyproject\.toml: 'torch.*' names no oldest version"):
        lower_bounds.pins([without])
