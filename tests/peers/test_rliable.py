"""Interquartile mean and performance profiles against a transcription of rliable 1.2.0.

rliable needs a version of arch that does not install beside current pandas; its three functions
are transcribed from ``rliable/metrics.py`` and ``library.py`` (Apache License 2.0).
"""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from numpy.typing import NDArray

from ltbench.report.statistics.aggregate import iqm, profile

from .table import Ledger

Array = NDArray[np.float64]


def aggregate_iqm(scores: Array) -> float:
    """scores: (runs, tasks)."""
    return float(scipy.stats.trim_mean(scores, proportiontocut=0.25, axis=None))


def score_distributions(scores: Array, thresholds: Array) -> Array:
    return np.array([np.mean(scores > tau) for tau in thresholds])


def percentile_interval(scores: Array, repetitions: int) -> Array:
    """``StratifiedBootstrap`` over runs, each task on its own."""
    rng = np.random.RandomState(7)
    tasks = np.arange(scores.shape[1])[None]
    draws = [
        aggregate_iqm(scores[rng.choice(len(scores), scores.shape), tasks])
        for _ in range(repetitions)
    ]
    return np.asarray(np.percentile(draws, [2.5, 97.5]))


@pytest.mark.parametrize("runs", [3, 5, 10])
@pytest.mark.parametrize("tasks", [1, 4, 11])
def test_iqm_and_profile(runs: int, tasks: int, ledger: Ledger) -> None:
    """Where all settings have as many seeds: rliable knows no other case."""
    rng = np.random.default_rng(runs * tasks)
    scores = rng.uniform(20, 90, size=(1, tasks)) + 3 * rng.normal(size=(runs, tasks))
    settings = list(scores.T)
    found = iqm(settings)
    ledger.record("interquartile mean", "rliable", abs(found.value - aggregate_iqm(scores)))
    thresholds = np.concatenate([np.linspace(0, 100, 101), scores.ravel()])
    theirs = score_distributions(scores, thresholds)
    ledger.record(
        "performance profile",
        "rliable",
        float(np.abs(profile(settings, thresholds) - theirs).max()),
    )


def test_iqm_of_unequal_numbers_of_seeds(ledger: Ledger) -> None:
    """The peer knows no such case; it gets each run as often as makes the matrix full."""
    rng = np.random.default_rng(1)
    settings = [50 + 10 * rng.normal(size=runs) for runs in (1, 2, 3, 4, 6)]
    full = np.column_stack([np.repeat(values, 12 // len(values)) for values in settings])
    ledger.record(
        "interquartile mean, unequal numbers of seeds",
        "rliable",
        abs(iqm(settings).value - aggregate_iqm(full)),
    )


def test_bootstrap_interval(ledger: Ledger) -> None:
    rng = np.random.default_rng(0)
    scores = rng.uniform(20, 90, size=(1, 6)) + 3 * rng.normal(size=(5, 6))
    found = iqm(list(scores.T))
    assert found.low is not None
    assert found.high is not None
    theirs = percentile_interval(scores, 4000)
    width = theirs[1] - theirs[0]
    ledger.record(
        "ends of the interval of the interquartile mean, in its width",
        "rliable",
        float(np.abs(theirs - [found.low, found.high]).max() / width),
        "both: other random draws of the same bootstrap",
    )
