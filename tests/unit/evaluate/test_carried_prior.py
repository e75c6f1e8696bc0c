"""Which images the carried prior is measured on, and what is told where there is none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from ltbench import get_method
from ltbench.evaluate.carried_prior import (
    MOST_IMAGES,
    carried_prior,
    held_out_sample,
    training_places,
    training_sample,
    unknown_prior,
)

GROUPS = {"many": [0], "medium": [1], "few": [2]}


def test_a_small_training_set_is_measured_whole() -> None:
    labels = np.array([0, 1, 1, 2] * (MOST_IMAGES // 4))
    places = training_places(labels, np.array([1, 0, 2]), seed=3)
    assert places.tolist() == list(range(MOST_IMAGES))


@pytest.mark.parametrize("classes", [7, 400])
def test_each_class_has_its_share_to_within_an_image(classes: int) -> None:
    """Also where classes are more than images are taken; the rank is not the number of the class."""
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.repeat(np.arange(classes), rng.integers(1, 40, classes)))
    rank = rng.permutation(classes)
    for seed in range(5):
        places = training_places(labels, rank, seed, most=100)
        assert len(set(places.tolist())) == 100
        assert sorted(places) == places.tolist()
        taken = np.bincount(labels[places], minlength=classes)
        share = np.bincount(labels, minlength=classes) * 100 / len(labels)
        assert np.abs(taken - share).max() < 1
        few = rank >= classes // 2  # any run of ranks, too
        assert abs(taken[few].sum() - share[few].sum()) < 1


def test_every_image_is_equally_likely() -> None:
    labels = np.repeat([0, 1, 2], [20, 9, 2])
    seeds = 3000
    taken = np.zeros(31)
    for seed in range(seeds):
        taken[training_places(labels, np.array([0, 1, 2]), seed, most=10)] += 1
    expected = seeds * 10 / 31
    assert np.abs(taken - expected).max() < 5 * np.sqrt(expected)


def test_the_sample_follows_from_the_seed_and_takes_nothing_from_the_global_generator() -> None:
    labels = np.repeat([0, 1], [5000, 100])
    rank = np.array([0, 1])
    before = torch.random.get_rng_state()
    first = training_places(labels, rank, seed=1)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert training_places(labels, rank, seed=1).tolist() == first.tolist()
    assert training_places(labels, rank, seed=2).tolist() != first.tolist()


def test_a_method_without_closed_form_is_told_so() -> None:
    counts = [40, 10, 1]
    assert unknown_prior(get_method("ride", counts)) == (
        "method 'ride' states neither bias nor posterior"
    )
    assert unknown_prior(get_method("sade", counts)) == ""
    assert unknown_prior(get_method("vs", counts)) == ""


def test_a_posterior_that_is_no_bias_is_taken_as_the_method_states_it() -> None:
    method = get_method("vs", [40, 10, 1])
    logits = torch.randn(6, 1, 3, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 0, 1, 1, 2, 2])
    block: Any = carried_prior(method, training_sample(logits, labels, method.counts), GROUPS)
    said = method.posterior(logits)
    assert said is not None
    expected = said.double().softmax(dim=2).mean(dim=(0, 1)) * 51 / method.counts
    assert list(block["mean"].values()) == pytest.approx(expected.tolist(), rel=1e-5)


def test_what_is_not_known_is_null() -> None:
    """A group without classes has no ratio; one held-out image of a group leaves no spread."""
    method = get_method("ce", [40, 10, 1])
    logits = torch.zeros(3, 1, 3)
    empty = {"many": [0], "medium": [1, 2], "few": []}
    alone = held_out_sample(logits, torch.tensor([0, 1, 2]), method.counts)
    block: Any = carried_prior(method, alone, empty)
    assert block["mean"]["few"] is None
    assert block["mean"]["many"] == pytest.approx(51 / 40 / 3, rel=1e-5)
    assert block["error"] == {"many": None, "medium": None, "few": None}
    whole = training_sample(torch.zeros(51, 1, 3), torch.zeros(51).long(), method.counts)
    assert carried_prior(method, whole, GROUPS)["error"] == dict.fromkeys(GROUPS, 0.0)
