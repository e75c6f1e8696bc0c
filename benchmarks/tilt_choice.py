"""Which options of `tilt` are its default, chosen on held-out training images; no test label occurs.

    python -m benchmarks.tilt_choice --protocol cifar100-lt-short --data-dir DIR TRIAL...

TRIAL: folders of finished trials with a hold-out (`ltbench run --set train.holdout=0.1`). For every label
distribution of the protocol, and five permuted ones, images of the hold-out are drawn with replacement, as
many as the hold-out has, and every candidate adapts on them without their labels. Prints top-1 per
kind of distribution, their mean, and its standard error over draws. The rule, fixed before the first run:
the candidate with the best mean over all distributions, averaged over trials, methods and data sets with
equal weight, is the default.

A class of one held-out image appears as copies of it. Both halves of the comparison by likelihood that
`fallback` makes then hold the same image, which flatters the more flexible candidates.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from torch import Tensor

from ltbench import get_method, get_strategy
from ltbench.data.sources import open_data
from ltbench.errors import InputError
from ltbench.evaluate import metrics
from ltbench.evaluate.sources import HoldOut, find_bias
from ltbench.execute.context import load_tensors
from ltbench.labelshift.posterior import source_likelihoods
from ltbench.protocol.file import load_protocol_config
from ltbench.shift.testset import TestSet
from ltbench.strategy import OptimizerSettings, Source, UnlabelledTest
from ltbench.task import Task, build_task
from ltbench.trial import store

BASELINE = "minus log prior"
CANDIDATES: dict[str, tuple[str, dict[str, Any]]] = {
    "em": ("em", {}),
    "tilt[degree=1,fallback=false]": ("tilt", {"degree": 1, "fallback": False}),
    "tilt[degree=2,fallback=false]": ("tilt", {"degree": 2, "fallback": False}),
    "tilt[degree=1,fallback=true]": ("tilt", {"degree": 1, "fallback": True}),
    "tilt[degree=2,fallback=true]": ("tilt", {"degree": 2, "fallback": True}),
    "oracle": ("oracle", {}),
}
DRAWS = 5


def draws(labels: Tensor, test_set: TestSet, seed: int) -> Iterator[Tensor]:
    """Indices into the hold-out, distributed as ``test_set`` over the classes that it has."""
    held = torch.bincount(labels, minlength=len(test_set.counts)).double()
    weights = torch.from_numpy(test_set.counts).double() / held.clamp_min(1)
    rng = torch.Generator().manual_seed(seed)
    for _ in range(DRAWS):
        yield torch.multinomial(weights[labels], len(labels), replacement=True, generator=rng)


def score(folder: Path, task: Task) -> dict[str, dict[str, list[float]]]:
    """``{candidate: {test set: top-1 of each draw}}`` on the hold-out of one trial."""
    record = store.finished_trial(folder)
    if record is None:
        raise InputError(f"{folder} holds no finished trial")
    training = record["training"]
    counts = torch.tensor(record["data"]["train_counts"])
    method = get_method(training["name"], counts, **training["hyper"])
    logits = load_tensors(folder / store.LOGITS)["holdout"]
    labels = torch.from_numpy(task.splits.train.labels[task.train.holdout])
    if len(labels) != len(logits):
        raise InputError(f"{folder} was trained with another hold-out")
    known = find_bias(method, (logits.shape[1], logits.shape[2]), HoldOut(logits, labels))
    optimizer = OptimizerSettings(0.1, 0.9, True, 5e-4)
    source = Source(method, known.value, known.kind, optimizer)
    found: dict[str, dict[str, list[float]]] = {name: {} for name in (BASELINE, *CANDIDATES)}
    for number, test_set in enumerate(task.test_sets):
        if not test_set.counts[np.unique(labels)].sum():
            continue  # of these classes nothing was held out
        for chosen in draws(labels, test_set, number):
            truth = torch.bincount(labels[chosen], minlength=len(counts)).double()
            test = UnlabelledTest(logits[chosen], true_prior=truth / truth.sum())
            scores = {BASELINE: source_likelihoods(test.logits, source)}
            for name, (strategy, options) in CANDIDATES.items():
                rng = torch.Generator().manual_seed(number)
                scores[name] = get_strategy(strategy, **options).adapt(test, source, rng).logits
            for name, values in scores.items():
                right = metrics.correct(values, labels[chosen]).double().mean().item()
                found[name].setdefault(test_set.name, []).append(100 * right)
    return found


def print_table(title: str, found: list[dict[str, dict[str, list[float]]]]) -> None:
    kinds = ("forward", "uniform", "backward", "only", "permuted")
    print(f"\n{title}\n| candidate | {' | '.join(kinds)} | mean | error |")
    print("|---" * (len(kinds) + 3) + "|")
    for name in found[0]:
        sets = list(found[0][name])
        values = np.array([[one[name][s] for s in sets] for one in found])  # trial, set, draw
        cells = [
            values[:, [kind in s for s in sets]].mean() if any(kind in s for s in sets) else np.nan
            for kind in kinds
        ]
        over_draws = values.mean(axis=(0, 1))
        error = over_draws.std(ddof=1) / len(over_draws) ** 0.5
        numbers = [*cells, over_draws.mean(), error]
        print(f"| {name} | " + " | ".join(f"{number:.1f}" for number in numbers) + " |")


@click.command()
@click.argument("trials", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--protocol", default="digits-lt", show_default=True)
@click.option("--holdout", default="0.1", show_default=True, help="train.holdout of the trials.")
@click.option("--permuted", default="50", show_default=True, help="Ratio of the permuted sets.")
@click.option("--data-dir", type=click.Path(path_type=Path))
def main(
    trials: tuple[Path, ...], protocol: str, holdout: str, permuted: str, data_dir: Path | None
) -> None:
    overrides = {
        "train.holdout": holdout,
        "test.permuted.ratios": [float(permuted)],
        "test.permuted.number": 5,
    }
    try:
        loaded = load_protocol_config(protocol, overrides)
        task = build_task(loaded, open_data(loaded.data, data_dir, download=False))
        by_method: dict[str, list[dict[str, dict[str, list[float]]]]] = {}
        for folder in trials:
            by_method.setdefault(folder.resolve().parent.name, []).append(score(folder, task))
    except InputError as error:
        raise click.ClickException(str(error)) from None
    for name, found in by_method.items():
        print_table(f"{name}, {protocol}, {len(found)} trials, {DRAWS} draws", found)


if __name__ == "__main__":
    main()
