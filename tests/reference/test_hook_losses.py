"""Losses of methods that use the hooks of a step, against slow transcriptions in float64."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ltbench import get_method
from ltbench.method import Images, Method, Seen
from ltbench.mixing import beta
from tests.reference.test_losses import (
    CIFAR,
    UNEVEN,
    Array,
    cross_entropy,
    example,
    in_double,
    log_pi,
    log_softmax,
    slow_drw,
    slow_margins,
)


def slow_soft(rows: Array, targets: Array) -> float:
    """Mean over images of -sum_j t_j log softmax(z)_j."""
    total = 0.0
    for row, t in zip(rows, targets, strict=True):
        total -= sum(a * b for a, b in zip(t, log_softmax(list(row)), strict=True))
    return total / len(rows)


def slow_balpoe(z: Array, t: Array, counts: list[int], progress: float) -> float:
    """Three lambdas 1, 0, -1: biases 0, log pi, 2 log pi; the mean over experts."""
    return sum(slow_soft(z[0, :, e] + e * log_pi(counts), t) for e in range(3)) / 3


def slow_ldam_drw(z: Array, t: Array, counts: list[int], progress: float) -> float:
    y = t.argmax(axis=1).tolist()
    margins = slow_margins(counts)
    lowered = z[0, :, 0].copy()
    for i, target in enumerate(y):
        lowered[i, target] -= 30.0 * margins[target]
    return cross_entropy(lowered, y, slow_drw(counts) if progress >= 0.8 else None)


def slow_vs(z: Array, t: Array, counts: list[int], progress: float) -> float:
    scales = np.array([(n / max(counts)) ** 0.3 for n in counts])
    return cross_entropy(scales * z[0, :, 0] + log_pi(counts), t.argmax(axis=1).tolist())


def slow_sam(z: Array, t: Array, counts: list[int], progress: float) -> float:
    return cross_entropy(z[0, :, 0] + log_pi(counts), t.argmax(axis=1).tolist())


def slow_crt(z: Array, t: Array, counts: list[int], progress: float) -> float:
    return cross_entropy(z[0, :, 0], t.argmax(axis=1).tolist())


def slow_mdcs(z: Array, t: Array, counts: list[int], progress: float) -> float:
    y = t.argmax(axis=1).tolist()
    total = 0.0
    for e, power in enumerate((-0.5, 1.0, 2.5)):
        shift = np.array([power * math.log(n) for n in counts])
        weak, strong = z[0, :, e] + shift, z[1, :, e] + shift
        total += (cross_entropy(weak, y) + cross_entropy(strong, y)) / 2
        apart, right = 0.0, 0
        for i, target in enumerate(y):
            if int(np.argmax(weak[i])) != target:
                continue
            p, q = log_softmax(list(weak[i])), log_softmax(list(strong[i]))
            apart += sum(math.exp(a) * (a - b) for a, b in zip(p, q, strict=True))
            right += 1
        total += 0.6 * min(progress / 0.05, 1.0) * apart / max(right, 1)
    return total


SLOW: list[tuple[str, int, int, bool, Callable[..., float]]] = [
    ("balpoe", 3, 1, True, slow_balpoe),
    ("balpoe", 3, 1, False, slow_balpoe),
    ("ldam-drw", 1, 1, False, slow_ldam_drw),
    ("vs", 1, 1, False, slow_vs),
    ("sam", 1, 1, False, slow_sam),
    ("crt", 1, 1, False, slow_crt),
    ("mdcs", 3, 2, False, slow_mdcs),
]


def seen(logits: Tensor, targets: Tensor, progress: float) -> Seen:
    features = torch.zeros(*logits.shape[:3], 4)
    return Seen(logits, features, targets, torch.arange(len(targets)), "train", progress)


def step(counts: list[int], experts: int, views: int, soft: bool, batch: int = 9) -> Any:
    """Logits ``(V, B, E, C)``, some of them right, targets as the loss gets them, and ``(B, C)``."""
    several = [example(counts, experts, batch, seed=v)[0] for v in range(views)]
    targets = example(counts, experts, batch)[1]
    hot = torch.nn.functional.one_hot(targets, len(counts)).float()
    logits = torch.stack(several) + 4 * hot[:, None] * (torch.arange(batch) % 2)[:, None, None]
    mixed = 0.7 * hot + 0.3 * hot.flip(0)
    return logits, mixed if soft else targets, mixed if soft else hot


@pytest.mark.parametrize("counts", [CIFAR, UNEVEN], ids=["cifar", "uneven"])
@pytest.mark.parametrize(("name", "experts", "views", "soft", "slow"), SLOW)
@pytest.mark.parametrize("progress", [0.0, 0.02, 0.5, 0.9])
def test_objective_equals_the_slow_one(
    name: str,
    experts: int,
    views: int,
    soft: bool,
    slow: Callable[..., float],
    counts: list[int],
    progress: float,
) -> None:
    logits, targets, rows = step(counts, experts, views, soft)
    method = get_method(name, counts)
    expected = slow(logits.double().numpy(), rows.double().numpy(), counts, progress)
    found = method.objective(seen(logits, targets, progress)).item()
    assert found == pytest.approx(expected, rel=3e-5)


@pytest.mark.parametrize(("name", "experts", "views", "soft", "slow"), SLOW)
@pytest.mark.parametrize("progress", [0.01, 0.9])
def test_gradient_equals_finite_differences_of_the_slow_one(
    name: str, experts: int, views: int, soft: bool, slow: Callable[..., float], progress: float
) -> None:
    """MDCS' weak view teaches without gradient: there its slope is that of cross-entropy alone."""
    logits, targets, rows = step(UNEVEN, experts, views, soft, batch=3)
    point = (logits.double() / 2).requires_grad_()
    method = in_double(get_method(name, UNEVEN))
    given = targets.double() if soft else targets
    (slope,) = torch.autograd.grad(method.objective(seen(point, given, progress)), point)
    at, t, small = point.detach().numpy(), rows.double().numpy(), 1e-5
    for where in np.ndindex(at.shape):
        if name == "mdcs" and where[0] == 0:
            continue
        up, down = at.copy(), at.copy()
        up[where] += small
        down[where] -= small
        expected = (slow(up, t, UNEVEN, progress) - slow(down, t, UNEVEN, progress)) / (2 * small)
        assert slope[where].item() == pytest.approx(expected, abs=2e-6), where


