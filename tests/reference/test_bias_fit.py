"""The fitted bias: planted ones are found, from hold-outs that are not distributed like training."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from ltbench.evaluate.bias_fit import (
    SPREAD_ABOUT_REFERENCE,
    SPREAD_ALONE,
    fit_bias,
)
from ltbench.labelshift.holdout import importance

C = 8
COUNTS = torch.tensor([2000, 1000, 500, 250, 120, 60, 30, 15])
LOG_PI = (COUNTS / COUNTS.sum()).double().log()


def world(held: Tensor, planted: Tensor, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Logits z = log P_train(y|x) - b ``(H, 1, C)`` and labels of Gaussian classes, exactly Bayes."""
    rng = torch.Generator().manual_seed(seed)
    centres = 0.9 * torch.randn(C, 5, generator=torch.Generator().manual_seed(99)).double()
    labels = torch.arange(C).repeat_interleave(held)
    points = centres[labels] + torch.randn(len(labels), 5, generator=rng).double()
    log_likelihood = -(torch.cdist(points, centres) ** 2) / 2
    posterior = (log_likelihood + LOG_PI).log_softmax(dim=1)
    return (posterior - planted)[:, None].float(), labels


def centred(bias: Tensor) -> Tensor:
    return bias.double() - bias.double().mean(dim=-1, keepdim=True)


def worst(found: Tensor, planted: Tensor) -> float:
    return (centred(found) - centred(planted)).abs().max().item()


UNLIKE_TRAINING = torch.tensor([150, 900, 400, 2500, 1200, 600, 1800, 1000])


@pytest.mark.parametrize(
    "planted",
    [
        pytest.param(torch.zeros(C).double(), id="none"),
        pytest.param(LOG_PI, id="balanced-softmax"),
        pytest.param(torch.linspace(1, -1, C).double().sin(), id="any"),
    ],
)
def test_a_planted_bias_is_found_and_without_weights_missed(planted: Tensor) -> None:
    logits, labels = world(UNLIKE_TRAINING, planted)
    fit = fit_bias(logits, labels, COUNTS, None)
    assert worst(fit.bias[0], planted) < 0.4
    missed = (centred(fit.bias[0]) - centred(planted)).abs()
    assert (missed < 3.5 * fit.error[0]).all()
    assert fit.kappa is None
    assert fit.kappa_error is None
    unweighted = fit_bias(logits, labels, torch.bincount(labels), None)
    assert worst(unweighted.bias[0], planted) > 1.5


def test_a_planted_share_of_the_reference_is_found() -> None:
    """Two experts: b = 0.3 r and b = 0.8 r, r = -log w of weights that spread over five nats."""
    reference = -torch.linspace(-2.5, 2.5, C).double()
    kappas = torch.tensor([0.3, 0.8])
    held = UNLIKE_TRAINING
    logits = torch.cat(
        [world(held, k * reference, seed)[0] for seed, k in enumerate(kappas)], dim=1
    )
    labels = torch.arange(C).repeat_interleave(held)
    fit = fit_bias(logits, labels, COUNTS, reference.expand(2, -1))
    assert fit.kappa is not None
    assert fit.kappa_error is not None
    assert fit.kappa.tolist() == pytest.approx(kappas.tolist(), abs=0.1)
    assert ((fit.kappa - kappas).abs() < 3 * fit.kappa_error).all()
    assert worst(fit.bias, kappas[:, None] * reference) < 0.4  # of five nats


def test_kappa_stays_between_0_and_1() -> None:
    reference = torch.linspace(2, -2, C).double()
    for share in (-1.0, 2.0):
        logits, labels = world(UNLIKE_TRAINING, share * reference)
        kappa = fit_bias(logits, labels, COUNTS, reference[None]).kappa
        assert kappa is not None
        assert kappa.item() == pytest.approx(min(max(share, 0.0), 1.0), abs=1e-6)


def slow_loss(
    logits: Tensor, labels: Tensor, reference: Tensor | None, kappa: float, delta: Tensor
) -> Tensor:
    """The objective in the order of its definition, image by image."""
    held = [int((labels == c).sum()) for c in range(C)]
    total = torch.zeros((), dtype=torch.float64)
    norm = sum(COUNTS[c].item() for c in range(C) if held[c])
    for z, y in zip(logits[:, 0].double(), labels.tolist(), strict=True):
        weight = (COUNTS[y].item() / norm) / (held[y] / len(labels))
        b = delta if reference is None else kappa * (reference - reference.mean()) + delta
        present = [c for c in range(C) if held[c]]
        log_sum = torch.logsumexp((z + b)[present], dim=0)
        total = total + weight * (log_sum - (z + b)[y])
    spread = SPREAD_ALONE if reference is None else SPREAD_ABOUT_REFERENCE
    return total + (delta**2).sum() / (2 * spread**2)


