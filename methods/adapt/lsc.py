"""LSC: the label distribution as a small network reads it from a test set's mean output."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from ltbench.labelshift.holdout import known_holdout
from ltbench.labelshift.posterior import ExpertsHyper, PriorScores, log_posterior
from ltbench.labelshift.simulated import (
    centred,
    drawn_means,
    keep_top,
    learn,
    regressor,
    simulated_counts,
    smallest_k,
)
from ltbench.method import Reference, log_prior
from ltbench.settings import setting
from ltbench.shift.profiles import training_rank
from ltbench.strategy import Adapted, Source, Strategy, UnlabelledTest


@dataclass(frozen=True)
class LscHyper(ExpertsHyper):
    tolerance: float = setting(0.8, low=0, high=1, help="top-k accuracy that decides on k")
    largest: float = setting(100.0, above=1, help="largest simulated imbalance, either way")
    step: float = setting(0.5, above=0, help="between two simulated imbalances, from 1 on")
    epochs: int = setting(100, low=1, help="of the regressor")
    batch_size: int = setting(128, low=1, help="simulated sets in a step")
    lr: float = setting(1e-2, above=0, help="learning rate of Adam")
    temper: float = setting(1.0, above=0, help="log q is divided by it; published: 3")


class Lsc(Strategy[LscHyper]):
    """argmax l - log pi + log(q) / temper, q = softmax(g(mean_i [m_1(z_i1), ..., m_E(z_iE)])).

    m_e keeps the k_e largest logits (less their mean over classes) of expert e and sets the others to 0,
    k_e the least k of which the top-k accuracy exceeds ``tolerance``. g, a network of one hidden layer
    of 3 C, minimises the mean KL(p || q) over sets drawn from the hold-out with replacement: p
    exponential, from n_max images (of the most frequent training class) down to n_max / r, r = 1, 1 +
    step, ... < ``largest``, and the same reversed. It knows shifts of this shape only.

    Departs from the published code: it simulates on the hold-out, not on the images trained on; keeps
    the k of training at test time and does not switch by hard-coded ranges of classes; log q counts
    fully unless ``temper`` says otherwise; and Adam takes larger steps on smaller batches of fewer sets
    (1e-3, 1024 and step 0.1 there), which with few classes left the loss on the simulated sets high.
    That loss is in the diagnostics.
    """

    name: ClassVar = "lsc"
    title: ClassVar = "label shift correction"
    needs: ClassVar = frozenset({"bias", "holdout"})
    max_classes: ClassVar = 2000
    uses_predict: ClassVar = False
    tried_with: ClassVar = {"epochs": 2, "step": 20.0}
    hyper_type: ClassVar = LscHyper
    reference: ClassVar = Reference(
        authors="Wei, Mao, Zhou, Wan, Zhang",
        title="Learning label shift correction for test-agnostic long-tailed recognition",
        venue="ICML",
        year=2024,
        url="https://proceedings.mlr.press/v235/wei24g.html",
    )

    def adapt(self, test: UnlabelledTest, source: Source, rng: torch.Generator) -> Adapted:
        hyper, counts = self.hyper, source.method.counts
        held = known_holdout(source)
        order = torch.argsort(counts, descending=True, stable=True)
        rank = torch.from_numpy(training_rank(counts.numpy()))
        z, labels = centred(held.logits[..., order]), rank[held.labels]
        ks = [smallest_k(z[:, e], labels, held.weights, hyper.tolerance) for e in range(z.shape[1])]
        ratios = np.arange(1.0, hyper.largest, hyper.step)
        sizes = simulated_counts(int(counts.max()), len(counts), ratios)
        goals = torch.from_numpy(sizes / sizes.sum(axis=1, keepdims=True)).float()
        seed = torch.randint(2**62, (1,), generator=rng).item()
        drawn = np.random.default_rng(int(seed))
        means = drawn_means(masked(z, ks), labels, sizes, drawn)
        network = regressor(means.shape[1], len(counts), rng)
        loss = learn(network, means, goals, hyper.epochs, hyper.batch_size, hyper.lr)
        mean = masked(centred(test.logits[..., order]), ks).mean(dim=0)
        with torch.no_grad():
            prior = network(mean).double().softmax(dim=0)[rank]
        shift = prior.log().float() / hyper.temper - log_prior(counts)
        frozen = PriorScores(log_posterior(source, hyper), shift)
        return Adapted(
            frozen(test.logits), frozen, prior=prior, diagnostics={"k": [*ks], "loss": loss}
        )


def masked(logits: Tensor, ks: list[int]) -> Tensor:
    """``(N, E, C)`` to ``(N, E C)``: of each expert its k_e largest, 0 for the others."""
    return torch.cat([keep_top(logits[:, e], k) for e, k in enumerate(ks)], dim=1)
