"""What strategies on stored logits must not depend on: class names, image order, offsets, dead classes."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ltbench import get_method, get_strategy
from ltbench.labelshift.em import em
from ltbench.labelshift.holdout import weights_for
from ltbench.strategy import Adapted, OptimizerSettings, Source, UnlabelledTest

ROWS: list[tuple[str, dict[str, Any]]] = [
    ("em", {}),
    ("em", {"map": 1.0}),
    ("bcts-em", {}),
    ("bbse", {}),
    ("bbse", {"soft": True, "classifier": "uniform"}),
    ("rlls", {}),
    ("tilt", {"degree": 1, "fallback": False}),
    ("tilt", {"degree": 2, "fallback": False}),
    ("tilt", {"degree": 2, "fallback": True}),
    ("tilt-holdout", {}),
]
COUNTS = torch.tensor([60, 35, 21, 9, 3])
HELD = torch.arange(5).repeat_interleave(torch.tensor([8, 5, 3, 2, 1]))
worlds = st.tuples(st.integers(0, 10_000), st.integers(1, 60), st.sampled_from(["ce", "sade"]))
few = settings(max_examples=10, deadline=None)


def logits(labels: Tensor, experts: int, rng: torch.Generator) -> Tensor:
    noise = torch.randn(len(labels), experts, 5, generator=rng)
    return noise + 2 * torch.eye(5)[labels][:, None]


def world(seed: int, size: int, method: str) -> tuple[Tensor, Tensor]:
    """Test logits and hold-out logits of skilled experts."""
    rng = torch.Generator().manual_seed(seed)
    experts = get_method(method, COUNTS).architecture().experts
    prior = torch.rand(5, generator=rng) + 0.02
    labels = torch.multinomial(prior, size, True, generator=rng)
    return logits(labels, experts, rng), logits(HELD, experts, rng)


def adapt(
    row: tuple[str, dict[str, Any]],
    method: str,
    test: Tensor,
    held: Tensor,
    bias: Tensor | None = None,
    counts: Tensor = COUNTS,
    labels: Tensor = HELD,
) -> Adapted:
    built = get_method(method, counts)
    strategy = get_strategy(row[0], **row[1])
    with_holdout = "holdout" in strategy.needs
    source = Source(
        built,
        built.bias() if bias is None else bias,
        "closed-form",
        OptimizerSettings(0.1, 0.9, True, 5e-4),
        holdout_logits=held if with_holdout else None,
        holdout_labels=labels if with_holdout else None,
    )
    return strategy.adapt(UnlabelledTest(test), source, torch.Generator().manual_seed(1))


def assert_same_scores(one: Tensor, two: Tensor) -> None:
    """Up to a constant per image; classes that are ruled out agree too."""
    torch.testing.assert_close(
        one.double().softmax(1), two.double().softmax(1), atol=2e-3, rtol=2e-3
    )


@pytest.mark.parametrize("row", ROWS, ids=str)
@given(drawn=worlds, order=st.permutations(range(5)))
@few
def test_renamed_classes_get_the_same_scores(
    row: tuple[str, dict[str, Any]], drawn: tuple[int, int, str], order: list[int]
) -> None:
    test, held = world(*drawn)
    method = drawn[2]
    names = torch.tensor(order)  # new class k is old class names[k]
    renamed = torch.argsort(names)[HELD]
    bias = get_method(method, COUNTS).bias()
    assert bias is not None
    straight = adapt(row, method, test, held)
    mixed = adapt(
        row, method, test[..., names], held[..., names], bias[:, names], COUNTS[names], renamed
    )
    assert_same_scores(mixed.logits, straight.logits[:, names])


@pytest.mark.parametrize("row", [r for r in ROWS if not r[1].get("fallback")], ids=str)
@given(drawn=worlds, shuffle=st.integers(0, 1000))
@few
def test_images_in_another_order_get_the_same_scores(
    row: tuple[str, dict[str, Any]], drawn: tuple[int, int, str], shuffle: int
) -> None:
    test, held = world(*drawn)
    order = torch.randperm(len(test), generator=torch.Generator().manual_seed(shuffle))
    straight, mixed = (adapt(row, drawn[2], t, held) for t in (test, test[order]))
    assert_same_scores(mixed.logits, straight.logits[order])


@pytest.mark.parametrize("row", ROWS, ids=str)
@given(drawn=worlds, offset=st.floats(-20, 20))
@few
def test_a_constant_added_to_an_experts_logits_does_nothing(
    row: tuple[str, dict[str, Any]], drawn: tuple[int, int, str], offset: float
) -> None:
    test, held = world(*drawn)
    straight = adapt(row, drawn[2], test, held)
    moved = adapt(row, drawn[2], test + offset, held)
    assert_same_scores(moved.logits, straight.logits)


@pytest.mark.parametrize("row", ROWS, ids=str)
@given(drawn=worlds, dead=st.integers(0, 4), size=st.floats(5, 200))
@few
def test_certain_experts_and_absent_classes_give_finite_scores(
    row: tuple[str, dict[str, Any]], drawn: tuple[int, int, str], dead: int, size: float
) -> None:
    """Logits up to hundreds, and a class that no image looks like."""
    test, held = world(*drawn)
    test = size * test
    test[..., dead] -= 10 * size
    adapted = adapt(row, drawn[2], test, held)
    assert not torch.isnan(adapted.logits).any()
    assert torch.isfinite(adapted.logits.amax(1)).all()
    assert adapted.prior is not None
    assert (adapted.prior >= 0).all()
    assert adapted.prior.sum().item() == pytest.approx(1)


@given(drawn=worlds, pseudo=st.floats(0, 5))
@few
def test_em_never_lowers_its_objective(drawn: tuple[int, int, str], pseudo: float) -> None:
    u = world(*drawn)[0][:, 0].double().softmax(1)

    def objective(q: Tensor) -> float:
        return float((u @ q).log().sum() + pseudo * q.clamp_min(1e-300).log().sum())

    start = torch.tensor([0.5, 0.2, 0.1, 0.1, 0.1]).double()
    path = [em(u, start, pseudo, tolerance=0, iterations=k).prior for k in (1, 2, 5, 20)]
    values = [objective(q) for q in (start, *path)]
    assert all(b >= a - 1e-9 * abs(a) for a, b in pairwise(values))


@given(st.lists(st.floats(0.01, 1), min_size=5, max_size=5))
@few
def test_weighted_hold_outs_stand_for_the_prior(raw: list[float]) -> None:
    prior = torch.tensor(raw).double()
    weights = weights_for(HELD, prior)
    totals = torch.zeros(5).double().index_add(0, HELD, weights)
    torch.testing.assert_close(totals / len(HELD), prior / prior.sum())
