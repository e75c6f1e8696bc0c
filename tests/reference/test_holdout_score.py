"""Hold-out accuracy under another label distribution, against a loop and against drawing images."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from ltbench.evaluate.holdout_score import hits_per_class, score_under_priors

HELD = np.array([40.0, 20.0, 5.0, 1.0])
HITS = np.array([36.0, 12.0, 2.0, 1.0])


def test_hits_are_counted_per_class() -> None:
    labels = torch.tensor([0, 0, 1, 2, 2, 2])
    scores = torch.eye(4)[torch.tensor([0, 1, 1, 2, 2, 0])]
    assert hits_per_class(scores, labels).tolist() == [1, 1, 2, 0]


def test_it_is_the_prior_weighted_mean_of_recalls() -> None:
    priors = np.array([[0.7, 0.2, 0.08, 0.02], [0.25] * 4, [0, 0, 0.5, 0.5]])
    found = score_under_priors([HITS], HELD, priors)
    slow = [100 * sum(q[c] * HITS[c] / HELD[c] for c in range(4)) / sum(q) for q in priors]
    assert found.accuracies.tolist() == pytest.approx(slow)
    assert found.mean == pytest.approx(sum(slow) / 3)


def test_a_class_without_held_out_images_leaves_its_mass_to_the_others() -> None:
    held, hits = np.array([10.0, 0.0, 4.0]), np.array([9.0, 0.0, 1.0])
    priors = np.array([[0.2, 0.6, 0.2], [0.0, 1.0, 0.0]])
    found = score_under_priors([hits], held, priors)
    assert found.accuracies[0] == pytest.approx(100 * (0.5 * 0.9 + 0.5 * 0.25))
    assert math.isnan(found.accuracies[1])  # nothing there to be scored
    assert found.mean == pytest.approx(found.accuracies[0])


def test_seeds_are_averaged_and_do_not_lower_the_error_of_the_images() -> None:
    priors = np.array([[0.25] * 4])
    other = np.array([30.0, 14.0, 4.0, 0.0])
    both = score_under_priors([HITS, other], HELD, priors)
    singles = [score_under_priors([h], HELD, priors) for h in (HITS, other)]
    assert both.mean == pytest.approx((singles[0].mean + singles[1].mean) / 2)
    assert both.error > 0.8 * min(single.error for single in singles)


def test_the_error_is_the_spread_over_hold_outs() -> None:
    """Hold-outs of the same sizes, drawn again and again from known recalls."""
    rng = np.random.RandomState(0)
    held, recalls = np.array([60.0, 40.0, 20.0]), np.array([0.9, 0.6, 0.3])
    priors = np.array([[0.6, 0.3, 0.1], [1 / 3] * 3, [0.1, 0.3, 0.6]])
    drawn = [
        score_under_priors([rng.binomial(held.astype(int), recalls)], held, priors)
        for _ in range(2000)
    ]
    spread = np.std([score.mean for score in drawn])
    assert np.mean([score.error for score in drawn]) == pytest.approx(spread, rel=0.1)


def test_a_class_of_one_image_is_not_taken_for_certain() -> None:
    only = score_under_priors([np.array([1.0])], np.array([1.0]), np.array([[1.0]]))
    assert only.mean == 100
    assert only.error > 40
