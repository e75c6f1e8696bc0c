"""The file that ``ltbench new backbone`` writes, and its test."""

PLUGIN = '''"""@TITLE@: one line on the network.

In a protocol: [model] backbone = "@NAME@".
"""

from torch import nn

from ltbench import Backbone
from ltbench.models.network import SplitNetwork


def block(inputs, outputs):
    convolution = nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU())


class @CLASS@(Backbone):
    """16 channels for all experts, then 32 (reduced: 24) for each."""

    name = "@NAME@"
    title = "@TITLE@"
    # fan = "fan_in"  # of the convolutions' initial deviation sqrt(2 / fan); usually "fan_out"
    # shared_stages = (2, 1, 3)  # what model.shared may be, the usual one first; build is given it
    # takes_weights = False  # where [model.pretrained] makes no sense; head_names tells the classifier

    def build(self, classes, request, shared):
        """(B, 3, H, W) to (B, experts, classes); ltbench draws the weights."""
        width = 24 if request.reduced else 32
        return SplitNetwork(lambda: block(3, 16), lambda: block(16, width), width, classes, request)
'''

TEST = '''"""@TITLE@ keeps the contract, and can learn what it is shown."""

from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from ltbench import Architecture
from ltbench.backbone import ChosenBackbone
from ltbench.contract.check import checks_of
from ltbench.models.build import build_network
from ltbench.registry import load_backbones

FILE = Path(__file__).with_name("@MODULE@.py")
SIZE = 32  # pixels a side of the images that it is made for


@pytest.mark.parametrize("check", checks_of(FILE, advice=False), ids=str)
def test_contract(check):
    check()


def test_it_learns_images_by_heart():
    cls = load_backbones([str(FILE)]).get("@NAME@").cls
    random = torch.Generator().manual_seed(0)
    network = build_network(ChosenBackbone.of(cls), 3, Architecture(experts=2), random)
    images = torch.randn(6, 3, SIZE, SIZE, generator=random)
    targets = torch.arange(3).repeat(2)
    optimiser = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)
    losses = []
    for _ in range(30):
        logits = network(images)
        loss = sum(F.cross_entropy(logits[:, e], targets) for e in range(2))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


# Worth adding: its number of weights against the one that the paper states.
'''
