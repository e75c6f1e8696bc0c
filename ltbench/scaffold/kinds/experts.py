"""A method of several experts."""

WORTH = "the loss against its equation, and that one expert alone is a loss that you know."

PLUGIN = '''"""@TITLE@: one line on the idea."""

from dataclasses import dataclass

import torch
from torch.nn import functional as F

from ltbench import Architecture, Hyper, Method
from ltbench.method import log_prior
from ltbench.settings import setting


@dataclass(frozen=True)
class @CLASS@Hyper(Hyper):
    experts: int = setting(3, low=2, help="number of experts, their tau in equal steps")
    tail: float = setting(2.0, low=0, help="tau of the last expert; that of the first is 0")


class @CLASS@(Method[@CLASS@Hyper]):
    """L = sum_e CE(z_e + tau_e log pi, y), tau_e from 0 to that of the last."""

    name = "@NAME@"
    title = "@TITLE@"
    family = "experts"
    hyper_type = @CLASS@Hyper
    version = 1  # raise it when what training computes changes
    # strategy = "stability"  # at test time, by weights of the experts; "none": their mean

    def architecture(self):
        """Stem and first stage in common; share="features" or "nothing" for more or less of it."""
        return Architecture(experts=self.hyper.experts, head="cosine", reduced=True)

    def loss(self, logits, targets, *, progress, rng=None):
        """logits (B, E, C), targets (B,) -> (); each expert must learn."""
        shifted = logits + self.bias()
        experts = logits.shape[1]
        return sum(F.cross_entropy(shifted[:, e], targets) for e in range(experts))

    def bias(self):
        """(E, C): the loss of expert e is cross-entropy on z_e + bias[e]."""
        tau = torch.linspace(0, self.hyper.tail, self.hyper.experts, device=self.counts.device)
        return tau[:, None] * log_prior(self.counts)
'''
