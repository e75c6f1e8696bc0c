"""What is solved together must end where each would end alone."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import scipy.optimize
import torch
from torch import Tensor

from ltbench.labelshift import nonnegative
from ltbench.labelshift.blocks import row_blocks
from ltbench.labelshift.confusion import Moments, regularised
from ltbench.labelshift.em import em, em_each
from ltbench.labelshift.newton import Local, maximise
from ltbench.labelshift.nonnegative import TowardsOne
from ltbench.labelshift.selection import choose
from ltbench.labelshift.tilt import fit_tilt, fit_tilts

Array = np.ndarray[Any, np.dtype[np.float64]]
RIDGES = [1e-13, 1e-9, 1e-5, 1e-3, 0.1, 100.0]


def likelihood_table(n: int, classes: int = 6, seed: int = 0) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    scores = 2 * torch.randn(n, classes, generator=rng, dtype=torch.float64)
    return (scores - scores.amax(dim=1, keepdim=True)).exp()


def confusion_table(seed: int, classes: int) -> tuple[Array, Array]:
    """Some classes are never said and some were not held out."""
    rng = np.random.default_rng(seed)
    table = 0.6 * np.diag(rng.dirichlet(np.ones(classes)))
    table += 0.4 * rng.dirichlet(np.full(classes**2, 0.3)).reshape(classes, classes)
    if seed % 3 == 1:
        table[:, : classes // 4] = 0
    if seed % 3 == 2:
        table[: classes // 4] = 0
    return table, rng.dirichlet(np.full(classes, 0.5))


def by_nnls(table: Array, target: Array, ridge: float) -> Array:
    classes = table.shape[1]
    stacked = np.vstack([table, ridge**0.5 * np.eye(classes)])
    right = np.concatenate([target, np.full(classes, ridge**0.5)])
    return np.asarray(scipy.optimize.nnls(stacked, right)[0])


@pytest.mark.parametrize("classes", [2, 9, 60])
@pytest.mark.parametrize("seed", range(6))
def test_pivoting_ends_where_scipys_nnls_ends(seed: int, classes: int) -> None:
    """In any order of the ridges, for each starts where the one before ended."""
    table, target = confusion_table(seed, classes)
    solver = TowardsOne(table, target)
    for ridge in [*RIDGES, *RIDGES[::-1], RIDGES[3]]:
        found, slow = solver(math.log(ridge)), by_nnls(table, target, ridge)
        assert found.min() >= 0
        np.testing.assert_allclose(found, slow, atol=1e-8 * max(1, slow.max()))


def test_pivoting_alone_answers_and_many_classes_end_at_zero(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table, target = confusion_table(0, 60)
    monkeypatch.setattr(TowardsOne, "_slow", lambda *_: pytest.fail("pivoting did not end"))
    assert (TowardsOne(table, target)(-21.0) == 0).sum() > 10


def test_ridges_halfway_help_where_the_exchanges_do_not_settle(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without patience the step from where all are free to the smallest ridge is too long."""
    table, target = confusion_table(2, 60)
    monkeypatch.setattr(nonnegative, "PATIENCE", 0)
    monkeypatch.setattr(TowardsOne, "_slow", lambda *_: pytest.fail("pivoting did not end"))
    tried = spied(monkeypatch)
    found = TowardsOne(table, target)(-27.0)
    assert len(tried) > 1
    np.testing.assert_allclose(found, by_nnls(table, target, math.exp(-27.0)), atol=1e-7)


