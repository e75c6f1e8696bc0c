"""BBSE and RLLS against QuaPy, abstention and cvxpy."""

from __future__ import annotations

from typing import Any

import cvxpy
import numpy as np
import pytest
import torch
from abstention.label_shift import BBSEImbalanceAdapter
from quapy.method._helper import _rlls_compute_weights
from quapy.method.aggregative import ACC, PACC

from ltbench.labelshift.confusion import Moments, deviation, regularised, solve

from .exact import least_squares_gap, one_hot
from .table import Ledger
from .worlds import DTYPES, Array, World, distance, found_prior, random_world, softmax

CASES = pytest.mark.parametrize(
    ("classes", "dtype", "extreme"),
    [(c, d, e) for c in (2, 10, 100) for d in DTYPES for e in (False, True)],
    ids=str,
)


def weighted(world: World, said: Array) -> Array:
    """w pi, negative weights cut, as both sides do it; said: clipped or not."""
    q = np.maximum(said, 0) * world.prior
    return np.asarray(q / q.sum())


def said(logits: torch.Tensor, soft: bool) -> Array:
    return softmax(logits) if soft else one_hot(logits.argmax(dim=1), logits.shape[1])


@CASES
@pytest.mark.parametrize("soft", [False, True])
def test_bbse(classes: int, dtype: torch.dtype, extreme: bool, soft: bool, ledger: Ledger) -> None:
    """On a hold-out distributed like the training set: the peers know no other."""
    world = random_world(classes, dtype, images=2000, held=4000, margin=6, extreme=extreme)
    ours = found_prior(world.adapt("bbse", soft=soft))
    name = f"BBSE prior, {'probabilities' if soft else 'decisions'}"
    truth = one_hot(world.labels, classes)
    adapter = BBSEImbalanceAdapter(soft=soft)
    fitted = adapter(truth, said(world.test, soft), said(world.held, soft))
    ledger.record(name, "abstention", distance(ours, weighted(world, fitted.multipliers)))

    rates, said_test = by_quapy(world, soft)
    q = ACC.solve_adjustment(rates, said_test, method="inversion", solver="exact-raise")
    q = np.maximum(q, 0)  # where a part exceeds 1 it would cut that, too, before it normalises
    ledger.record(name, "QuaPy", distance(ours, q / q.sum()))


def test_digits(digits: tuple[World, torch.Tensor], ledger: Ledger) -> None:
    """The hold-out is not distributed like the training set: rates per class know no prior."""
    world, _ = digits
    kinds, labels = np.arange(10), world.labels.numpy()
    rates = PACC.getPteCondEstim(kinds, labels, softmax(world.held))
    test = softmax(world.test).mean(axis=0)
    q = np.maximum(ACC.solve_adjustment(rates, test, "inversion", "exact-raise"), 0)
    ours = found_prior(world.adapt("bbse", soft=True))
    ledger.record("BBSE prior, probabilities", "QuaPy", distance(ours, q / q.sum()))


@pytest.mark.parametrize("classes", [2, 10, 100])
def test_bbse_without_hold_out_images_of_a_class(classes: int, ledger: Ledger) -> None:
    """A column of the table is empty: nothing is known of that class."""
    world = random_world(classes, images=2000, held=4000, margin=6, absent=1)
    ours = found_prior(world.adapt("bbse"))
    kinds, labels = np.arange(classes), world.labels.numpy()
    rates = ACC.getPteCondEstim(kinds, labels, world.held.argmax(dim=1).numpy())
    test = said(world.test, False).mean(axis=0)
    q = np.maximum(ACC.solve_adjustment(rates, test, "inversion", "exact-raise"), 0)
    ledger.record(
        "BBSE prior, a class without hold-out image",
        "QuaPy",
        distance(ours, q / q.sum()),
        "neither, nothing is known: it takes that class for always recognised, we for as frequent"
        " as in training (pseudo-inverse)",
    )
    table = one_hot(world.held.argmax(dim=1), classes).T @ one_hot(world.labels, classes)
    moments = Moments(table / len(labels), test, len(labels))
    least = 1 + np.linalg.pinv(moments.table) @ (test - moments.table.sum(axis=1))
    assert distance(solve(moments)[0], least) < 1e-7 * max(1, np.abs(least).max())


SMOOTH = (
    "we: it follows differences of the norm, which has a corner at 0; the gap of the squared norm"
    " from its minimum in long double"
)


@pytest.mark.parametrize("classes", [2, 10, 100])
@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_constrained(classes: int, soft: bool, dtype: torch.dtype, ledger: Ledger) -> None:
    """QuaPy's default solver, on less separable classes: several priors end at 0."""
    world = random_world(classes, dtype, images=2000, held=4000, sharpness=1.5)
    rates, test = by_quapy(world, soft)
    ours = found_prior(world.adapt("bbse", solver="constrained", soft=soft))
    theirs = ACC.solve_adjustment(rates, test, method="inversion", solver="minimize")
    size = "100 classes" if classes == 100 else "2 and 10 classes"
    ledger.record(
        f"BBSE on the simplex, prior, {size}",
        "QuaPy",
        distance(ours, theirs),
        SMOOTH,
        ours=max(0.0, least_squares_gap(rates, test, ours)),
        theirs=max(0.0, least_squares_gap(rates, test, theirs)),
    )


