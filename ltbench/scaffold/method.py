"""The file that ``ltbench new method`` writes, and its test."""

PLUGIN = '''"""@TITLE@: one line on the idea."""

from dataclasses import dataclass

from torch.nn import functional as F

from ltbench import Hyper, Method  # Architecture, Phase and Reference are there, too
from ltbench.method import log_prior
from ltbench.settings import setting


@dataclass(frozen=True)
class @CLASS@Hyper(Hyper):
    tau: float = setting(1.0, low=0, help="strength of the shift; 0 is cross-entropy")


class @CLASS@(Method[@CLASS@Hyper]):
    """L = -log softmax(z + tau log pi)_y, pi the training label frequencies."""

    name = "@NAME@"
    title = "@TITLE@"
    hyper_type = @CLASS@Hyper
    version = 1  # raise it when what training computes changes
    # reference = Reference(authors=..., title=..., venue=..., year=..., url="https://...")
    # strategy = "stability"  # a test-time strategy of its own; "none" unless you say so

    # def architecture(self):  # more than one expert, or a cosine head
    #     return Architecture(experts=3, head="cosine")

    def loss(self, logits, targets, *, progress, rng=None):
        """logits (B, E, C), targets (B,), progress in [0, 1), rng a seeded generator -> ()."""
        shifted = logits + self.hyper.tau * log_prior(self.counts)  # self.counts: (C,)
        experts = logits.shape[1]
        return sum(F.cross_entropy(shifted[:, e], targets) for e in range(experts))

    def bias(self):
        """(E, C) where the loss is cross-entropy on z_e + bias[e]; else None, or leave it out."""
        shift = self.hyper.tau * log_prior(self.counts)
        return shift.expand(self.architecture().experts, -1)
'''

TEST = '''"""@TITLE@ keeps the contract, and its loss is its equation."""

from pathlib import Path

import pytest
import torch

from ltbench.contract.check import checks_of
from ltbench.registry import load_registries

FILE = Path(__file__).with_name("@MODULE@.py")


@pytest.mark.parametrize("check", checks_of(FILE, advice=False), ids=str)
def test_contract(check):
    check()


# Rewrite this one with the loss: the equation once more, slowly, on numbers small enough to follow.
def test_the_loss_is_its_equation():
    cls = load_registries([str(FILE)]).methods.get("@NAME@").cls
    counts = torch.tensor([5, 3, 1])
    method = cls(counts, cls.hyper_type(tau=0.5))
    logits = torch.tensor([[[2.0, 0.0, -1.0]], [[0.0, 1.0, 0.5]]])
    targets = [0, 2]
    shifted = (logits[:, 0] + 0.5 * (counts / 9).log()).exp()
    expected = -sum((row[y] / row.sum()).log() for row, y in zip(shifted, targets)) / 2
    loss = method.loss(logits, torch.tensor(targets), progress=0.0)
    torch.testing.assert_close(loss, expected)
'''