def test_mdcs_weak_view_has_the_slope_of_cross_entropy_alone() -> None:
    logits, targets, _ = step(UNEVEN, 3, 2, False)
    point = logits.clone().requires_grad_()
    slopes = [
        torch.autograd.grad(
            get_method("mdcs", UNEVEN, distillation=d).objective(seen(point, targets, 0.9)), point
        )[0]
        for d in (0.0, 0.6)
    ]
    torch.testing.assert_close(slopes[0][0], slopes[1][0])
    assert not torch.allclose(slopes[0][1], slopes[1][1])


def test_mixup_mixes_images_and_labels_by_one_weight() -> None:
    method = get_method("balpoe", UNEVEN)
    rng = torch.Generator().manual_seed(0)
    pixels, targets = torch.randn(4, 3, 2, 2, generator=rng), torch.tensor([0, 1, 4, 2])
    first = Images(pixels, targets)
    draws = method.draw(4, progress=0.0, rng=rng)
    mixed = method.mix(first, first, draws)
    w, partner = draws[0].item(), draws[1].tolist()
    for i, j in enumerate(partner):
        torch.testing.assert_close(mixed.pixels[i], w * pixels[i] + (1 - w) * pixels[j])
        row = [0.0] * 5
        row[int(targets[i])] += w
        row[int(targets[j])] += 1 - w
        torch.testing.assert_close(mixed.targets[i], torch.tensor(row))
    plain = get_method("balpoe", UNEVEN, alpha=0)
    assert plain.mix(first, first, plain.draw(4, progress=0.0, rng=rng)) is first


@pytest.mark.parametrize("alpha", [0.2, 0.4, 1.0, 3.0])
def test_beta_has_the_moments_of_the_distribution(alpha: float) -> None:
    """Mean 1/2, variance 1 / (4 (2 a + 1))."""
    drawn = beta(alpha, 40_000, torch.Generator().manual_seed(1)).double()
    assert drawn.mean().item() == pytest.approx(0.5, abs=0.01)
    assert drawn.var().item() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.03)


def test_sam_steps_with_the_slope_of_the_worst_point_nearby() -> None:
    """On f(w) = sum a w^2 / 2: the slope at w + rho g / |g|, g = a w, taken from w."""
    method = get_method("sam", UNEVEN, rho=0.2)
    a = torch.tensor([1.0, 4.0, 9.0])
    w = torch.nn.Parameter(torch.tensor([1.0, -2.0, 0.5]))
    idle = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([w, idle], lr=0.1)
    start = w.detach().clone()

    def descend() -> Tensor:
        optimizer.zero_grad()
        loss = 0.5 * (a * w * w).sum()
        loss.backward()
        return loss.detach()

    loss = method.advance(descend, optimizer)
    slope = a * start
    expected = start - 0.1 * a * (start + 0.2 * slope / slope.norm())
    assert loss.item() == pytest.approx(0.5 * (a * start * start).sum().item())
    torch.testing.assert_close(w.detach(), expected)
    assert torch.equal(idle.detach(), torch.ones(2))


def test_vs_posterior_is_what_its_loss_compares() -> None:
    method: Method[Any] = get_method("vs", UNEVEN, gamma=0.2, tau=1.2)
    logits, targets = example(UNEVEN, 1)
    said = method.posterior(logits)
    assert said is not None
    expected = -said[:, 0].log_softmax(1).gather(1, targets[:, None]).mean()
    torch.testing.assert_close(method.loss(logits, targets, progress=0.0), expected)
