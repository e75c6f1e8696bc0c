"""Losses and gradients of further methods in float64 against loops over their equations."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ltbench import get_method
from ltbench.contract.shown import phase_at
from ltbench.errors import InputError
from ltbench.method import Images, Method, Seen
from ltbench.models.assemble import assemble, build_extra
from ltbench.models.build import build_network
from tests.reference.test_further_losses import (
    COUNTS,
    ETA,
    IDS,
    UNEVEN,
    Array,
    assert_same,
    example,
    in_double,
    negative_log,
    optimum,
    slow_weights,
)
from tests.reference.test_losses import slow_ride

# Logits (B, E, C), targets, counts, progress, features (B, D), what a teacher says (B, C).
Slow = Callable[[Array, list[int], list[int], float, Array, Array], float]

# -- slow transcriptions -------------------------------------------------------------------------


def log_prior(n: Sequence[int]) -> list[float]:
    return [math.log(count / sum(n)) for count in n]


def by_rank(n: Sequence[int]) -> list[int]:
    """The rank of each class by (count descending, class index)."""
    order = sorted(range(len(n)), key=lambda j: (-n[j], j))
    return [order.index(j) for j in range(len(n))]


def softmax(row: Sequence[float]) -> list[float]:
    total = sum(math.exp(value) for value in row)
    return [math.exp(value) / total for value in row]


def weighted(rows: list[list[float]], y: list[int], w: list[float]) -> float:
    above = sum(w[t] * negative_log(row, t) for row, t in zip(rows, y, strict=True))
    return above / sum(w[t] for t in y)


def slow_ce(z: Array, y: list[int], n: list[int], t: float, f: Array, said: Array) -> float:
    w = slow_weights(n, 0.9999) if t >= 0.8 else [1.0] * len(n)
    return weighted([list(row) for row in z[:, 0]], y, w)


def slow_balanced(z: Array, y: list[int], n: list[int], t: float, f: Array, said: Array) -> float:
    w = slow_weights(n, 0.999) if t >= 0.5 else [1.0] * len(n)
    return weighted([list(row + np.array(log_prior(n))) for row in z[:, 0]], y, w)


def slow_cdt(z: Array, y: list[int], n: list[int], t: float, f: Array, said: Array) -> float:
    total = 0.0
    for row, target in zip(z[:, 0], y, strict=True):
        total += negative_log([row[j] * (n[j] / max(n)) ** 0.2 for j in range(len(n))], target)
    return total / len(y)


def slow_imb_sam(
    z: Array, y: list[int], n: list[int], t: float, f: Array, said: Array, part: str = ""
) -> float:
    total = 0.0
    for row, target in zip(z[:, 0], y, strict=True):
        tail = n[target] < 20
        if part == "" or (part == "tail") == tail:
            total += negative_log(list(row + np.array(log_prior(n))), target)
    return total / len(y)


def slow_influence(z: Array, y: list[int], n: list[int], t: float, f: Array, said: Array) -> float:
    total = 0.0
    inverse = sum(1 / count for count in n)
    for i, target in enumerate(y):
        row = list(z[i, 0])
        own = negative_log(row, target)
        if t >= 0.5:
            p = softmax(row)
            away = sum(abs(p[j] - (j == target)) for j in range(len(n)))
            weight = len(n) / n[target] / inverse
            own *= weight * 1000 / (away * sum(abs(value) for value in f[i]) + 1e-3)
        total += own
    return total / len(y)


def slow_ncl(z: Array, y: list[int], n: list[int], t: float, f: Array, said: Array) -> float:
    experts, total = z.shape[1], 0.0
    for i, target in enumerate(y):
        others = sorted((j for j in range(len(n)) if j != target), key=lambda j: -z[i, 0, j])
        hard = {target, *others[: round(0.3 * len(n)) - 1]}
        for keep in (set(range(len(n))), hard):
            rows = [
                [z[i, e, j] + math.log(n[j]) if j in keep else 0.0 for j in range(len(n))]
                for e in range(experts)
            ]
            total += sum(negative_log(row, target) for row in rows)
            for a in range(experts):
                for b in range(experts):
                    p, q = softmax(rows[b]), softmax(rows[a])
                    apart = sum(p[j] * math.log(p[j] / q[j]) for j in range(len(n)))
                    total += 0.6 * apart / (experts - 1)
    return total / len(y)


def slow_reslt(z: Array, y: list[int], n: list[int], t: float, f: Array, said: Array) -> float:
    ranks, pairs, branches, together = by_rank(n), 0, 0.0, 0.0
    first = [0, math.floor(0.35 * len(n)), math.floor(0.7 * len(n))]
    for i, target in enumerate(y):
        for e in range(3):
            if ranks[target] >= first[e]:
                branches += negative_log(list(z[i, e]), target)
                pairs += 1
        together += negative_log(list(z[i].sum(axis=0)), target)
    return 0.995 * branches / pairs + 0.005 * together / len(y)


def slow_distilled(z: Array, y: list[int], n: list[int], t: float, f: Array, said: Array) -> float:
    total = 0.0
    for i in range(len(y)):
        p, q = softmax(list(said[i] / 1.5)), softmax(list(z[i].mean(axis=0) / 1.5))
        total += 1.5**2 * sum(a * math.log(a / b) for a, b in zip(p, q, strict=True)) / len(y)
    return total + slow_ride(z, y, n, t, factor=-0.2)


SLOW: list[tuple[str, dict[str, Any], int, Slow]] = [
    ("ce", {"reweight_from": 0.8}, 1, slow_ce),
    ("balanced-softmax", {"reweight_from": 0.5, "beta": 0.999}, 1, slow_balanced),
    ("cdt", {}, 1, slow_cdt),
    ("imb-sam", {}, 1, slow_imb_sam),
    ("influence-balanced", {}, 1, slow_influence),
    ("ncl", {}, 3, slow_ncl),
    ("reslt", {}, 3, slow_reslt),
    ("ride-distilled", {}, 3, slow_distilled),
]


# -- helpers -------------------------------------------------------------------------------------


def shown(
    method: Method[Any],
    z: Tensor,
    targets: Tensor,
    progress: float,
    features: Tensor,
    said: Tensor,
    part: str = "",
) -> Seen:
    name = phase_at(method, progress).name
    return Seen(
        *(z[None], features[None, :, None].expand(1, -1, z.shape[1], -1), targets),
        *(torch.arange(len(targets)), name, progress, (), (said,)),
        part=part,
    )


def deep_double(method: Method[Any]) -> Method[Any]:
    for inner in vars(method).values():
        if isinstance(inner, Method):
            in_double(inner)
    return in_double(method)


def around(counts: Sequence[int]) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(4)
    features = torch.randn(6, 8, generator=rng, dtype=torch.float64)
    return features, 2 * torch.randn(6, len(counts), generator=rng, dtype=torch.float64)


# -- losses and gradients ------------------------------------------------------------------------


@pytest.mark.parametrize("counts", COUNTS, ids=IDS)
@pytest.mark.parametrize(("name", "hyper", "experts", "slow"), SLOW)
def test_objective_and_gradient_are_those_of_the_equation(
    name: str, hyper: dict[str, Any], experts: int, slow: Slow, counts: list[int]
) -> None:
    method = deep_double(get_method(name, counts, **hyper))
    z, targets = example(counts, experts)
    features, said = around(counts)
    y = targets.tolist()
    for progress in (0.0, 0.9):

        def fast(logits: Tensor, at: float = progress) -> Tensor:
            return method.objective(shown(method, logits, targets, at, features, said))

        def loop(logits: Array, at: float = progress) -> float:
            return slow(logits, y, counts, at, features.numpy(), said.numpy())

        if name == "ride-distilled":  # RIDE's goal has no gradient: the slope has a test of its own
            assert fast(z).item() == pytest.approx(loop(z.numpy()), rel=1e-5)
        else:
            assert_same(fast, loop, z)


@pytest.mark.parametrize("counts", COUNTS, ids=IDS)
@pytest.mark.parametrize("part", ["rest", "tail"])
def test_parts_of_imb_sam_are_those_of_the_equation(counts: list[int], part: str) -> None:
    method = in_double(get_method("imb-sam", counts))
    z, targets = example(counts, 1)
    features, said = around(counts)
    y = targets.tolist()
    assert_same(
        lambda logits: method.objective(shown(method, logits, targets, 0.5, features, said, part)),
        lambda logits: slow_imb_sam(logits, y, counts, 0.5, features.numpy(), said.numpy(), part),
        z,
    )


def test_influence_has_its_gradient_in_the_features_too() -> None:
    method = in_double(get_method("influence-balanced", UNEVEN))
    z, targets = example(UNEVEN, 1)
    features, said = around(UNEVEN)
    assert_same(
        lambda f: method.objective(shown(method, z, targets, 0.9, f, said)),
        lambda f: slow_influence(z.numpy(), targets.tolist(), UNEVEN, 0.9, f, said.numpy()),
        features,
    )


@pytest.mark.parametrize("published", [False, True])
def test_ride_distilled_is_ride_and_a_divergence_of_which_the_student_has_the_gradient(
    published: bool,
) -> None:
    method = deep_double(get_method("ride-distilled", UNEVEN, published=published))
    ride = in_double(get_method("ride", UNEVEN, diversity_factor=-0.2))
    z, targets = example(UNEVEN, 3)
    features, said = around(UNEVEN)
    factor = 3 if published else 1

    def rest(logits: Tensor) -> Tensor:
        whole = method.objective(shown(method, logits, targets, 0.9, features, said))
        return whole - factor * ride.loss(logits, targets, progress=0.9)

    def apart(logits: Array) -> float:
        total = 0.0
        for i in range(len(logits)):
            p, q = softmax(list(said[i] / 1.5)), softmax(list(logits[i].mean(axis=0) / 1.5))
            total += sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
        return factor * 1.5**2 * total / len(logits)

    assert_same(rest, apart, z)


def test_the_teacher_of_ride_distilled_sees_the_pixels_of_the_student() -> None:
    method = get_method("ride-distilled", UNEVEN)
    parent = method.parent()
    assert parent is not None
    asked = get_method(parent.method, UNEVEN, **parent.hyper).architecture()
    assert (parent.role, asked.experts) == ("teacher", 6)
    teacher = build_network("resnet8", 5, asked, torch.Generator().manual_seed(0)).eval()
    method.teacher = teacher
    first = Images(torch.randn(4, 3, 8, 8), torch.tensor([0, 1, 4, 2]))
    mixed = method.mix(first, first, ())
    assert mixed.pixels is first.pixels
    assert not mixed.notes[0].requires_grad
    torch.testing.assert_close(mixed.notes[0], teacher(first.pixels).mean(dim=1).detach())


# -- the causal head -----------------------------------------------------------------------------


def slow_head(f: Array, w: Array, mean: Array | None) -> list[float]:
    half = len(f) // 2
    logits = []
    for row in w:
        z = 0.0
        for k in (slice(0, half), slice(half, None)):
            x = f[k] / math.sqrt(sum(f[k] ** 2))
            if mean is not None:
                c = mean[k] / math.sqrt(sum(mean[k] ** 2))
                x = x - 1.5 * sum(x * c) * c
            z += sum(x * row[k]) / (math.sqrt(sum(row[k] ** 2)) + 1 / 32)
        logits.append(8 * z)
    return logits


def test_tdes_head_is_that_of_the_equation_while_training_and_after() -> None:
    method = get_method("tde", UNEVEN)
    network = assemble("resnet8", 5, [method], torch.Generator().manual_seed(0))
    build_extra(method, network, 1)
    head: Any = next(iter(network.heads()))
    features = torch.randn(4, 64, generator=torch.Generator().manual_seed(2))
    step = shown(method, torch.zeros(4, 1, 5), torch.arange(4), 0.0, features, features)
    with torch.no_grad():
        method.after_step(network, step)
        method.after_step(network, step)
    torch.testing.assert_close(head.mean, 1.9 * features.mean(dim=0))
    f, w = features.double().numpy(), head.weight.detach().double().numpy()
    for training in (True, False):
        head.train(training)
        mean = None if training else head.mean.double().numpy()
        expected = torch.tensor([slow_head(row, w, mean) for row in f])
        torch.testing.assert_close(head(features).double(), expected, rtol=1e-5, atol=1e-5)


def test_pieces_that_do_not_divide_the_features_are_refused() -> None:
    method = get_method("tde", UNEVEN, pieces=5)
    network = assemble("resnet8", 5, [method], torch.Generator())
    with pytest.raises(InputError, match="tde: pieces = 5 must divide the 64 features"):
        build_extra(method, network, 0)


# -- special cases -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "hyper", "same", "other"),
    [
        ("cdt", {"gamma": 0}, "ce", {}),
        ("cdt", {"gamma": 0.3}, "vs", {"gamma": 0.3, "tau": 0}),
        ("imb-sam", {}, "balanced-softmax", {}),
        ("imb-sam", {"tau": 0}, "ce", {}),
        ("ldam-drw", {"max_margin": 0}, "ce", {"reweight_from": 0.8}),
        ("ce", {"reweight_from": 0.8, "beta": 0}, "ce", {}),
        ("balanced-softmax", {"reweight_from": 0, "beta": 0}, "balanced-softmax", {}),
    ],
)
def test_at_zero_it_is_the_loss_it_extends(
    name: str, hyper: dict[str, Any], same: str, other: dict[str, Any]
) -> None:
    z, targets = example(UNEVEN, 1)
    values = [
        m.loss(z.float(), targets, progress=0.9)
        for m in (get_method(name, UNEVEN, **hyper), get_method(same, UNEVEN, **other))
    ]
    torch.testing.assert_close(*values, rtol=1e-6, atol=1e-7)


def test_imb_sam_steps_with_both_slopes() -> None:
    """R = sum a w^2 / 2 at w, T = sum b w^2 / 2 at w + rho g / |g|, g = b w."""
    method = get_method("imb-sam", UNEVEN, rho=0.2)
    a, b = torch.tensor([1.0, 4.0, 9.0]), torch.tensor([2.0, 0.5, 1.0])
    w = torch.nn.Parameter(torch.tensor([1.0, -2.0, 0.5]))
    optimizer = torch.optim.SGD([w], lr=0.1)
    start = w.detach().clone()

    def descend(part: str = "") -> Tensor:
        optimizer.zero_grad()
        loss = 0.5 * ((a if part == "rest" else b) * w * w).sum()
        loss.backward()
        return loss.detach()

    loss = method.advance(descend, optimizer)
    slope = b * start
    there = start + 0.2 * slope / slope.norm()
    torch.testing.assert_close(w.detach(), start - 0.1 * (a * start + b * there))
    assert loss.item() == pytest.approx(0.5 * ((a + b) * start * start).sum().item())


# -- which prior the logits carry ----------------------------------------------------------------


@pytest.mark.parametrize("name", ["ce", "balanced-softmax"])
def test_weights_all_through_have_an_exact_bias_and_late_ones_a_reference(name: str) -> None:
    whole = get_method(name, UNEVEN, reweight_from=0)
    late = get_method(name, UNEVEN, reweight_from=0.8)
    bias, reference = whole.bias(), late.reference_bias()
    assert late.bias() is None
    assert whole.reference_bias() is None
    assert bias is not None
    assert reference is not None
    assert torch.equal(bias, reference)
    # One image a target, in one batch, as the sum of weights is of the batch.
    z = torch.zeros(5, 1, 5, dtype=torch.float64)
    free = z[:1].clone().requires_grad_()
    log_w = torch.tensor(slow_weights(UNEVEN, 0.9999), dtype=torch.float64).log()
    shift = torch.tensor(log_prior(UNEVEN)) if name != "ce" else torch.zeros(5)
    torch.testing.assert_close(bias[0].double(), shift.double() - log_w, rtol=1e-5, atol=1e-5)
    with torch.no_grad():
        free.copy_(ETA.log() - bias.double())
    eta = ETA * len(ETA)
    loss = (
        eta
        * log_w.exp()
        * torch.nn.functional.cross_entropy(
            (free[:, 0] + shift).expand(5, -1), torch.arange(5), reduction="none"
        )
    ).sum()
    (slope,) = torch.autograd.grad(loss, free)
    assert slope.abs().max() < 1e-5


def test_cdts_posterior_is_that_of_its_optimum() -> None:
    method = in_double(get_method("cdt", UNEVEN))
    said = method.posterior(optimum(method, ETA, steps=2000))
    assert said is not None
    np.testing.assert_allclose(said.softmax(-1)[0, 0].numpy(), ETA.numpy(), rtol=1e-3)
