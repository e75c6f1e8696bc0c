"""Methods that mix images, against slow transcriptions: mixup, Remix, CMO, Bayias with UniMix."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from ltbench import get_method
from ltbench.method import Images
from ltbench.mixing import beta, soft_cross_entropy
from ltbench.shift.profiles import exponential_counts
from tests.reference.test_further_losses import (
    ETA,
    UNEVEN,
    Array,
    assert_same,
    example,
    in_double,
    log_sum_exp,
    slow_weights,
)

TAILS = {ratio: exponential_counts(200, ratio, 12).tolist() for ratio in (10, 50, 100)}
"""Twelve classes of 200 images and less."""
COUNTS = [*TAILS.values(), UNEVEN]
IDS = [*(f"imbalance {ratio}" for ratio in TAILS), "uneven"]


# -- losses on soft labels -----------------------------------------------------------------------


def slow_soft(rows: Array, t: Array, weights: list[float]) -> float:
    total = 0.0
    for row, labels in zip(rows, t, strict=True):
        whole = log_sum_exp(list(row))
        total += sum(w * p * (whole - z) for w, p, z in zip(weights, labels, row, strict=True))
    return total / len(rows)


def slow_plain(z: Array, t: Array, n: list[int], progress: float) -> float:
    return slow_soft(z[:, 0], t, [1.0] * len(n))


def slow_deferred(z: Array, t: Array, n: list[int], progress: float) -> float:
    return slow_soft(z[:, 0], t, slow_weights(n, 0.9999) if progress >= 0.8 else [1.0] * len(n))


def slow_shifted(z: Array, t: Array, n: list[int], progress: float) -> float:
    shift = np.array([math.log(count / sum(n)) - math.log(1 / len(n)) for count in n])
    return slow_plain(z + shift, t, n, progress)


SLOW: list[tuple[str, dict[str, Any], Callable[..., float]]] = [
    ("mixup", {}, slow_plain),
    ("mixup", {"reweight_from": 0.8}, slow_deferred),
    ("remix", {}, slow_deferred),
    ("remix", {"reweight_from": 1}, slow_plain),
    ("cmo", {}, slow_shifted),
    ("cmo", {"tau": 0}, slow_plain),
    ("bayias", {}, slow_shifted),
    ("bayias", {"alpha": 0}, slow_shifted),
]


@pytest.mark.parametrize("counts", COUNTS, ids=IDS)
@pytest.mark.parametrize(("name", "hyper", "slow"), SLOW)
def test_loss_and_gradient_on_mixed_labels_are_those_of_the_equation(
    name: str, hyper: dict[str, Any], slow: Callable[..., float], counts: list[int]
) -> None:
    method = in_double(get_method(name, counts, **hyper))
    z, targets = example(counts, 1)
    hot = F.one_hot(targets, len(counts)).double()
    mixed = 0.3 * hot + 0.7 * hot.flip(0)
    for given, t in ((mixed, mixed.numpy()), (targets, hot.numpy())):
        for progress in (0.0, 0.9):
            assert_same(
                lambda logits, y=given, at=progress: method.loss(logits, y, progress=at),  # type: ignore[misc]
                lambda logits, y=t, at=progress: slow(logits, y, counts, at),  # type: ignore[misc]
                z,
            )


def test_weighted_soft_labels_are_divided_by_the_number_of_images() -> None:
    z, targets = example(UNEVEN, 1)
    weights = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0], dtype=torch.float64)
    each = F.cross_entropy(z[:, 0], targets, weight=weights, reduction="none")
    torch.testing.assert_close(soft_cross_entropy(z[:, 0], targets, weights), each.mean())


@pytest.mark.parametrize(
    ("name", "hyper", "same"),
    [
        ("mixup", {}, "ce"),
        ("remix", {"reweight_from": 1}, "ce"),
        ("cmo", {"tau": 0}, "ce"),
        ("cmo", {}, "balanced-softmax"),
        ("bayias", {"alpha": 0}, "balanced-softmax"),
    ],
)
def test_on_images_as_they_are_it_is_the_loss_it_extends(
    name: str, hyper: dict[str, Any], same: str
) -> None:
    z, targets = example(UNEVEN, 1)
    one, other = in_double(get_method(name, UNEVEN, **hyper)), in_double(get_method(same, UNEVEN))
    torch.testing.assert_close(
        one.loss(z, targets, progress=0.5), other.loss(z, targets, progress=0.5)
    )


# -- images --------------------------------------------------------------------------------------


def images(batch: int, counts: list[int], seed: int, size: int = 8) -> Images:
    rng = torch.Generator().manual_seed(seed)
    pixels = torch.randn(batch, 3, size, size, generator=rng)
    return Images(pixels, torch.randint(len(counts), (batch,), generator=rng))


def slow_remix_weight(w: float, n_i: int, n_j: int, kappa: float = 3, tau: float = 0.5) -> float:
    if n_i / n_j >= kappa and w < tau:
        return 0.0
    if n_i / n_j <= 1 / kappa and 1 - w < tau:
        return 1.0
    return w


@pytest.mark.parametrize("seed", range(6))
def test_remix_gives_the_label_to_the_rarer_class(seed: int) -> None:
    method = get_method("remix", UNEVEN)
    first = images(12, UNEVEN, seed)
    draws = method.draw(12, progress=0.0, rng=torch.Generator().manual_seed(seed))
    mixed = method.mix(first, first, draws)
    w, partner = draws[0].item(), draws[1].tolist()
    y = first.targets.tolist()
    for i, j in enumerate(partner):
        expected = w * first.pixels[i] + (1 - w) * first.pixels[j]
        torch.testing.assert_close(mixed.pixels[i], expected)
        u, row = slow_remix_weight(w, UNEVEN[y[i]], UNEVEN[y[j]]), [0.0] * 5
        row[y[i]] += u
        row[y[j]] += 1 - u
        torch.testing.assert_close(mixed.targets[i], torch.tensor(row))


def test_remix_whose_classes_are_never_far_apart_is_mixup() -> None:
    first = images(12, UNEVEN, 1)
    mixed = []
    for name, hyper in (("remix", {"kappa": 1000}), ("mixup", {})):
        method = get_method(name, UNEVEN, **hyper)
        draws = method.draw(12, progress=0.0, rng=torch.Generator().manual_seed(2))
        mixed.append(method.mix(first, first, draws))
    assert torch.equal(mixed[0].pixels, mixed[1].pixels)
    assert torch.equal(mixed[0].targets, mixed[1].targets)


def slow_box(size: int, side: float, x: float, y: float) -> tuple[int, int, int, int]:
    """As ``rand_bbox`` has it: first and last row, first and last column."""
    cut = int(size * side)
    middle = int(y * size), int(x * size)
    low = [min(max(m - cut // 2, 0), size) for m in middle]
    high = [min(max(m + cut // 2, 0), size) for m in middle]
    return low[0], high[0], low[1], high[1]


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("size", [8, 32])
def test_cmo_pastes_the_box_of_the_equation(seed: int, size: int) -> None:
    method = get_method("cmo", UNEVEN, probability=1)
    first, second = images(5, UNEVEN, 2 * seed, size), images(5, UNEVEN, 2 * seed + 1, size)
    draws = method.draw(5, progress=0.5, rng=torch.Generator().manual_seed(seed))
    mixed = method.mix(first, second, draws)
    top, bottom, left, right = slow_box(size, *draws[0].tolist())
    expected = first.pixels.clone()
    expected[:, :, top:bottom, left:right] = second.pixels[:, :, top:bottom, left:right]
    assert torch.equal(mixed.pixels, expected)
    part = (bottom - top) * (right - left) / size**2
    for i in range(5):
        row = [0.0] * 5
        row[int(first.targets[i])] += 1 - part
        row[int(second.targets[i])] += part
        torch.testing.assert_close(mixed.targets[i], torch.tensor(row))


@pytest.mark.parametrize(("progress", "often"), [(0.0, 0), (0.02, 0.5), (0.98, 0.5), (0.985, 0)])
def test_cmo_pastes_half_of_the_time_and_not_at_both_ends(progress: float, often: float) -> None:
    method = get_method("cmo", UNEVEN)
    rng = torch.Generator().manual_seed(0)
    sides = torch.stack([method.draw(4, progress=progress, rng=rng)[0][0] for _ in range(1500)])
    assert (sides > 0).double().mean().item() == pytest.approx(often, abs=0.04)
    if often:  # the part 1 - w is uniform
        assert sides[sides > 0].square().mean().item() == pytest.approx(0.5, abs=0.03)


def test_cmo_asks_for_a_second_stream() -> None:
    assert get_method("cmo", UNEVEN).phases()[0].second == 0
    assert get_method("cmo", UNEVEN, pasted=-1).phases()[0].second == -1


@pytest.mark.parametrize("seed", range(4))
def test_unimix_mixes_by_a_weight_an_image(seed: int) -> None:
    method = get_method("bayias", UNEVEN)
    first = images(12, UNEVEN, seed)
    draws = method.draw(12, progress=0.0, rng=torch.Generator().manual_seed(seed))
    mixed = method.mix(first, first, draws)
    offsets, waits, y = draws[0].tolist(), draws[1].tolist(), first.targets.tolist()
    for i in range(12):
        over = [waits[i][j] / UNEVEN[y[j]] ** -0.1 for j in range(12)]
        j = over.index(min(over))
        n_i, n_j = UNEVEN[y[i]], UNEVEN[y[j]]
        w = offsets[i] + n_j / (n_i + n_j)
        w = w - 1 if w > 1 else w
        expected = w * first.pixels[i] + (1 - w) * first.pixels[j]
        torch.testing.assert_close(mixed.pixels[i], expected, rtol=1e-4, atol=1e-5)
        row = [0.0] * 5
        row[y[i]] += w
        row[y[j]] += 1 - w
        torch.testing.assert_close(mixed.targets[i], torch.tensor(row))


def test_unimix_takes_partners_with_a_chance_of_a_power_of_their_count() -> None:
    """Classes 1, 2, 3 in one batch: of the mixed label's part that is not the own image's."""
    counts = [90, 30, 10]
    method = get_method("bayias", counts, partner=-0.7)
    y = torch.arange(3)
    first = Images(torch.zeros(3, 3, 8, 8), y)
    rng, taken = torch.Generator().manual_seed(0), torch.zeros(3)
    for _ in range(2000):
        draws = method.draw(3, progress=0.0, rng=rng)
        labels = method.mix(first, first, draws).targets
        others = labels * (1 - torch.eye(3))
        partner = torch.where(others.sum(1) > 0, others.argmax(dim=1), y)
        taken += torch.bincount(partner, minlength=3)
    chance = torch.tensor([count**-0.7 for count in counts])
    torch.testing.assert_close(taken / taken.sum(), chance / chance.sum(), rtol=0, atol=0.015)


def test_without_alpha_nothing_is_mixed() -> None:
    method = get_method("bayias", UNEVEN, alpha=0)
    first = images(4, UNEVEN, 0)
    assert method.mix(first, first, method.draw(4, progress=0.0, rng=torch.Generator())) is first


# -- the labels' distribution --------------------------------------------------------------------


def simulated(counts: list[int], share: Callable[[Tensor, Tensor], Tensor], chance: Tensor) -> Any:
    """Mean label of pairs: the first ~ pi, the second ~ chance, the first's part ``share(n_i, n_j)``."""
    rng = torch.Generator().manual_seed(7)
    n = torch.tensor(counts, dtype=torch.float64)
    i = torch.multinomial(n, 400_000, replacement=True, generator=rng)
    j = torch.multinomial(chance, 400_000, replacement=True, generator=rng)
    u = share(n[i], n[j])
    total = torch.zeros(len(counts), dtype=torch.float64)
    total.index_add_(0, i, u)
    total.index_add_(0, j, 1 - u)
    return (total / total.sum()).numpy()


