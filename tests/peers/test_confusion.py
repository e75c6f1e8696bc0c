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

from .exact import one_hot
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

    said_held, said_test = said(world.held, soft), said(world.test, soft).mean(axis=0)
    labels, kinds = world.labels.numpy(), np.arange(classes)
    if soft:
        rates = PACC.getPteCondEstim(kinds, labels, said_held)
    else:
        rates = ACC.getPteCondEstim(kinds, labels, said_held.argmax(axis=1))
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
