"""`em` or `mlls`, `bcts-em` or `bcts-mlls`: chosen on held-out training images; no test label occurs.

    python -m benchmarks.em_choice TRIAL...

TRIAL: folders of finished trials with a hold-out (`ltbench run --set train.holdout=0.2`). The hold-out is
cut in two halves, class by class. Images of one half are drawn with replacement under every label
distribution of the protocol, as many as it has, and each candidate adapts on them without their labels;
what needs a labelled hold-out is given the other half; then the halves change places. Prints top-1 per kind
of distribution, their mean over all, and its standard error over draws. The rule, fixed before the first
run: of each pair the candidate with the better mean over all distributions and trials is recommended, or
neither where the means differ by less than two standard errors of their paired difference.
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np
import torch
from torch import Tensor

from benchmarks.tilt_choice import DRAWS, draws, print_table
from ltbench import get_method, get_strategy
from ltbench.data.sources import open_data
from ltbench.errors import InputError
from ltbench.evaluate import metrics
from ltbench.evaluate.sources import HoldOut, find_bias
from ltbench.execute.context import load_tensors
from ltbench.protocol.file import load_protocol_config
from ltbench.strategy import OptimizerSettings, Source, UnlabelledTest
from ltbench.task import Task, build_task
from ltbench.trial import store

PAIRS = (("em", "mlls"), ("bcts-em", "bcts-mlls"))
CANDIDATES = ("none", *(name for pair in PAIRS for name in pair))
Scores = dict[str, dict[str, list[float]]]


def halves(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Every other image of each class: indices of both halves; a single image is in the first."""
    place = torch.zeros_like(labels)
    for c in labels.unique():
        of_class = (labels == c).nonzero()[:, 0]
        place[of_class] = torch.arange(len(of_class)) % 2
    return (place == 0).nonzero()[:, 0], (place == 1).nonzero()[:, 0]


def score(folder: Path, task: Task) -> Scores:
    """``{candidate: {test set: top-1 of each draw of both halves}}`` on the hold-out of one trial."""
    record = store.finished_trial(folder)
    if record is None:
        raise InputError(f"{folder} holds no finished trial")
    training = record["training"]
    counts = torch.tensor(record["data"]["train_counts"])
    method = get_method(training["name"], counts, **training["hyper"])
    logits = load_tensors(folder / store.LOGITS).get("holdout")
    labels = torch.from_numpy(task.splits.train.labels[task.train.holdout])
    if logits is None or len(labels) != len(logits):
        raise InputError(f"{folder} was trained with another hold-out, or without one")
    found: Scores = {name: {} for name in CANDIDATES}
    first, second = halves(labels)
    for tested, known in ((first, second), (second, first)):
        held = HoldOut(logits[known], labels[known])
        bias = find_bias(method, (logits.shape[1], logits.shape[2]), held)
        source = Source(
            method,
            bias.value,
            bias.kind,
            OptimizerSettings(0.1, 0.9, True, 5e-4),
            holdout_logits=held.logits,
            holdout_labels=held.labels,
        )
        images, truth = logits[tested], labels[tested]
        for number, test_set in enumerate(task.test_sets):
            if not test_set.counts[np.unique(truth)].sum():
                continue
            for chosen in draws(truth, test_set, number):
                for name in CANDIDATES:
                    rng = torch.Generator().manual_seed(number)
                    test = UnlabelledTest(images[chosen])
                    scores = get_strategy(name).adapt(test, source, rng).logits
                    right = metrics.correct(scores, truth[chosen]).double().mean().item()
                    found[name].setdefault(test_set.name, []).append(100 * right)
    # A set none of whose classes is in one half has the draws of the other alone.
    both = [name for name, values in found["none"].items() if len(values) == 2 * DRAWS]
    return {name: {s: values[s] for s in both} for name, values in found.items()}


def compare(first: str, second: str, found: list[Scores]) -> str:
    """The paired difference of the means over all distributions, with its standard error over trials
    where there are several."""
    gaps = [
        float(np.mean([np.mean(one[first][s]) - np.mean(one[second][s]) for s in one[first]]))
        for one in found
    ]
    error = np.std(gaps, ddof=1) / len(gaps) ** 0.5 if len(gaps) > 1 else float("nan")
    return f"{first} minus {second}: {np.mean(gaps):+.2f}, standard error {error:.2f} over trials"


@click.command()
@click.argument("trials", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--protocol", default="digits-lt", show_default=True)
@click.option("--holdout", default="0.2", show_default=True, help="train.holdout of the trials.")
@click.option("--data-dir", type=click.Path(path_type=Path))
def main(trials: tuple[Path, ...], protocol: str, holdout: str, data_dir: Path | None) -> None:
    try:
        loaded = load_protocol_config(protocol, {"train.holdout": holdout})
        task = build_task(loaded, open_data(loaded.data, data_dir, download=False))
        by_method: dict[str, list[Scores]] = {}
        for folder in trials:
            by_method.setdefault(folder.resolve().parent.name, []).append(score(folder, task))
    except InputError as error:
        raise click.ClickException(str(error)) from None
    for name, found in by_method.items():
        print_table(f"{name}, {protocol}, {len(found)} trials", found)
        for pair in PAIRS:
            print(compare(*pair, found))
    everything = [one for found in by_method.values() for one in found]
    print(f"\nall {len(everything)} trials")
    for pair in PAIRS:
        print(compare(*pair, everything))


if __name__ == "__main__":
    main()
