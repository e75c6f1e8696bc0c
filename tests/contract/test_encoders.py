"""The contract of encoders, swept over those that are registered."""

from __future__ import annotations

import pytest

from ltbench.contract.check import Check, check_encoder
from ltbench.registry import load_encoders

REGISTERED = load_encoders()
CHECKS = [
    check for _, plugin in sorted(REGISTERED.plugins.items()) for check in check_encoder(plugin)
]
"""Those that ltbench ships need weights: what they compute is in tests/unit/encoders."""


@pytest.mark.parametrize("check", CHECKS, ids=str)
def test_it_keeps_its_contract(check: Check) -> None:
    check()


def test_encoders_are_found_and_none_is_broken() -> None:
    assert {"torchvision", "timm", "open_clip"} <= set(REGISTERED.plugins)
    assert not REGISTERED.broken
    assert not REGISTERED.clashes
