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

    # draw, mix, objective, build, after_step, advance, parent, finish, posterior: mixed images, several
    # views, features, trials to start from; docs/plugins/training.md has them

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

TEST = '''"""@TITLE@ keeps the contract, and learns what it is shown; whatever its loss is."""

from pathlib import Path

import pytest
import torch

from ltbench.contract.check import checks_of
from ltbench.registry import load_registries

FILE = Path(__file__).with_name("@MODULE@.py")


@pytest.mark.parametrize("check", checks_of(FILE, advice=False), ids=str)
def test_contract(check):
    check()


def test_following_the_slope_of_the_loss_learns_the_targets():
    cls = load_registries([str(FILE)]).methods.get("@NAME@").cls
    method = cls(torch.tensor([6, 3, 2]), cls.hyper_type())
    targets = torch.arange(3).repeat(4)
    logits = torch.zeros(12, method.architecture().experts, 3, requires_grad=True)
    losses = []
    for step in range(200):
        rng = torch.Generator().manual_seed(step)
        loss = method.loss(logits, targets, progress=step / 200, rng=rng)
        (slope,) = torch.autograd.grad(loss, logits)
        logits = (logits - 5 * slope).detach().requires_grad_()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    assert method.predict(logits).argmax(dim=1).tolist() == targets.tolist()


# Worth adding: the loss against its equation, written once more and slowly, on a few numbers.
'''
