"""Calibration on the hold-out against abstention, judged by the slope of a convex objective."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from abstention.calibration import (
    TempScaling,
    VectorScaling,
    do_regularized_tempscale_optimization,
    do_tempscale_optimization,
)
from abstention.label_shift import EMImbalanceAdapter
from quapy.method.aggregative import EMQ

from ltbench.labelshift.calibration import fit_bcts, fit_temperature, fit_vector

from .exact import calibration_slope, one_hot
from .table import Ledger
from .worlds import DTYPES, Array, Known, World, distance, found_prior, random_world, softmax

FEW = "we: it stops when a step gains little; the slope of the objective in long double"
MANY = "we: it does not leave its start; the slope of the objective in long double"


def hold_out(classes: int, dtype: torch.dtype = torch.float64) -> World:
    return random_world(classes, dtype, images=2000, held=3000, sharpness=0.8)


@pytest.mark.parametrize("classes", [2, 10, 100])
@pytest.mark.parametrize("penalty", [0.0, 1e-3, 0.1])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_bcts(classes: int, penalty: float, dtype: torch.dtype, ledger: Ledger) -> None:
    """On a hold-out distributed like the training set: the peer has no weights."""
    world = hold_out(classes, dtype)
    weights = torch.ones(len(world.labels), dtype=torch.float64)
    ours = fit_bcts(world.held, world.labels, weights, penalty)
    truth, logits = one_hot(world.labels, classes), world.held.double().numpy()
    if penalty:
        t, beta = do_regularized_tempscale_optimization(truth, logits, penalty, False, {})
    else:
        t, beta = do_tempscale_optimization(truth, logits, "all", False, {})
    mine = np.array([ours.inverse_temperature]), np.asarray(ours.shift.numpy())
    theirs = np.array([1 / t]), np.asarray(beta)
    slopes = [
        calibration_slope(world.held, world.labels, *found, penalty) for found in (mine, theirs)
    ]
    centred = theirs[1] - theirs[1].mean()
    off = max(distance(mine[0], theirs[0]), distance(mine[1], centred))
    assert slopes[0] < 1e-6
    ledger.record(
        f"BCTS 1/T and biases, {'100' if classes == 100 else '2 and 10'} classes",
        "abstention",
        off,
        MANY if classes == 100 else FEW,
        ours=slopes[0],
        theirs=slopes[1],
    )


@pytest.mark.parametrize("classes", [2, 10])
def test_bcts_em(classes: int, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a fitted classifier QuaPy's EMQ_BCTS refuses its own default of ``val_split``; the
    hold-out is handed over there."""
    world = hold_out(classes)
    ours = found_prior(world.adapt("bcts-mlls"))
    held, labels = softmax(world.held), world.labels.numpy()
    with pytest.raises(AssertionError, match="fit_classifier"):
        EMQ.EMQ_BCTS(Known(classes), fit_classifier=False).fit(held, labels)
    quapy = EMQ.EMQ_BCTS(Known(classes), fit_classifier=False, val_split=(held, labels))
    quapy.fit(held, labels)
    monkeypatch.setattr(EMQ, "MAX_ITER", 4000)
    theirs = quapy.aggregate(softmax(world.test), epsilon=1e-12)
    ledger.record("BCTS-MLLS prior", "QuaPy", distance(ours, theirs), FEW_EM)


FEW_EM = "we: its calibration is abstention's, which stops early (above)"


def test_abstention_runs_em_on_calibrated_posteriors_only_outside(ledger: Ledger) -> None:
    """With a ``calibrator_factory`` its EM reads uncalibrated posteriors beside a calibrated prior;
    it is handed posteriors that are calibrated already."""
    world = hold_out(10)
    ours = found_prior(world.adapt("bcts-mlls"))
    held, test, truth = softmax(world.held), softmax(world.test), one_hot(world.labels, 10)
    calibrate = TempScaling(bias_positions="all")
    limits = {"tolerance": 1e-12, "max_iterations": 4000}
    fitted = calibrate(held, truth, posterior_supplied=True)
    adapter = EMImbalanceAdapter(**limits)
    prior = fitted(held).mean(axis=0)
    theirs = adapter(fitted(test), fitted(held)).multipliers * prior
    ledger.record("BCTS-MLLS prior", "abstention", distance(ours, theirs), FEW_EM)
    inside = EMImbalanceAdapter(calibrator_factory=calibrate, **limits)
    wrong = inside(test, held, truth).multipliers * prior
    ledger.record(
        "BCTS-MLLS prior, calibrated inside its EM",
        "abstention",
        distance(ours, wrong),
        "we: its EM reads uncalibrated posteriors beside a calibrated prior (read in its code;"
        " calibrated outside it agrees)",
    )


def by_abstention(world: World) -> Array:
    """Calibrated outside its EM, limits lifted."""
    held, test = softmax(world.held), softmax(world.test)
    truth = one_hot(world.labels, len(world.counts))
    fitted = TempScaling(bias_positions="all")(held, truth, posterior_supplied=True)
    adapter = EMImbalanceAdapter(tolerance=1e-12, max_iterations=4000)
    return np.asarray(adapter(fitted(test), fitted(held)).multipliers * fitted(held).mean(axis=0))


