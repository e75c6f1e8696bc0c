"""Calibration on the hold-out against abstention, judged by the slope of a convex objective."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from abstention.calibration import (
    TempScaling,
    do_regularized_tempscale_optimization,
    do_tempscale_optimization,
)
from quapy.method.aggregative import EMQ
from sklearn.base import BaseEstimator

from ltbench.labelshift.calibration import fit_bcts

from .exact import calibration_slope, one_hot
from .table import Ledger
from .worlds import DTYPES, Array, World, distance, found_prior, random_world, softmax

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


class Known(BaseEstimator):
    """A fitted classifier whose inputs are its posteriors."""

    def __init__(self, classes: int = 2) -> None:
        self.classes = classes
        self.classes_ = np.arange(classes)
        self.fitted_ = True

    def fit(self, inputs: Array, labels: Array) -> Known:
        return self

    def predict_proba(self, inputs: Array) -> Array:
        return inputs


@pytest.mark.parametrize("classes", [2, 10])
def test_bcts_em(classes: int, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a fitted classifier QuaPy's EMQ_BCTS refuses its own default of ``val_split``; the
    hold-out is handed over there."""
    world = hold_out(classes)
    ours = found_prior(world.adapt("bcts-em", map=1, penalty=0))
    held, labels = softmax(world.held), world.labels.numpy()
    with pytest.raises(AssertionError, match="fit_classifier"):
        EMQ.EMQ_BCTS(Known(classes), fit_classifier=False).fit(held, labels)
    quapy = EMQ.EMQ_BCTS(Known(classes), fit_classifier=False, val_split=(held, labels))
    quapy.fit(held, labels)
    monkeypatch.setattr(EMQ, "MAX_ITER", 4000)
    theirs = quapy.aggregate(softmax(world.test), epsilon=1e-12)
    ledger.record("BCTS and EM, prior", "QuaPy", distance(ours, theirs), FEW_EM)


FEW_EM = "we: its calibration is abstention's, which stops early (above)"


def test_abstention_runs_em_on_calibrated_posteriors_only_outside(ledger: Ledger) -> None:
    """With a ``calibrator_factory`` its EM reads uncalibrated posteriors beside a calibrated prior;
    it is handed posteriors that are calibrated already."""
    from abstention.label_shift import EMImbalanceAdapter

    world = hold_out(10)
    ours = found_prior(world.adapt("bcts-em", map=1, penalty=0))
    held, test, truth = softmax(world.held), softmax(world.test), one_hot(world.labels, 10)
    calibrate = TempScaling(bias_positions="all")
    limits = {"tolerance": 1e-12, "max_iterations": 4000}
    fitted = calibrate(held, truth, posterior_supplied=True)
    adapter = EMImbalanceAdapter(**limits)
    prior = fitted(held).mean(axis=0)
    theirs = adapter(fitted(test), fitted(held)).multipliers * prior
    ledger.record("BCTS and EM, prior", "abstention", distance(ours, theirs), FEW_EM)
    inside = EMImbalanceAdapter(calibrator_factory=calibrate, **limits)
    wrong = inside(test, held, truth).multipliers * prior
    ledger.record(
        "BCTS and EM, prior, calibrated inside its EM",
        "abstention",
        distance(ours, wrong),
        "we: its EM reads uncalibrated posteriors beside a calibrated prior (read in its code;"
        " calibrated outside it agrees)",
    )
