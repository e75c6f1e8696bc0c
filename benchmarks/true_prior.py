"""What the true prior gets out of stored logits, and how far from it `tilt` and `stability` end up.

    python -m benchmarks.true_prior --protocol cifar100-lt --data-dir DIR TRIAL...

TRIAL: folders of finished trials with logits, of methods whose bias is known in closed form. Prints for
each top-1 over the forward, uniform and backward test sets (mean over draws), l = mean_e(z_e + b_e):

- experts: argmax l_e - log pi + log q at the true q, of each expert alone and of all together;
- temperatures: `oracle` with l / T in the place of l, and with (l - log pi) / T + log q;
- exponents: a of q_a proportional to pi^a: the true one; the one that `tilt` fits; the one that `stability`
  sets where it was evaluated there, of pi exp(-sum_e w_e b_e), since sum_e w_e z_e is a log-posterior at
  that prior; and the one of the best top-1 in hindsight. Then what each prior gives on l.

Every number here was computed with TEST labels. They explain, and nothing may be chosen from them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from torch import Tensor

from ltbench import draw_test_sets, get_method, load_logits
from ltbench.errors import InputError
from ltbench.evaluate.sources import exact_bias
from ltbench.labelshift.posterior import likelihoods
from ltbench.labelshift.tilt import fit_tilts, head_score
from ltbench.method import log_prior
from ltbench.python.images import DrawnTestSet
from ltbench.trial import store

TEMPERATURES = (1.0, 1.15, 1.3, 1.5, 2.0)
SPREAD = 3.0  # the default of `tilt`
GRID = [step / 20 for step in range(-60, 41)]  # exponents that are tried in hindsight
Prior = Callable[[DrawnTestSet], Tensor]
"""Log of a prior ``(C,)`` for a test set, up to a constant."""


class Trial:
    """Log-posteriors ``(N, E, C)`` at the training prior, labels, and the test sets along the rank."""

    def __init__(self, folder: Path, sets: dict[str, DrawnTestSet], data_dir: Path | None) -> None:
        stored = load_logits(folder, data_dir=data_dir)
        training = stored.record["training"]
        counts = torch.tensor(stored.record["data"]["train_counts"])
        method = get_method(training["name"], counts, **training["hyper"])
        experts, classes = stored.logits.shape[1:]
        bias = exact_bias(method, (experts, classes)).value
        if bias is None:
            raise InputError(f"{folder}: the prior that its logits carry has no closed form")
        self.name = f"{training['name']}, seed {stored.record['seed']}"
        self.folder, self.labels, self.bias = folder, stored.labels, bias
        self.sets = [s for s in sets.values() if s.kind in ("forward", "uniform", "backward")]
        self.log_pi, self.h = log_prior(counts), head_score(counts)
        self.each = stored.logits + bias
        self.all = self.each.mean(dim=1)

    def top1(self, scores: Tensor, test_set: DrawnTestSet) -> float:
        """Mean over draws."""
        right = (scores.argmax(dim=1) == self.labels).double().numpy()
        return 100 * float(np.mean([right[draw].mean() for draw in test_set.draws]))

    def row(self, prior: Prior, said: Tensor) -> list[float]:
        """Top-1 of argmax l - log pi + log q on every test set, and its mean over them."""
        found = [self.top1(said - self.log_pi + prior(s), s) for s in self.sets]
        return [*found, float(np.mean(found))]

    def exponent(self, log_q: Tensor) -> float:
        """The least-squares slope of ``log_q`` over log pi: a, where q is proportional to pi^a."""
        centred = self.log_pi - self.log_pi.mean()
        return float(log_q.float() @ centred / (centred @ centred))

    def fitted(self, test_set: DrawnTestSet) -> Tensor:
        """`tilt`'s prior, its exponent averaged over draws."""
        u = likelihoods(self.all.double() - self.log_pi.double())
        drawn = torch.zeros(len(test_set.draws), len(u))
        for weights, draw in zip(drawn, test_set.draws, strict=True):
            weights[torch.from_numpy(draw)] = 1
        found = fit_tilts(u, self.h[None], SPREAD, drawn)
        return float(np.mean([float(one.exponents[0]) for one in found])) * self.h.float()

    def weighted(self, test_set: DrawnTestSet, record: dict[str, Any]) -> Tensor:
        """The prior that `stability`'s weights stand for, averaged over draws."""
        draws = record["distributions"][test_set.name]["draws"].values()
        weights = torch.tensor([draw["expert_weights"] for draw in draws]).mean(dim=0)
        return self.log_pi - weights @ self.bias

    def best(self, test_set: DrawnTestSet) -> Tensor:
        """The prior pi^a of the best top-1, in hindsight."""
        return max(
            (a * self.log_pi for a in GRID),
            key=lambda log_q: self.top1(self.all - self.log_pi + log_q, test_set),
        )


def log_true(test_set: DrawnTestSet) -> Tensor:
    return torch.from_numpy(test_set.prior).log().float()


def pick(by_set: Mapping[str, Tensor], test_set: DrawnTestSet) -> Tensor:
    return by_set[test_set.name]


def print_table(title: str, names: list[str], rows: dict[str, list[float]], digits: int) -> None:
    print(f"\n{title}\n\n| | {' | '.join(names)} | mean |\n{'|---' * (len(names) + 2)}|")
    for name, values in rows.items():
        cells = [f"{value:.{digits}f}" for value in values]
        print(f"| {name} | " + " | ".join(cells + [""] * (len(names) + 1 - len(cells))) + " |")


def report(trial: Trial) -> None:
    names, experts = [s.name for s in trial.sets], trial.each.shape[1]
    rows = {f"expert {e + 1}": trial.row(log_true, trial.each[:, e]) for e in range(experts)}
    rows["all"] = trial.row(log_true, trial.all)
    print_table(f"{trial.name}: the true prior on experts", names, rows, 1)
    rows = {f"l / {t:g}": trial.row(log_true, trial.all / t) for t in TEMPERATURES}
    for t in TEMPERATURES[1:]:
        said = (trial.all - trial.log_pi) / t + trial.log_pi
        rows[f"(l - log pi) / {t:g}"] = trial.row(log_true, said)
    print_table(f"{trial.name}: the true prior at temperatures", names, rows, 1)
    priors: dict[str, Prior] = {"true": log_true, "tilt": trial.fitted, "best": trial.best}
    records = sorted((trial.folder / "evaluations").glob("sade+stability-*.json"))
    if records:
        record = store.read_record(records[0])
        priors["stability"] = lambda s: trial.weighted(s, record)
    found = {name: {s.name: prior(s) for s in trial.sets} for name, prior in priors.items()}
    exponents = {k: [trial.exponent(q) for q in by_set.values()] for k, by_set in found.items()}
    print_table(f"{trial.name}: exponents of pi", names, exponents, 2)
    rows = {k: trial.row(partial(pick, by_set), trial.all) for k, by_set in found.items()}
    print_table(f"{trial.name}: top-1 at these priors, on l", names, rows, 1)


@click.command()
@click.argument("trials", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--protocol", default="cifar100-lt", show_default=True)
@click.option("--data-dir", type=click.Path(path_type=Path))
def main(trials: tuple[Path, ...], protocol: str, data_dir: Path | None) -> None:
    try:
        sets = draw_test_sets(protocol, data_dir=data_dir, download=False)
        for folder in trials:
            report(Trial(folder, sets, data_dir))
    except (InputError, ValueError) as error:
        raise click.ClickException(str(error)) from None


if __name__ == "__main__":
    main()
