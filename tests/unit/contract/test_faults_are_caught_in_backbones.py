"""Every property of a backbone's contract fails on a backbone with that one fault, and says what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from ltbench.contract.backbones import BACKBONE_PROPERTIES
from ltbench.contract.check import Finding, checks_of
from ltbench.contract.gate import refuse_unsound_backbone
from ltbench.errors import InputError
from ltbench.registry import load_backbones

BACKBONE = '''
import torch
from torch import nn
from ltbench import Backbone
from ltbench.models.network import SplitNetwork


def block(inputs, outputs):
    convolution = nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU())


class Tiny(Backbone):
    """Two convolutions."""

    name = "tiny"
    title = "Two convolutions"

    def build(self, classes, request, shared):
        width = 24 if request.reduced else 32
        return SplitNetwork(
            lambda: block(3, 16), lambda: block(16, width), width, classes, request
        )
'''
TRUNK = "lambda: block(3, 16)"
RUN = "nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU())"
FAULTS = [
    ("name_and_title", '"Two convolutions"\n\n', '""\n\n', "title is empty"),
    ("name_and_title", '"tiny"', '"tiny"\n    fan = "in"', "must be 'fan_in' or 'fan_out'"),
    ("name_and_title", '"tiny"', '"tiny"\n    shared_stages = [1]', "must be a tuple"),
    ("docstring", '    """Two convolutions."""\n', "", "no docstring"),
    (
        "logits_and_features_have_their_shapes",
        "lambda: block(16, width), width",
        "lambda: block(16, 8), width",
        "RuntimeError",
    ),
    (
        "logits_and_features_have_their_shapes",
        "        width = 24",
        "        return block(3, classes)\n        width = 24",
        "expected an ltbench.models.network.ExpertNetwork",
    ),
    (
        "logits_and_features_have_their_shapes",
        "        width = 24",
        "        if request.experts > 1:\n            from ltbench.errors import InputError\n"
        "            raise InputError('one expert only')\n        width = 24",
        "build refuses with 2 cosine heads: one expert only",
    ),
    (
        "every_weight_learns",
        "        return SplitNetwork(",
        "        return Idle(",
        "no gradient reaches idle.weight, idle.bias",
    ),
    (
        "weights_follow_from_the_seed",
        RUN,
        "nn.Sequential(convolution, nn.BatchNorm2d(outputs), Noisy())",
        "differs between two networks of one seed",
    ),
    (
        "an_image_is_judged_alone",
        RUN,
        "nn.Sequential(convolution, nn.BatchNorm2d(outputs, track_running_stats=False), nn.ReLU())",
        "change with its batch",
    ),
    ("folding_changes_nothing", TRUNK, "lambda: Backwards(3)", "must run its modules in order"),
    ("reduced_experts_are_smaller", "24 if request.reduced else 32", "32", "where they are not"),
]
BROKEN_PARTS = """
import random


class Noisy(nn.Module):
    def __init__(self):
        super().__init__()
        self.shift = nn.Parameter(torch.tensor(random.random()))

    def forward(self, x):
        return (x + self.shift).relu()


class Idle(SplitNetwork):
    def __init__(self, *args):
        super().__init__(*args)
        self.idle = nn.Linear(2, 2)


class Backwards(nn.Module):
    def __init__(self, inputs):
        super().__init__()
        self.parts = nn.Sequential(nn.Conv2d(3, 16, 1), nn.BatchNorm2d(16))
        self.first = nn.Conv2d(inputs, 16, 3)

    def forward(self, x):
        norm, conv = self.parts[1], self.parts[0]
        return conv(norm(self.first(x))[:, :3]).relu()
"""


def findings(folder: Path, text: str) -> list[Finding]:
    file = folder / "tiny.py"
    file.write_text(text.replace("\n\ndef block", BROKEN_PARTS + "\n\ndef block"))
    return [check.finding() for check in checks_of(file)]


def test_a_backbone_without_a_fault_keeps_everything(tmp_path: Path) -> None:
    found = findings(tmp_path, BACKBONE)
    assert len(found) == len(BACKBONE_PROPERTIES)
    assert [each.told for each in found if not each.holds] == []


@pytest.mark.parametrize(("name", "right", "wrong", "told"), FAULTS)
def test_each_fault_is_told(tmp_path: Path, name: str, right: str, wrong: str, told: str) -> None:
    assert right in BACKBONE
    found = {each.name: each for each in findings(tmp_path, BACKBONE.replace(right, wrong, 1))}
    assert not found[name].holds
    assert told in found[name].told
    assert "\n" not in found[name].told


def test_every_property_has_a_fault() -> None:
    assert {name for name, *_ in FAULTS} == {each.name for each in BACKBONE_PROPERTIES}


def test_an_unsound_backbone_is_refused_before_training(tmp_path: Path) -> None:
    file = tmp_path / "tiny.py"
    file.write_text(BACKBONE.replace('"tiny"', '"tiny"\n    fan = "in"'))
    with pytest.raises(
        InputError, match=r"backbone 'tiny' .* cannot be used: .*nothing was started"
    ):
        refuse_unsound_backbone(load_backbones([str(file)]).get("tiny"))
    refuse_unsound_backbone(load_backbones().get("resnet10"))
