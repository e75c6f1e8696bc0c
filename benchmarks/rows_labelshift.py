"""How long strategies that estimate a label shift take at 1,000 classes, and whether they find the same."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from benchmarks import slow_labelshift as slow
from benchmarks.row import Row
from benchmarks.timing import Spread, ratio, seconds_of
from ltbench import get_method, get_strategy
from ltbench.labelshift.confusion import ClassifierHyper, deviation, moments, regularised
from ltbench.labelshift.holdout import known_holdout, weights_for
from ltbench.labelshift.posterior import log_posterior, source_likelihoods
from ltbench.labelshift.tilt import head_score, powers
from ltbench.methods.adapt.tilt import STRENGTHS
from ltbench.methods.adapt.tilt_holdout import GRID, root
from ltbench.shift.profiles import exponential_counts
from ltbench.strategy import Adapted, OptimizerSettings, Source, UnlabelledTest

T = TypeVar("T")
DIMENSIONS, SEPARATION, SHARPNESS, SPREAD = 40, 0.45, 1.2, 3.0


@dataclass(frozen=True)
class Problem:
    test: UnlabelledTest
    source: Source


def problem(classes: int, images: int, held: int) -> Problem:
    """A plug-in classifier of Gaussian classes, counts 1280 to 5; the test set is the reverse.

    Class means are known up to the error that n_j images leave, and the classifier is too sure of
    itself. The hold-out has an image of each class, the others as the training set is distributed.
    """
    rng = torch.Generator().manual_seed(0)
    means = SEPARATION * torch.randn(classes, DIMENSIONS, generator=rng, dtype=torch.float64)
    counts = torch.from_numpy(exponential_counts(1280, 256, classes))
    error = torch.randn(classes, DIMENSIONS, generator=rng, dtype=torch.float64)
    learned, prior = means + error / counts.double().sqrt()[:, None], counts.double() / counts.sum()

    def logits(labels: Tensor) -> Tensor:
        noise = torch.randn(len(labels), DIMENSIONS, generator=rng, dtype=torch.float64)
        distances = torch.cdist(means[labels] + noise, learned)
        return (prior.log() - SHARPNESS / 2 * distances.square()).float()[:, None]

    labels = torch.multinomial(prior, max(held - classes, 1), True, generator=rng)
    labels = torch.cat([torch.arange(classes), labels])
    method = get_method("ce", counts)
    source = Source(
        method,
        method.bias(),
        "closed-form",
        OptimizerSettings(0.1, 0.9, True, 5e-4),
        holdout_logits=logits(labels),
        holdout_labels=labels,
    )
    wanted = torch.multinomial(prior.flip(0), images, True, generator=rng)
    return Problem(UnlabelledTest(logits(wanted)), source)


def label_shift(rounds: int, classes: int = 1000, images: int = 10_000, held: int = 10_000) -> Row:
    """Ours, then the slow way, in turn; RLLS also against cvxpy where that is installed."""
    row = Row("label-shift", f"label shift, {classes} classes, {images} images, {held} held out")
    given = problem(classes, images, held)
    for soft in (False, True):
        _rlls(row, given, soft, rounds)
    _tilts(row, given, rounds)
    return row


def _in_turn(row: Row, ways: Mapping[str, Callable[[], T]], rounds: int) -> dict[str, T]:
    """What each way finds; the first is ours, the ratios are how many times as long the others take."""
    found: dict[str, T] = {}
    seconds: dict[str, list[float]] = {name: [] for name in ways}

    def run(name: str) -> None:
        found[name] = ways[name]()

    for _ in range(rounds):
        for name in ways:
            seconds[name].append(seconds_of(lambda name=name: run(name)))
    ours, *others = ways
    row.measured |= {name: ("s", Spread.of(seconds[name])) for name in ways}
    row.ratios |= {name: ratio(seconds[name], seconds[ours]) for name in others}
    return found


def _rlls(row: Row, given: Problem, soft: bool, rounds: int) -> None:
    """A table of decisions is nearly empty, which cvxpy's solver makes use of; one of probabilities
    is full."""
    name = "rlls[soft=true]" if soft else "rlls"
    hyper = ClassifierHyper(soft=soft)
    found = moments(given.test, given.source, log_posterior(given.source, hyper), hyper)
    rho = deviation(len(found.target), found.held, alpha=0.01, delta=0.05)
    ways: dict[str, Callable[[], slow.Array]] = {
        name: lambda: regularised(found, rho),
        f"{name}, scipy's nnls": lambda: slow.rlls_by_nnls(found, rho),
    }
    if importlib.util.find_spec("cvxpy") is None:
        row.skipped[f"{name}, cvxpy"] = "cvxpy is not installed (pip install cvxpy)"
    else:
        importlib.import_module("cvxpy")  # not timed
        ways[f"{name}, cvxpy"] = lambda: slow.rlls_by_cvxpy(found, rho)
    ends = _in_turn(row, ways, rounds)
    losses = {way: slow.rlls_objective(found, rho, end) for way, end in ends.items()}
    for way, end in ends.items():
        if way != name:
            far, higher = np.abs(end - ends[name]).max(), losses[way] - losses[name]
            row.notes.append(f"{way}: a weight differs by up to {far:.1e}, objective {higher:+.1e}")
    best = min(losses.values())
    row.checks[f"{name}: no other way ends lower (1e-10)"] = losses[name] <= best + 1e-10


def _tilts(row: Row, given: Problem, rounds: int) -> None:
    u = source_likelihoods(given.test.logits, given.source)
    features = powers(head_score(given.source.method.counts), 1)
    held = known_holdout(given.source)
    inside = source_likelihoods(held.logits, given.source)

    def ours(name: str, **hyper: bool) -> Adapted:
        rng = torch.Generator().manual_seed(0)
        return get_strategy(name, **hyper).adapt(given.test, given.source, rng)

    def corrected() -> Tensor:
        priors = ((a * features[0]).softmax(dim=0) for a in GRID)
        weights = [weights_for(held.labels, q) for q in priors]
        measured = [slow.tilt_by_lbfgs(inside, features, SPREAD, w)[0] for w in weights]
        found = slow.tilt_by_lbfgs(u, features, SPREAD, torch.ones(len(u)).double())[0]
        return (root(torch.stack(measured) - found) * features[0]).softmax(dim=0)

    def fallback() -> Tensor:
        rng = torch.Generator().manual_seed(0)
        return slow.fallback_in_turn(u, features, SPREAD, STRENGTHS, rng)

    for name, own, other in (
        ("tilt[fallback=true]", lambda: ours("tilt", fallback=True), fallback),
        ("tilt-holdout", lambda: ours("tilt-holdout"), corrected),
    ):
        ways: dict[str, Callable[[], Tensor]] = {
            name: lambda own=own: _known(own().prior),
            f"{name}, one fit after another": other,
        }
        first, second = _in_turn(row, ways, rounds).values()
        far = (first - second).abs().max().item()
        row.notes.append(f"{name}: a probability differs by up to {far:.1e}")
        row.checks[f"{name}: the same prior (1e-4 of its largest value)"] = bool(
            far <= 1e-4 * second.max()
        )


def _known(prior: Tensor | None) -> Tensor:
    assert prior is not None  # these strategies estimate one
    return prior