@pytest.mark.parametrize("classes", [2, 10, 100])
def test_constrained_without_hold_out_images_of_a_class(classes: int, ledger: Ledger) -> None:
    world = random_world(classes, images=2000, held=4000, sharpness=1.5, absent=1)
    rates, test = by_quapy(world, soft=False)
    ours = found_prior(world.adapt("bbse", solver="constrained"))
    assert abs(ours[-1] - world.prior[-1]) < 1e-7
    ledger.record(
        "BBSE on the simplex, prior, a class without hold-out image",
        "QuaPy",
        distance(ours, ACC.solve_adjustment(rates, test, "inversion", "minimize")),
        "neither, nothing is known: it takes that class for always recognised, we for as frequent"
        " as in training",
    )


def by_quapy(world: World, soft: bool) -> tuple[Array, Array]:
    """P(said k | is j) ``(C, C)``, and P_test(said k) ``(C,)``."""
    kinds, labels = np.arange(len(world.counts)), world.labels.numpy()
    said_held = said(world.held, soft)
    if soft:
        rates = PACC.getPteCondEstim(kinds, labels, said_held)
    else:
        rates = ACC.getPteCondEstim(kinds, labels, said_held.argmax(axis=1))
    return np.asarray(rates), said(world.test, soft).mean(axis=0)


def test_bbse_of_a_thousand_classes(ledger: Ledger) -> None:
    """Of probabilities: a table of decisions is singular, some class is never said."""
    world = random_world(1000, torch.float32, images=2000, held=4000, margin=6)
    ours = found_prior(world.adapt("bbse", soft=True))
    rates, test = by_quapy(world, soft=True)
    q = np.maximum(ACC.solve_adjustment(rates, test, "inversion", "exact-raise"), 0)
    ledger.record("BBSE prior, probabilities, 1,000 classes", "QuaPy", distance(ours, q / q.sum()))


def random_moments(classes: int, held: int, seed: int) -> Moments:
    """The first seed has no hold-out image of the last class."""
    options = {"images": 2000, "held": held, "seed": seed, "absent": int(seed == 0)}
    world = random_world(classes, sharpness=1.5, **options)
    table = said(world.held, True).T @ one_hot(world.labels, classes) / len(world.labels)
    return Moments(table, said(world.test, True).mean(axis=0), len(world.labels))


def objective(found: Moments, weights: Array, rho: float) -> float:
    theta = weights - 1
    gap = found.target - found.table.sum(axis=1)
    return float(np.linalg.norm(found.table @ theta - gap) + rho * np.linalg.norm(theta))


def by_cvxpy(found: Moments, rho: float, **options: Any) -> Array:
    theta = cvxpy.Variable(len(found.target))
    gap = found.target - found.table.sum(axis=1)
    loss = cvxpy.norm(found.table @ theta - gap) + rho * cvxpy.norm(theta)
    cvxpy.Problem(cvxpy.Minimize(loss), [theta >= -1]).solve(**options)
    return np.maximum(1 + np.asarray(theta.value), 0)


FIRST_ORDER = "we: it leaves SCS at its default accuracy; the smaller objective"
STRICT = {"solver": "CLARABEL", "tol_gap_abs": 1e-13, "tol_gap_rel": 1e-13, "tol_feas": 1e-13}


@pytest.mark.parametrize("classes", [2, 10, 100])
@pytest.mark.parametrize("held", [100, 4000])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("alpha", [0.01, 0.3])
def test_rlls(classes: int, held: int, seed: int, alpha: float, ledger: Ledger) -> None:
    found = random_moments(classes, held, seed)
    rho = deviation(classes, found.held, alpha, 0.05)
    ours = regularised(found, rho)
    values = {
        "ours": objective(found, ours, rho),
        "cvxpy": objective(found, by_cvxpy(found, rho, **STRICT), rho),
        "QuaPy": objective(found, quapy_rlls(found, rho), rho),
    }
    for peer, verdict in (("cvxpy", "equal; the smaller objective"), ("QuaPy", FIRST_ORDER)):
        off = {name: value - min(values.values()) for name, value in values.items()}
        ledger.record(
            "RLLS objective",
            peer,
            abs(values["ours"] - values[peer]),
            verdict,
            ours=off["ours"],
            theirs=off[peer],
        )


def quapy_rlls(found: Moments, rho: float) -> Array:
    said_held = found.table.sum(axis=1)
    return np.asarray(_rlls_compute_weights(found.table, found.target, said_held, rho, clip=True))