def spied(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The ridges that pivoting is asked for."""
    tried: list[float] = []
    plain = TowardsOne._pivoted

    def spy(self: TowardsOne, ridge: float) -> Array | None:
        tried.append(ridge)
        return plain(self, ridge)

    monkeypatch.setattr(TowardsOne, "_pivoted", spy)
    return tried


def test_where_pivots_do_not_end_scipys_nnls_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    table, target = confusion_table(4, 12)
    expected = regularised(Moments(table, target, 100), 0.01)
    monkeypatch.setattr(TowardsOne, "_pivoted", lambda *_: None)
    np.testing.assert_allclose(regularised(Moments(table, target, 100), 0.01), expected, atol=1e-5)


def test_nothing_is_carried_from_one_call_to_the_next() -> None:
    first, second = (Moments(*confusion_table(seed, 30), 100) for seed in (0, 3))
    alone = regularised(first, 0.01)
    regularised(second, 0.01)
    assert np.array_equal(regularised(first, 0.01), alone)


def test_blocks_hold_every_row_once() -> None:
    for shape in [(0, 5), (1, 5), (33, 2**14), (50, 2**20)]:
        rows = torch.cat(
            [torch.arange(shape[0])[part] for part in row_blocks(torch.empty(shape))]
            or [torch.arange(0)]
        )
        assert rows.tolist() == list(range(shape[0]))


@pytest.mark.parametrize("iterations", [3, 40, 1000])
def test_em_together_is_em_alone(iterations: int) -> None:
    """Against the plain equations; some have ended and some have not."""
    u, start = likelihood_table(200), torch.full((6,), 1 / 6).double()
    pseudo = torch.tensor([100.0, 5.0, 0.0])[:, None] * torch.linspace(0.5, 1.5, 6).double()
    together = em_each(u, start, pseudo, iterations=iterations)
    for added, found in zip(pseudo, together, strict=True):
        q, moved, done = start.numpy(), 1.0, 0
        while moved > 1e-6 and done < iterations:
            r = u.numpy() * q
            new = ((r / r.sum(1, keepdims=True)).sum(0) + added.numpy()) / (
                200 + added.sum().item()
            )
            moved, q, done = np.abs(new - q).max(), new, done + 1
        np.testing.assert_allclose(found.prior, q, atol=1e-12)
        assert (found.iterations, found.converged) == (done, moved <= 1e-6)
        alone = em(u, start, added, iterations=iterations)
        assert alone.iterations == found.iterations
        np.testing.assert_allclose(found.prior, alone.prior, atol=1e-13)


@pytest.mark.parametrize("degree", [1, 3])
def test_tilts_together_are_tilts_alone(degree: int) -> None:
    u, h = likelihood_table(150, seed=3), torch.linspace(1.5, -1.5, 6).double()
    features = torch.stack([h**k for k in range(1, degree + 1)])
    weights = torch.rand(5, 150, generator=torch.Generator().manual_seed(0)).double()
    together = fit_tilts(u, features, 3.0, weights)
    for row, found in zip(weights, together, strict=True):
        alone = fit_tilt(u, features, 3.0, row)
        np.testing.assert_allclose(found.exponents, alone.exponents, atol=1e-9)


def test_the_maximum_of_a_tilt_has_no_slope() -> None:
    u, h = likelihood_table(150, seed=3), torch.linspace(1.5, -1.5, 6).double()
    features = h[None]
    a = fit_tilt(u, features, 2.0).exponents.requires_grad_()
    q = (a @ features).softmax(dim=0)
    ((u @ q).log().sum() - a.square().sum() / 8).backward()
    assert a.grad is not None
    assert a.grad.abs().max().item() < 1e-9 * len(u)


def test_every_start_climbs_to_its_own_maximum_where_the_function_is_not_concave() -> None:
    """cos has maxima at multiples of 2 pi and the wrong curvature on half the way."""

    def cosine(x: Tensor, numbers: Tensor) -> Local:
        return Local(x.cos(), -x.sin(), -x.cos())

    points, values = maximise(cosine, torch.tensor([1.0, 2.5, 4.0, 0.0]).double())
    turns = points / (2 * torch.pi)
    np.testing.assert_allclose(turns, turns.round(), atol=1e-8)
    np.testing.assert_allclose(values, 1.0)


def test_what_is_no_number_stays_none() -> None:
    u = likelihood_table(20)
    u[3, 2] = float("nan")
    assert fit_tilt(u, torch.linspace(1, -1, 6).double()[None], 3.0).exponents.isnan().all()


def test_priors_found_together_are_counted_as_if_found_one_by_one() -> None:
    u = likelihood_table(41)
    priors = torch.rand(4, 6, generator=torch.Generator().manual_seed(1)).double()
    priors /= priors.sum(dim=1, keepdim=True)
    apart = choose(u, [lambda _, q=q: q for q in priors], torch.Generator().manual_seed(0))
    mixed = [lambda _: priors[0], lambda _: priors[1:]]
    together = choose(u, mixed, torch.Generator().manual_seed(0))
    assert together.index == apart.index
    assert together.gains == pytest.approx(apart.gains)
