"""What a method says of the prior that its logits carry is what its loss and its sampler lead to."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ltbench.contract.method_case import PROGRESS, MethodCase, differ, loss_of
from ltbench.contract.shown import phase_at
from ltbench.contract.unmet import require
from ltbench.method import Method, log_prior, overrides

_POINTS = 3
"""Logits at which the statement is tried, zero first."""
_OFF = 1e-3
"""How far, relative to its terms, the mean slope may be from 0: a bias off by 0.01 is seen."""


def bias_is_that_of_the_loss(case: MethodCase) -> None:
    """A stated bias is that of loss and sampler: training has no reason to move logits that obey it.

    Where softmax(z + bias) is the posterior under the training prior pi, an image like that bears the
    label y with a chance ~ softmax(z + bias)_y n_y^q / pi_y, q the exponent of the sampler. Over these
    labels the slope of the loss at z must vanish, and rise away from z.
    """
    method = case.build()
    bias = method.bias()
    if bias is None or case.trains_nothing():
        return
    for point in range(_POINTS):
        z = _point(case, method, point) - bias
        residual, uphill = _slope(method, z, z + bias)
        for e in range(z.shape[0]):
            require(
                residual[e] <= _OFF and uphill[e] > 0,
                f"bias[{e}] is not that of the loss: with it expert {e} is not cross-entropy on "
                f"z + bias[{e}]{_sampled(method)}; return None where no closed form exists",
            )


def posterior_is_that_of_the_loss(case: MethodCase) -> None:
    """A stated posterior is that of loss and sampler, image by image, whatever classes are called.

    With q and pi as for the bias: an image whose posterior is eta bears the label y with a chance
    ~ eta_y n_y^q / pi_y. Over these labels the slope of the loss must vanish at logits z with
    posterior(z) = log eta, and rise away from z.
    """
    method = case.build()
    if not overrides(method, "posterior"):
        return
    logits, _ = case.example()
    told = method.posterior(logits)
    require(
        isinstance(told, Tensor), "posterior returned no tensor; leave it out where it is not known"
    )
    assert isinstance(told, Tensor)
    require(
        told.shape == logits.shape and bool(torch.isfinite(told).all()),
        f"posterior returned {tuple(told.shape)}, or numbers that are not finite; from (N, E, C) it must "
        f"make finite {tuple(logits.shape)}",
    )
    one = method.posterior(logits[2:3])
    require(
        isinstance(one, Tensor) and not differ(one, told[2:3]),
        "the posterior of an image depends on the other images",
    )
    _same_under_new_names(case, method, logits, told)
    if case.trains_nothing():
        return
    for point in range(_POINTS):
        z = _point(case, method, point)
        log_eta = method.posterior(z[None])
        assert log_eta is not None
        residual, uphill = _slope(method, z, log_eta[0])
        for e in range(z.shape[0]):
            require(
                residual[e] <= _OFF and uphill[e] > 0,
                f"posterior is not that of the loss: expert {e} would not stay at logits whose "
                f"posterior the labels follow{_sampled(method)}",
            )


def _same_under_new_names(
    case: MethodCase, method: Method[Any], logits: Tensor, told: Tensor
) -> None:
    if case.plugin.cls.uses_class_order or len(set(case.counts)) < len(case.counts):
        return
    old = torch.arange(len(case.counts)).flip(0)
    renamed = case.build([case.counts[c] for c in old.tolist()]).posterior(logits[..., old])
    require(
        renamed is not None
        and not differ(renamed.log_softmax(-1), told[..., old].log_softmax(-1), atol=1e-4),
        "posterior depends on the number of a class",
    )


def _sampled(method: Method[Any]) -> str:
    q = phase_at(method, PROGRESS[-1]).exponent
    if q == 1:
        return ""
    return (
        f" when classes are drawn by p(class) ~ n^{q:g}: then the bias is that of the loss and "
        f"{1 - q:g} log pi"
    )


def _point(case: MethodCase, method: Method[Any], point: int) -> Tensor:
    """``(E, C)``, mild: what no network can reach is not asked for."""
    rng = torch.Generator().manual_seed(point)
    shape = (method.architecture().experts, len(case.counts))
    return 0.3 * min(point, 1) * torch.randn(shape, generator=rng)


def _slope(method: Method[Any], z: Tensor, log_posterior: Tensor) -> tuple[Tensor, Tensor]:
    """For each expert: how far the mean slope at z ``(E, C)`` is from 0, and the slope uphill."""
    q = phase_at(method, PROGRESS[-1]).exponent
    shares = (log_posterior + (q - 1) * log_prior(method.counts)).double().softmax(dim=1)
    slope = _weighted(method, z, shares)
    size = _weighted(method, z, shares, absolute=True).amax(dim=1)
    rng = torch.Generator().manual_seed(1)
    away = torch.randn(z.shape, generator=rng)
    away = 0.1 * (away - away.mean(dim=1, keepdim=True))
    uphill = (_weighted(method, z + away, shares) * away).sum(dim=1)
    return slope.abs().amax(dim=1) / size.clamp_min(1e-30), uphill


def _weighted(method: Method[Any], z: Tensor, shares: Tensor, absolute: bool = False) -> Tensor:
    """``(E, C)``: sum_y shares[e, y] times the slope of the loss at z for the target y.

    One image a target in one batch: a loss that divides by the batch's weights is met as in training.
    """
    classes = z.shape[1]
    logits = z.expand(classes, *z.shape).clone().requires_grad_()
    loss = loss_of(method, logits, torch.arange(classes), PROGRESS[-1], views_differ=False)
    (slope,) = torch.autograd.grad(loss, logits)  # (C targets, E, C)
    slope = slope.double().abs() if absolute else slope.double()
    return torch.einsum("ey,yec->ec", shares, slope)