@pytest.mark.parametrize("counts", COUNTS, ids=IDS)
@pytest.mark.parametrize(("alpha", "kappa", "tau"), [(1.0, 3.0, 0.5), (0.4, 2.0, 0.3)])
def test_labels_of_remix_follow_the_stated_distribution(
    counts: list[int], alpha: float, kappa: float, tau: float
) -> None:
    method: Any = get_method("remix", counts, alpha=alpha, kappa=kappa, tau=tau)
    rng = torch.Generator().manual_seed(1)

    def share(n_i: Tensor, n_j: Tensor) -> Tensor:
        w = beta(alpha, len(n_i), rng).double()
        u = torch.where((n_i >= kappa * n_j) & (w < tau), torch.zeros_like(w), w)
        return torch.where((n_j >= kappa * n_i) & (1 - w < tau), torch.ones_like(w), u)

    q = method.label_distribution()
    assert q.sum().item() == pytest.approx(1)
    found = simulated(counts, share, torch.tensor(counts, dtype=torch.float64))
    np.testing.assert_allclose(found, q.numpy(), atol=0.003)
    pi = torch.tensor([n / sum(counts) for n in counts], dtype=torch.float64)
    assert (q / pi - 1).abs().max() > 0.03  # so that the reference says something


@pytest.mark.parametrize("counts", COUNTS, ids=IDS)
@pytest.mark.parametrize(("alpha", "power"), [(0.8, -0.1), (1.5, -1.0)])
def test_labels_of_unimix_follow_the_stated_distribution(
    counts: list[int], alpha: float, power: float
) -> None:
    method: Any = get_method("bayias", counts, alpha=alpha, partner=power)
    rng = torch.Generator().manual_seed(1)

    def share(n_i: Tensor, n_j: Tensor) -> Tensor:
        w = beta(alpha, len(n_i), rng).double() + n_j / (n_i + n_j)
        return torch.where(w > 1, w - 1, w)

    q = method.label_distribution()
    assert q.sum().item() == pytest.approx(1)
    chance = torch.tensor(counts, dtype=torch.float64) ** (1 + power)
    np.testing.assert_allclose(simulated(counts, share, chance), q.numpy(), atol=0.003)


