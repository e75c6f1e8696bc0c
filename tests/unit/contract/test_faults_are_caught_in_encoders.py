"""Every property of an encoder's contract fails on an encoder with that one fault, and says what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from ltbench.contract.check import checks_of
from ltbench.contract.encoders import ENCODER_CARD, ENCODER_PROPERTIES

ENCODER = '''
import torch
from torch import nn
from ltbench.encoder import Encoder, LoadedEncoder, Preprocessing


class Tiny(Encoder):
    """A projection of the pixels."""

    name = "tiny"
    title = "A projection"

    def load(self, request):
        torch.manual_seed(0)
        network = nn.Sequential(nn.Flatten(), nn.Linear(192, 5))
        return LoadedEncoder(network, Preprocessing(resize=8))
'''
NETWORK = "nn.Sequential(nn.Flatten(), nn.Linear(192, 5))"
FAULTS = [
    ("name_and_title", '"A projection"', '""', "title is empty"),
    ("name_and_title", '"A projection"', '"A"\n    outputs = ()', "tuple of different names"),
    (
        "name_and_title",
        '"A projection"',
        '"A"\n    takes = ("url",)',
        "must be a tuple of 'weights'",
    ),
    ("docstring", '    """A projection of the pixels."""\n', "", "no docstring"),
    ("features_have_their_shape", "return LoadedEncoder", "return (0,) or", "returned tuple"),
    ("features_have_their_shape", NETWORK, "3", "network must be a torch.nn.Module"),
    ("features_have_their_shape", NETWORK, "nn.Identity()", r"float32 (4, 3, 8, 8) at 'features'"),
    ("features_have_their_shape", "192", "191", "RuntimeError"),
    (
        "features_have_their_shape",
        NETWORK,
        "nn.Sequential(nn.Flatten(), nn.Threshold(9, float('inf')))",
        "are not finite",
    ),
    (
        "an_image_is_encoded_alone",
        NETWORK,
        "nn.Sequential(nn.Flatten(), nn.BatchNorm1d(192, track_running_stats=False))\n"
        "        network.forward = lambda x: x.flatten(1) - x.flatten(1).mean(0)",
        "change with its batch",
    ),
    ("two_loads_are_equal", "torch.manual_seed(0)", "", "differ between two loads"),
]


@pytest.mark.parametrize(("name", "old", "new", "told"), FAULTS)
def test_the_fault_is_told(name: str, old: str, new: str, told: str, tmp_path: Path) -> None:
    assert old in ENCODER
    file = tmp_path / "tiny.py"
    file.write_text(ENCODER.replace(old, new))
    (found,) = [f for c in checks_of(file) if (f := c.finding()).name == name]
    assert not found.holds
    assert told in found.told
    assert "\n" not in found.told


def test_without_a_fault_every_property_holds_and_each_has_a_fault(tmp_path: Path) -> None:
    file = tmp_path / "tiny.py"
    file.write_text(ENCODER)
    found = [check.finding() for check in checks_of(file)]
    assert [f.told for f in found if not f.holds] == []
    properties = {p.name for p in (*ENCODER_CARD, *ENCODER_PROPERTIES)}
    assert {f.name for f in found} == properties == {name for name, *_ in FAULTS}
