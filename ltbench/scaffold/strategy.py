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

TEST = '''"""@TITLE@ keeps the contract, and trusts images that leave no doubt; however it adapts."""

from pathlib import Path

import pytest
import torch

from ltbench.contract.check import checks_of
from ltbench.contract.strategy_case import COUNTS, StrategyCase, build_method, fits
from ltbench.registry import load_registries
from ltbench.strategy import UnlabelledTest

FILE = Path(__file__).with_name("@MODULE@.py")


@pytest.mark.parametrize("check", checks_of(FILE, advice=False), ids=str)
def test_contract(check):
    check()


def test_images_that_leave_no_doubt_keep_their_class():
    registries = load_registries([str(FILE)])
    plugin = registries.strategies.get("@NAME@")
    methods = [build_method(name, registries) for name in ("ce", "sade")]
    case = StrategyCase(plugin, next(method for method in methods if fits(plugin, method)))
    if "network" in plugin.cls.needs:
        pytest.skip("what the network says of images is not in the logits")
    labels = torch.arange(case.n) % len(COUNTS)
    sure = 50 * torch.nn.functional.one_hot(labels, len(COUNTS)).float()
    logits = sure[:, None].repeat(1, case.method.architecture().experts, 1)
    needs = plugin.cls.needs
    test = UnlabelledTest(
        logits,
        views=(lambda k: torch.stack([logits, logits])) if "views" in needs else None,
        pairs=2,
        true_prior=case.prior if "true_prior" in needs else None,
    )
    assert case.adapt(test).logits.argmax(dim=1).tolist() == labels.tolist()


# Worth adding: what it estimates on a test set of which the answer is known.
'''