@pytest.mark.parametrize("alpha", [1.0, 0.5, 2.0])
def test_cmo_pastes_the_stated_part_on_average(alpha: float) -> None:
    method: Any = get_method("cmo", UNEVEN, alpha=alpha, start=0, end=1)
    rng, parts = torch.Generator().manual_seed(3), []
    for _ in range(5000):
        side, x, y = method.draw(1, progress=0.5, rng=rng)[0].tolist()
        top, bottom, left, right = slow_box(10_000, side, x, y)
        parts.append((bottom - top) * (right - left) / 10_000**2)
    assert method.pasted_part() == pytest.approx(sum(parts) / len(parts), abs=0.008)


@pytest.mark.parametrize(
    ("name", "hyper"),
    [("mixup", {"reweight_from": 0}), ("remix", {"reweight_from": 0}), ("cmo", {}), ("bayias", {})],
)
def test_reference_bias_makes_the_optimum_on_mixed_labels_the_posterior(
    name: str, hyper: dict[str, Any]
) -> None:
    """Labels follow q: an image of posterior eta bears y with a chance ~ eta_y q_y / pi_y."""
    method: Any = in_double(get_method(name, UNEVEN, **hyper))
    n = torch.tensor(UNEVEN, dtype=torch.float64)
    pi = n / n.sum()
    if name == "mixup":
        q = pi
    elif name == "cmo":
        part = 0.5 * 0.965 * (1 / 2 - 2 / 5 / 2 + 1 / 3 / 16)
        q = (1 - part) * pi + part / 5
    else:
        q = method.label_distribution()
    t = (ETA * q / pi / (ETA * q / pi).sum())[None]
    z = torch.zeros(1, 1, 5, dtype=torch.float64, requires_grad=True)
    solver = torch.optim.LBFGS([z], max_iter=300, tolerance_grad=1e-12, tolerance_change=0)

    def closure() -> Tensor:
        solver.zero_grad()
        loss: Tensor = method.loss(z, t, progress=0.5)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    solver.step(closure)
    assert method.bias() is None
    found = (z.detach() + method.reference_bias().double()).softmax(-1)[0, 0]
    np.testing.assert_allclose(found.numpy(), ETA.numpy(), rtol=1e-4)