IN_NOISE = "neither; the labels of ten test sets"
PEER_NEARER = (
    "it: its bias of that class falls, its source prior with it, and EM reads their ratio, which has"
    " a limit; our bias 0 is a guess; the labels of ten test sets"
)


@pytest.mark.parametrize(("held", "verdict"), [(300, IN_NOISE), (3000, PEER_NEARER)])
def test_bcts_mlls_without_hold_out_images_of_a_class(
    held: int, verdict: str, ledger: Ledger
) -> None:
    """Judged by the labels of the test set, on the mean of ten sets: nothing else knows that class.

    Unpenalised, the peer's bias of that class falls until the fit stops. Its source prior, the mean of
    the posteriors, falls with it, and their ratio, all that EM reads, has a limit.
    """
    off: dict[str, list[float]] = {"between": [], "ours": [], "theirs": []}
    for seed in range(10):
        world = random_world(10, images=2000, held=held, absent=1, seed=seed)
        assert world.truth is not None
        drawn = np.bincount(world.truth.numpy(), minlength=10) / len(world.truth)
        ours, theirs = found_prior(world.adapt("bcts-mlls")), by_abstention(world)
        off["between"].append(distance(ours, theirs))
        off["ours"].append(distance(ours, drawn))
        off["theirs"].append(distance(theirs, drawn))
    means = {name: float(np.mean(values)) for name, values in off.items()}
    ledger.record(
        f"BCTS-MLLS prior, a class without hold-out image, {held:,} others",
        "abstention",
        means["between"],
        verdict,
        ours=means["ours"],
        theirs=means["theirs"],
    )


@pytest.mark.parametrize("classes", [2, 10])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_temperature(classes: int, dtype: torch.dtype, ledger: Ledger) -> None:
    world = hold_out(classes, dtype)
    weights = torch.ones(len(world.labels), dtype=torch.float64)
    ours = np.array([fit_temperature(world.held, world.labels, weights).inverse_temperature])
    truth, logits = one_hot(world.labels, classes), world.held.double().numpy()
    t, _ = do_tempscale_optimization(truth, logits, [], False, {})
    still = np.zeros(classes)
    slopes = [
        calibration_slope(world.held, world.labels, found, still, only_scale=True)
        for found in (ours, np.array([1 / t]))
    ]
    ledger.record(
        "temperature, 1/T, 2 and 10 classes",
        "abstention",
        distance(ours, np.array([1 / t])),
        FEW,
        ours=slopes[0],
        theirs=slopes[1],
    )


def test_temperature_of_a_hundred_classes() -> None:
    """The peer tries T = 0, divides by it and gives up; ours is at the minimum."""
    world = hold_out(100)
    weights = torch.ones(len(world.labels), dtype=torch.float64)
    truth = one_hot(world.labels, 100)
    with pytest.raises(AssertionError, match="nan"):
        do_tempscale_optimization(truth, world.held.numpy(), [], False, {})
    ours = np.array([fit_temperature(world.held, world.labels, weights).inverse_temperature])
    still = np.zeros(100)
    assert calibration_slope(world.held, world.labels, ours, still, only_scale=True) < 1e-6


@pytest.mark.parametrize(
    ("classes", "dtype"),
    [(c, d) for c in (2, 10) for d in DTYPES] + [(100, torch.float32)],
    ids=str,
)
def test_vector(classes: int, dtype: torch.dtype, ledger: Ledger) -> None:
    """Without penalty: the peer has none. Slopes and biases are not unique (of two classes only
    a_1 l_1 - a_2 l_2 counts), hence the mean NLL of the hold-out is compared."""
    world = random_world(classes, dtype, held=1000, sharpness=0.8)
    weights = torch.ones(len(world.labels), dtype=torch.float64)
    scores = world.held.double().log_softmax(dim=1)
    ours = fit_vector(world.held, world.labels, weights, 0.0)
    truth = one_hot(world.labels, classes)
    theirs = torch.from_numpy(VectorScaling()(scores.numpy(), truth)(scores.numpy())).log()
    losses = [
        torch.nn.functional.nll_loss(log_p, world.labels).item()
        for log_p in (ours(world.held), theirs)
    ]
    gap = abs(losses[0] - losses[1])
    if classes == 100:
        assert not ours.converged
        ledger.record("vector scaling, mean NLL, 100 classes", "abstention", gap, ENDLESS)
        return
    ledger.record(
        "vector scaling, mean NLL, 2 and 10 classes",
        "abstention",
        gap,
        "we: it stops when a step gains little; the smaller mean NLL",
        ours=losses[0] - min(losses),
        theirs=losses[1] - min(losses),
    )


ENDLESS = (
    "neither: unpenalised slopes of rare classes grow on; ours stops after 2,000 steps and says so"
)
