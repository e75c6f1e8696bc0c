"""A method that compares features of several views."""

WORTH = "contrast against its equation with loops, on features of three images."

PLUGIN = '''"""@TITLE@: one line on the idea."""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from ltbench import Hyper, Method, Phase
from ltbench.method import log_prior
from ltbench.settings import setting


@dataclass(frozen=True)
class @CLASS@Hyper(Hyper):
    weight: float = setting(0.5, low=0, help="of the contrast beside the loss of the logits")
    temperature: float = setting(0.1, above=0, help="of the similarities")
    width: int = setting(32, low=2, help="length of what is compared")


class @CLASS@(Method[@CLASS@Hyper]):
    """L = CE(z + log pi, y) over the views + weight * contrast of P f, P a small network.

    contrast = -mean_i mean_(j of i's class) log softmax_(k != i)(p_i p_k / T)_j, p of length 1.
    """

    name = "@NAME@"
    title = "@TITLE@"
    family = "contrastive"
    hyper_type = @CLASS@Hyper
    version = 1  # raise it when what training computes changes

    def phases(self):
        """Two views of each image: as the recipe augments, and strongly."""
        return (Phase(views=("recipe", "strong")),)

    def build(self, network):
        """What is returned is trained with the network, is self.extra, and is not used at test time."""
        features = network.feature_width
        return nn.Sequential(
            nn.Linear(features, features), nn.ReLU(), nn.Linear(features, self.hyper.width)
        )

    def objective(self, seen):
        """seen.logits (V, B, 1, C), seen.features (V, B, 1, D), seen.targets (B,) -> ()."""
        targets = seen.targets.repeat(len(seen.logits))
        own = F.cross_entropy((seen.logits + self.bias()).flatten(0, 2), targets)
        projected = self.extra(seen.features.flatten(0, 2))
        return own + self.hyper.weight * contrast(projected, targets, self.hyper.temperature)

    # def after_step(self, network, seen):  # queues, momentum copies: buffers of self.extra, in place

    def bias(self):
        """That of the logits' loss; the contrast does not see them."""
        return log_prior(self.counts)[None]


def contrast(features, targets, temperature):
    """features (N, W), targets (N,) -> (); no shape depends on what the classes are."""
    unit = F.normalize(features, dim=1)
    itself = torch.eye(len(unit), dtype=torch.bool, device=unit.device)
    alike = (targets[:, None] == targets) & ~itself
    similar = (unit @ unit.T / temperature).masked_fill(itself, -torch.inf)
    log_p = F.log_softmax(similar, dim=1).masked_fill(~alike, 0.0)
    return -(log_p.sum(dim=1) / alike.sum(dim=1).clamp_min(1)).mean()
'''
