"""A method that mixes images."""

WORTH = "mix against its equation on two images, written once more and slowly."

PLUGIN = '''"""@TITLE@: one line on the idea."""

from dataclasses import dataclass

import torch
from torch.nn import functional as F

from ltbench import Hyper, Method
from ltbench.method import log_prior
from ltbench.mixing import beta, mixed_with
from ltbench.settings import setting


@dataclass(frozen=True)
class @CLASS@Hyper(Hyper):
    alpha: float = setting(0.4, above=0, help="of Beta(alpha, alpha), whence the mixing weight")
    tau: float = setting(1.0, low=0, help="strength of the shift; 0 is cross-entropy")


class @CLASS@(Method[@CLASS@Hyper]):
    """L = CE(z + tau log pi, t), x = w x_i + (1 - w) x_j and t = w y_i + (1 - w) y_j, one w a batch."""

    name = "@NAME@"
    title = "@TITLE@"
    family = "mixing"
    hyper_type = @CLASS@Hyper
    version = 1  # raise it when what training computes changes

    # def phases(self):  # a second stream of images for mix, here with classes equally likely
    #     return (Phase(second="class-balanced"),)  # it moves the prior, and so the bias

    def draw(self, batch, *, progress, rng):
        """Every random number of a step, drawn on the CPU: a tuple of tensors."""
        return beta(self.hyper.alpha, 1, rng), torch.randperm(batch, generator=rng)

    def mix(self, first, second, draws):
        """first.pixels (B, 3, H, W), first.targets (B,), draws on the device -> Images."""
        weight, partner = draws
        return mixed_with(first, partner, weight, len(self.counts))

    def loss(self, logits, targets, *, progress, rng=None):
        """logits (B, 1, C), targets (B, C), or (B,) of images that are not mixed -> ()."""
        return F.cross_entropy(logits[:, 0] + self.bias()[0], targets)

    def bias(self):
        """Pairs within a batch leave the label frequencies as they are: the bias is that of the loss."""
        return self.hyper.tau * log_prior(self.counts)[None]
'''
