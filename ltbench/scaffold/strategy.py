"""The file that ``ltbench new strategy`` writes, and its test."""

PLUGIN = '''"""@TITLE@: one line on the idea."""

from dataclasses import dataclass

from torch.nn import functional as F

from ltbench import Hyper, Strategy
from ltbench.method import log_prior
from ltbench.settings import setting
from ltbench.strategy import Adapted


@dataclass(frozen=True)
class @CLASS@Hyper(Hyper):
    smoothing: float = setting(1.0, above=0, help="images added to each class of the estimate")


class @CLASS@(Strategy[@CLASS@Hyper]):
    """One step of EM: q = mean_i softmax(z_i + b - log pi), smoothed; argmax z + b - log pi + log q.

    z + b is the log-posterior under the training prior pi, averaged over the experts.
    """

    name = "@NAME@"
    title = "@TITLE@"
    hyper_type = @CLASS@Hyper
    needs = frozenset({"bias"})  # of views, true_prior, bias, holdout, network
    uses_predict = False  # True where adapt calls source.method.predict
    version = 1  # raise it when what it computes changes

    def adapt(self, test, source, rng):
        """test.logits (N, E, C), no label; rng: the only source of randomness."""
        log_pi = log_prior(source.method.counts)

        def balanced(logits):
            return (logits + source.bias).mean(dim=1) - log_pi

        counts = F.softmax(balanced(test.logits), dim=1).sum(dim=0) + self.hyper.smoothing
        prior = counts / counts.sum()

        def predict(logits):
            return balanced(logits) + prior.log()

        return Adapted(logits=predict(test.logits), frozen=predict, prior=prior)
'''

TEST = '''"""@TITLE@ keeps the contract, and finds a prior that is easy to see."""

from pathlib import Path

import pytest
import torch

from ltbench import get_method
from ltbench.contract.check import checks_of
from ltbench.registry import load_registries
from ltbench.strategy import OptimizerSettings, Source, UnlabelledTest

FILE = Path(__file__).with_name("@MODULE@.py")


@pytest.mark.parametrize("check", checks_of(FILE, advice=False), ids=str)
def test_contract(check):
    check()


def test_it_finds_the_prior_of_images_that_leave_no_doubt():
    cls = load_registries([str(FILE)]).strategies.get("@NAME@").cls
    method = get_method("ce", [6, 3, 1])
    labels = torch.tensor([0] * 20 + [1] * 60 + [2] * 120)
    logits = 50 * torch.nn.functional.one_hot(labels).float()[:, None]
    source = Source(method, method.bias(), "closed-form", OptimizerSettings(0.1, 0.9, True, 0.0))
    adapted = cls(cls.hyper_type(smoothing=1e-6)).adapt(
        UnlabelledTest(logits), source, torch.Generator()
    )
    torch.testing.assert_close(adapted.prior, torch.tensor([0.1, 0.3, 0.6]))
    assert adapted.logits.argmax(dim=1).tolist() == labels.tolist()
'''
