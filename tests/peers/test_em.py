"""EM against QuaPy and abstention, judged by the gap of the likelihood."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from abstention.label_shift import EMImbalanceAdapter
from quapy.method.aggregative import EMQ
from torch import Tensor

from ltbench.labelshift.em import em

from .exact import likelihood_gap, one_hot
from .table import Ledger
from .worlds import DTYPES, Array, Known, World, distance, found_prior, random_world

LONG = 4000
"""Iterations that let all of these converge; what is left is in the gap."""
SAME = "equal; both maximise the likelihood (its gap from the maximum in long double)"
LIMIT = "we: it stops after 100 iterations or earlier; the smaller likelihood gap"
EARLY = "we: it stops when the mean change of a class is below 1e-4; the smaller likelihood gap"
ROAD = "equal; the same steps from the same start (gap from the maximum in long double)"
CASES = [(c, d, e) for c in (2, 10, 100) for d in DTYPES for e in (False, True)]


def converged(world: World, iterations: int) -> Array:
    u = torch.from_numpy(world.posteriors() / world.prior)
    found = em(u, torch.from_numpy(world.prior), tolerance=1e-12, iterations=iterations)
    return np.asarray(found.prior.numpy())


def quapy(world: World, monkeypatch: pytest.MonkeyPatch, iterations: int) -> Array:
    """Without its limit and with a strict tolerance."""
    with monkeypatch.context() as patch:
        patch.setattr(EMQ, "MAX_ITER", iterations)
        prior, _ = EMQ.EM(world.prior, world.posteriors(), epsilon=1e-14)
    return np.asarray(prior)


def abstention(world: World, **limits: float) -> Array:
    """Its weights times the training prior, which it counts from labels."""
    classes = len(world.counts)
    labels = one_hot(torch.arange(classes).repeat_interleave(world.counts), classes)
    adapter = EMImbalanceAdapter(estimate_priors_from_valid_labels=True, **limits)
    fitted = adapter(world.posteriors(), labels, labels)
    return np.asarray(fitted.multipliers * world.prior)


def compare(
    world: World, ledger: Ledger, monkeypatch: pytest.MonkeyPatch, iterations: int = LONG
) -> None:
    """The function ``em``, and the strategy ``mlls`` as a user runs it."""

    def gap(found: Array) -> float:
        return max(0.0, likelihood_gap(world.posteriors(), world.prior, found))

    def tell(quantity: str, peer: str, ours: Array, theirs: Array, verdict: str) -> None:
        ledger.record(
            quantity, peer, distance(ours, theirs), verdict, ours=gap(ours), theirs=gap(theirs)
        )

    exact, shipped = converged(world, iterations), found_prior(world.adapt("mlls"))
    many = len(world.counts) == 1000
    name = "EM prior, 1,000 iterations, 1,000 classes" if many else "EM prior, converged"
    verdict = ROAD if many else SAME
    tell(name, "QuaPy", exact, quapy(world, monkeypatch, iterations), verdict)
    strict = {"tolerance": 1e-12, "max_iterations": iterations}
    tell(name, "abstention", exact, abstention(world, **strict), verdict)
    door = EMQ(
        Known(len(world.counts)), fit_classifier=False, exact_train_prev=True, val_split=None
    )
    labels = torch.arange(len(world.counts)).repeat_interleave(world.counts).numpy()
    default = door.fit(np.eye(len(world.counts))[labels], labels).predict(world.posteriors())
    size = "1,000 classes" if many else "2 to 100 classes"
    tell(f"MLLS prior as shipped, {size}", "QuaPy", shipped, default, EARLY)
    tell(f"MLLS prior as shipped, {size}", "abstention", shipped, abstention(world), LIMIT)
    assert np.array_equal(shipped, found_prior(world.adapt("em", map=1)))
    assert distance(shipped, exact) < 5e-4  # mlls itself stops at steps of 1e-6


@pytest.mark.parametrize(("classes", "dtype", "extreme"), CASES, ids=str)
def test_random_logits(
    classes: int,
    dtype: torch.dtype,
    extreme: bool,
    ledger: Ledger,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compare(random_world(classes, dtype, images=1000, extreme=extreme), ledger, monkeypatch)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("extreme", [False, True])
def test_a_thousand_classes(
    dtype: torch.dtype, extreme: bool, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = random_world(1000, dtype, images=200, extreme=extreme)
    compare(world, ledger, monkeypatch, iterations=1000)


def test_digits(
    digits: tuple[World, Tensor], ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    compare(digits[0], ledger, monkeypatch)
