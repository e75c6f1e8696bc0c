"""The contract of backbones, swept over those that are registered."""

from __future__ import annotations

import pytest

from ltbench.contract.check import Check, check_backbone
from ltbench.models import imagenet_resnet
from ltbench.registry import load_backbones

REGISTERED = load_backbones()
SAME_CODE = {
    "resnet14": "as resnet8, with more blocks",
    "resnet20": "as resnet8, with more blocks",
    "resnet50": "as resnext50_32x4d, without groups; its sizes and function: test_imagenet_resnet.py",
    "frozen": "takes features, no images: tests/unit/models/test_frozen.py",
    "resnet152": "as resnet50, with more blocks",
}
FEWER_BLOCKS = "resnext50_32x4d"
"""One block a stage in place of 3, 4, 6 and 3: the same code in a third of the time."""
CHECKS = [
    check
    for name, plugin in sorted(REGISTERED.plugins.items())
    if name not in SAME_CODE
    for check in check_backbone(plugin)
]


@pytest.mark.parametrize("check", CHECKS, ids=str)
def test_it_keeps_its_contract(check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = imagenet_resnet._KINDS[FEWER_BLOCKS]
    small = kind._replace(layers=(1, 1, 1, 1))
    monkeypatch.setitem(imagenet_resnet._KINDS, FEWER_BLOCKS, small)
    monkeypatch.setattr(imagenet_resnet, "_PLANES", (64, 64, 128, 256))  # half as wide
    check()


def test_backbones_are_found_and_none_is_broken() -> None:
    assert {"resnet8", "resnet32", "resnet10", "resnext50_32x4d"} <= set(REGISTERED.plugins)
    assert set(SAME_CODE) <= set(REGISTERED.plugins)
    assert not REGISTERED.broken
    assert not REGISTERED.clashes