@pytest.mark.parametrize("with_reference", [False, True])
def test_it_is_the_minimum_of_the_objective_as_defined(with_reference: bool) -> None:
    """At the fit the slope of a slow transcription vanishes, also with a class without images."""
    held = torch.tensor([20, 9, 14, 3, 6, 1, 2, 0])
    reference = torch.linspace(1, -1, C).double() if with_reference else None
    logits, labels = world(held, 0.5 * torch.linspace(1, -1, C).double())
    fit = fit_bias(logits, labels, COUNTS, None if reference is None else reference[None])
    kappa = 0.0
    if reference is not None:
        assert fit.kappa is not None
        kappa = fit.kappa.item()
        assert 0 < kappa < 1
    scaled = 0.0 if reference is None else kappa * centred(reference)
    delta = (centred(fit.bias[0]) - scaled).requires_grad_()
    factor = torch.tensor(kappa, dtype=torch.float64, requires_grad=True)
    loss = slow_loss(logits, labels, reference, factor, delta)  # type: ignore[arg-type]
    loss.backward()  # type: ignore[no-untyped-call]
    assert delta.grad is not None
    assert delta.grad.abs().max().item() < 2e-3
    if reference is not None:
        assert factor.grad is not None
        assert abs(factor.grad.item()) < 2e-3
    assert delta[7].item() == pytest.approx(0, abs=1e-4)  # nothing is known of it


def test_weights_make_the_holdout_stand_for_training() -> None:
    labels = torch.tensor([0, 0, 0, 1, 2, 2])
    counts = torch.tensor([6, 3, 1, 4])  # class 3 has no held-out image
    found = importance(labels, counts)
    held, n = [3, 1, 2], len(labels)
    slow = [(counts[y].item() / 10) / (held[y] / n) for y in labels.tolist()]
    assert found.tolist() == pytest.approx(slow)
    assert found.mean().item() == pytest.approx(1)


def test_the_standard_error_is_the_spread_over_hold_outs() -> None:
    """60 independent hold-outs, delta as the penalty supposes it: the error that is told covers the
    error that is made, and is not far larger."""
    reference = torch.linspace(1.5, -1.5, C).double()
    held = torch.tensor([60, 50, 40, 40, 30, 30, 20, 20])
    fits = []
    for seed in range(60):
        delta = torch.randn(C, generator=torch.Generator().manual_seed(1000 + seed)).double()
        planted = 0.5 * reference + SPREAD_ABOUT_REFERENCE * delta
        fits.append(fit_bias(*world(held, planted, seed), COUNTS, reference[None]))
    kappas = np.array([f.kappa.item() for f in fits if f.kappa is not None])
    told = np.array([f.kappa_error.item() for f in fits if f.kappa_error is not None])
    assert len(kappas) == 60
    assert kappas.mean() == pytest.approx(0.5, abs=0.1)
    made = math.sqrt(((kappas - 0.5) ** 2).mean())
    assert 0.75 < told.mean() / made < 1.7
    assert all(f.error.min() > 0 and f.error.max() < math.inf for f in fits)


def test_almost_no_images_leave_kappa_unknown_and_say_so() -> None:
    logits, labels = world(torch.ones(C, dtype=torch.int64), torch.zeros(C).double())
    fit = fit_bias(logits, labels, COUNTS, torch.linspace(0.1, -0.1, C)[None])
    assert fit.kappa_error is not None
    assert 0.25 < fit.kappa_error.item() <= 12**-0.5 + 1e-6  # that of a uniform distribution


def test_the_names_of_the_classes_do_not_matter() -> None:
    order = torch.randperm(C, generator=torch.Generator().manual_seed(4))
    place = torch.argsort(order)
    reference = torch.linspace(1, -1, C).double()
    logits, labels = world(torch.full((C,), 30), 0.5 * reference)
    one = fit_bias(logits, labels, COUNTS, reference[None])
    other = fit_bias(logits[:, :, order], place[labels], COUNTS[order], reference[order][None])
    torch.testing.assert_close(other.bias[0], one.bias[0, order], atol=1e-4, rtol=0)
    torch.testing.assert_close(other.error[0], one.error[0, order], atol=1e-4, rtol=0)


def test_a_flat_reference_leaves_nothing_to_scale() -> None:
    logits, labels = world(torch.full((C,), 20), torch.zeros(C).double())
    fit = fit_bias(logits, labels, COUNTS, torch.full((1, C), 3.0))
    assert fit.kappa is None
    assert torch.isfinite(fit.bias).all()
    assert fit.bias.abs().max() < 0.5  # the strong prior of a reference holds
