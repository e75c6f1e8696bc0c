"""A method that starts from the trained network of another one."""

WORTH = "what may be compared with the parent: here q = 1 and no fresh heads go on training ce."

PLUGIN = '''"""@TITLE@: one line on the idea."""

from dataclasses import dataclass

from torch.nn import functional as F

from ltbench import Hyper, Method, Phase
from ltbench.method import Parent, log_prior
from ltbench.settings import setting


@dataclass(frozen=True)
class @CLASS@Hyper(Hyper):
    sampler: float = setting(0.0, low=-4, high=4, help="q of p(class) ~ n^q; 0: equally likely")


class @CLASS@(Method[@CLASS@Hyper]):
    """L = CE(z, y) on images drawn by p(class) ~ n^q: fresh heads on the frozen trunk of ce."""

    name = "@NAME@"
    title = "@TITLE@"
    family = "two-stage"
    hyper_type = @CLASS@Hyper
    version = 1  # raise it when what training computes changes

    def parent(self):
        """The trial to start from, trained once for all that stand on it; role "teacher": to learn from."""
        return Parent("ce")

    def phases(self):
        """What is trained from there on; () where `finish(network, training)` does all of it."""
        heads = Phase(
            "heads",
            train="heads",
            sampler=self.hyper.sampler,
            reset_heads=True,
            schedule="cosine",
        )
        return (heads,)

    def loss(self, logits, targets, *, progress, rng=None):
        """logits (B, 1, C), targets (B,) -> ()."""
        return F.cross_entropy(logits[:, 0], targets)

    def bias(self):
        """The sampler's part: logits that carry the prior n^q lack (1 - q) log pi."""
        return (1 - self.hyper.sampler) * log_prior(self.counts)[None]
'''
