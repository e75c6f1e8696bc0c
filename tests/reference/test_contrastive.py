"""Contrastive losses against slow transcriptions in float64, and the ties between the methods."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import ive
from torch import Tensor
from torch.nn import functional as F

from ltbench import get_method
from ltbench.contrast import Projector, follow, momentum_copy
from ltbench.method import Method, Seen
from ltbench.methods.train.proco import Distributions, Moments, ProcoHyper
from ltbench.models.assemble import assemble, build_extra
from ltbench.shift.profiles import exponential_counts
from tests.reference.test_losses import Array, cross_entropy, in_double, log_pi, log_softmax

IMBALANCES = {r: exponential_counts(100, r, 6).tolist() for r in (10, 50, 100)}
COUNTS = [7, 100, 1, 7, 30]
DIM = 4


def unit(*shape: int, seed: int = 0) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(*shape, generator=rng, dtype=torch.float64), dim=-1)


def step(
    counts: list[int], views: int, batch: int = 5, seed: int = 0, dim: int = DIM
) -> tuple[Tensor, Tensor, Any]:
    """Logits ``(V, B, 1, C)``, features ``(V, B, 1, D)`` and targets, float64."""
    rng = torch.Generator().manual_seed(seed)
    logits = torch.randn(views, batch, 1, len(counts), generator=rng, dtype=torch.float64)
    features = torch.randn(views, batch, 1, dim, generator=rng, dtype=torch.float64)
    return logits, features, torch.randint(len(counts), (batch,), generator=rng)


def seen(logits: Tensor, features: Tensor, targets: Tensor, **more: Any) -> Seen:
    index = torch.arange(len(targets))
    return Seen(logits, features, targets, index, "train", more.pop("progress", 0.5), **more)


def check_slopes(
    loss: Callable[[Tensor, Tensor], Tensor],
    slow: Callable[[Array, Array], float],
    logits: Tensor,
    features: Tensor,
) -> None:
    """Value, and the gradient in logits and features against central differences of the slow one."""
    points = [logits.clone().requires_grad_(), features.clone().requires_grad_()]
    found = loss(points[0], points[1])
    at = [logits.numpy(), features.numpy()]
    assert found.item() == pytest.approx(slow(at[0], at[1]), rel=1e-6)
    slopes = torch.autograd.grad(found, points)
    for part in (0, 1):
        for where in np.ndindex(at[part].shape):
            ends = []
            for sign in (1e-5, -1e-5):
                moved = [each.copy() for each in at]
                moved[part][where] += sign
                ends.append(slow(moved[0], moved[1]))
            expected = (ends[0] - ends[1]) / 2e-5
            assert slopes[part][where].item() == pytest.approx(expected, abs=2e-6), (part, where)


def length_one(row: Array) -> Array:
    return row / math.sqrt(sum(float(x) * float(x) for x in row))


# -- PaCo and GPaCo ------------------------------------------------------------------------------


def slow_paco(
    queries: list[tuple[Array, Array, int]],
    others: list[tuple[Array, int]],
    counts: list[int],
    alpha: float,
    smoothing: float,
    temperature: float = 0.05,
) -> float:
    """queries: class logits, projection and class of each; others: keys and the queue's full entries."""
    total = 0.0
    for i, (z, q, y) in enumerate(queries):
        beside = [(r, c) for j, (_, r, c) in enumerate(queries) if j != i] + others
        row = list(z + log_pi(counts)) + [float(q @ r) / temperature for r, _ in beside]
        weights = [smoothing / (len(counts) - 1)] * len(counts)
        weights[y] = 1 - smoothing
        weights += [alpha if c == y else 0.0 for _, c in beside]
        log_p = log_softmax(row)
        total -= sum(w * p for w, p in zip(weights, log_p, strict=True)) / sum(weights)
    return total / len(queries)


def paco(
    counts: list[int], entries: int, **hyper: Any
) -> tuple[Method[Any], list[tuple[Array, int]]]:
    """The method with a projector that only normalises, and a queue with two empty places."""
    method = in_double(get_method("paco", counts, dim=DIM, queue=entries, **hyper))
    labels = torch.arange(entries) % len(counts)
    labels[:2] = -1
    queue = unit(entries, DIM, seed=4)
    extra: Any = SimpleNamespace(
        project=lambda f: F.normalize(f, dim=1), queue=queue, labels=labels
    )
    method.extra = extra
    full = [(q, int(c)) for q, c in zip(queue.numpy(), labels, strict=True) if c >= 0]
    return method, full


@pytest.mark.parametrize("alpha", [0.01, 0.7])
@pytest.mark.parametrize("imbalance", IMBALANCES)
def test_paco(imbalance: int, alpha: float) -> None:
    counts = IMBALANCES[imbalance]
    method, queue = paco(counts, 9, alpha=alpha, temperature=0.5)
    logits, features, targets = step(counts, 1, batch=4)
    keys = unit(4, DIM, seed=2)
    y = targets.tolist()
    others = [*zip(keys.numpy(), y, strict=True), *queue]

    def slow(z: Array, f: Array) -> float:
        queries = [(z[0, i, 0], length_one(f[0, i, 0]), y[i]) for i in range(4)]
        return slow_paco(queries, others, counts, alpha, 0.0, 0.5)

    check_slopes(
        lambda z, f: method.objective(seen(z, f, targets, notes=(keys,))), slow, logits, features
    )


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("imbalance", IMBALANCES)
def test_gpaco(imbalance: int, smoothing: float) -> None:
    """Both views are queries, and rows for one another, with gradient."""
    counts = IMBALANCES[imbalance]
    method, queue = paco(counts, 7, keys="shared", alpha=0.3, smoothing=smoothing, temperature=0.5)
    logits, features, targets = step(counts, 2, batch=3)
    y = targets.tolist()

    def slow(z: Array, f: Array) -> float:
        both = [(v, i) for v in (0, 1) for i in range(3)]
        queries = [(z[v, i, 0], length_one(f[v, i, 0]), y[i]) for v, i in both]
        return slow_paco(queries, queue, counts, 0.3, smoothing, 0.5)

    check_slopes(lambda z, f: method.objective(seen(z, f, targets)), slow, logits, features)


def test_paco_of_far_rows_is_balanced_softmax() -> None:
    """One image, a key opposite to it, nothing in the queue, no weight on positives."""
    method, _ = paco(COUNTS, 3, alpha=0.0, temperature=0.01)
    extra: Any = method.extra
    extra.labels = torch.full((3,), -1)
    logits, features, targets = step(COUNTS, 1, batch=1)
    keys = -F.normalize(features[0, :, 0], dim=1)
    found = method.objective(seen(logits, features, targets, notes=(keys,)))
    expected = cross_entropy(logits[0, :, 0].numpy() + log_pi(COUNTS), targets.tolist())
    assert found.item() == pytest.approx(expected, rel=1e-6)


def test_paco_reference_is_the_optimum_of_many_rows() -> None:
    """Rows of all labels as often as images have them, at right angles: what they take from each class."""
    entries, alpha = 1024, 0.01
    method = get_method("paco", [60, 30, 10])
    bias = method.reference_bias()
    assert bias is not None
    pi = torch.tensor([0.6, 0.3, 0.1])
    expected = pi.log() + (1 + alpha * (2 * 128 + entries - 1) * pi).log()
    torch.testing.assert_close(bias[0], expected)
    assert method.bias() is None


# -- BCL -----------------------------------------------------------------------------------------


def slow_bcl(
    first: Array, views: list[Array], centers: Array, y: list[int], counts: list[int], t: float
) -> float:
    rows = [
        *((r, c) for v in views for r, c in zip(v, y, strict=True)),
        *zip(centers, range(len(counts)), strict=True),
    ]
    total = 0.0
    for i in range(2 * len(y)):
        anchor, own = rows[i]
        below = 0.0
        for c in range(len(counts)):
            members = [r for j, (r, k) in enumerate(rows) if k == c and j != i]
            below += sum(math.exp(float(anchor @ r) / t) for r in members) / len(members)
        positives = [r for j, (r, k) in enumerate(rows) if k == own and j != i]
        total -= sum(float(anchor @ r) / t - math.log(below) for r in positives) / len(positives)
    return 2.0 * cross_entropy(first + log_pi(counts), y) + 0.6 * total / (2 * len(y))


@pytest.mark.parametrize("imbalance", IMBALANCES)
def test_bcl(imbalance: int) -> None:
    counts = IMBALANCES[imbalance]
    method = in_double(get_method("bcl", counts))
    centers = unit(len(counts), DIM, seed=3)
    extra: Any = SimpleNamespace(of_images=lambda f: F.normalize(f, dim=1), centers=lambda: centers)
    method.extra = extra
    logits, features, targets = step(counts, 3, batch=4)
    targets[1] = targets[0]  # an image with others of its class

    def slow(z: Array, f: Array) -> float:
        views = [np.array([length_one(row) for row in f[v, :, 0]]) for v in (1, 2)]
        return slow_bcl(z[0, :, 0], views, centers.numpy(), targets.tolist(), counts, 0.1)

    check_slopes(lambda z, f: method.objective(seen(z, f, targets)), slow, logits, features)


def test_bcl_centers_come_from_the_heads_weights_and_teach_them() -> None:
    method = get_method("bcl", COUNTS)
    network = assemble("resnet8", 5, [method], torch.Generator().manual_seed(0))
    extra: Any = build_extra(method, network, 0)
    (head,) = network.heads()
    assert all(not name.startswith("_head") for name in extra.state_dict())
    torch.testing.assert_close(extra.centers(), extra.of_classes(head.weight))
    features = torch.randn(3, 6, 1, 64)
    logits = torch.zeros(3, 6, 1, 5)
    method.objective(seen(logits, features, torch.tensor([0, 1, 2, 3, 4, 0]))).backward()
    assert head.weight.grad is not None
    assert head.weight.grad.abs().sum() > 0


# -- ProCo ---------------------------------------------------------------------------------------

WIDE = 32
"""Length of a projection; the expansion of the Bessel function is good to 1e-8 from there."""


def slow_log_c(kappa: float) -> float:
    """log of the normaliser of a von Mises-Fisher distribution, up to a constant."""
    order = WIDE / 2 - 1
    return order * math.log(kappa) - math.log(ive(order, kappa)) - kappa


def slow_proco(
    z: Array, views: list[Array], held: list[list[Array]], y: list[int], counts: list[int]
) -> float:
    """held: for each view what is known of each class when it is contrasted, as (mean, ...)."""
    loss = cross_entropy(z + log_pi(counts), y)
    for view, means in zip(views, held, strict=True):
        rows = np.zeros((len(y), len(counts)))
        for c, mean in enumerate(means):
            length = math.sqrt(float(mean @ mean))
            kappa = min(WIDE * length / (1 - length**2), 1e5) if length < 1 else 1e5
            for i, v in enumerate(view):
                both = kappa * mean / length + v / 0.1
                rows[i, c] = slow_log_c(kappa) - slow_log_c(math.sqrt(float(both @ both)))
        loss += cross_entropy(rows + log_pi(counts), y) / 2
    return loss


def proco(counts: list[int]) -> tuple[Method[Any], Any]:
    """The method with a projector that only normalises, and moments as after some epoch."""
    method = in_double(get_method("proco", counts, dim=WIDE))
    extra: Any = Distributions(
        SimpleNamespace(feature_width=WIDE),  # type: ignore[arg-type]
        len(counts),
        ProcoHyper(dim=WIDE),
    ).double()
    extra.project = Normalised()
    extra.means.copy_(0.7 * unit(len(counts), WIDE, seed=7))
    extra.numbers.copy_(torch.arange(len(counts)))  # the first class was never seen
    method.extra = extra
    return method, extra


class Normalised(torch.nn.Module):
    def forward(self, features: Tensor) -> Tensor:
        return F.normalize(features, dim=1)


@pytest.mark.parametrize("imbalance", IMBALANCES)
def test_proco(imbalance: int) -> None:
    counts = IMBALANCES[imbalance]
    method, extra = proco(counts)
    extra.epoch.fill_(0.5)
    logits, features, targets = step(counts, 3, batch=3, dim=WIDE)
    targets[:2] = torch.tensor([0, 1])
    y = targets.tolist()
    seen_so_far = [[m] * k for k, m in enumerate(extra.means.numpy())]  # the mean, k times
    held = []
    for v in (1, 2):
        for i, c in enumerate(y):
            seen_so_far[c].append(length_one(features[v, i, 0].numpy()))
        held.append(
            [
                sum(each) / len(each) if each else extra.means.numpy()[c]
                for c, each in enumerate(seen_so_far)
            ]
        )
    draws = (torch.full((1,), 0.5),)

    def slow(z: Array, f: Array) -> float:
        """The means are fixed: no gradient goes into them."""
        views = [np.array([length_one(row) for row in f[v, :, 0]]) for v in (1, 2)]
        return slow_proco(z[0, :, 0], views, held, y, counts)

    check_slopes(
        lambda z, f: method.objective(seen(z, f, targets, draws=draws)), slow, logits, features
    )


def test_proco_means_are_those_since_the_last_epoch_began() -> None:
    method, extra = proco(COUNTS)
    last: list[list[Array]] = [[] for _ in COUNTS]
    for epoch in range(4):
        now: list[list[Array]] = [[] for _ in COUNTS]
        for batch in range(3):
            logits, features, targets = step(COUNTS, 3, 6, seed=10 * epoch + batch, dim=WIDE)
            draws = (torch.full((1,), epoch / 4),)
            with torch.no_grad():
                method.after_step(
                    None,  # type: ignore[arg-type]
                    seen(logits, features, targets, draws=draws, progress=epoch / 4),
                )
            for v in (1, 2):
                for row, c in zip(features[v, :, 0].numpy(), targets.tolist(), strict=True):
                    now[c].append(length_one(row))
            for c in range(len(COUNTS)):
                known = last[c] + now[c]
                if epoch == 0 or not known:
                    continue
                np.testing.assert_allclose(
                    extra.means[c].numpy(), sum(known) / len(known), rtol=1e-6
                )
                assert extra.numbers[c] == len(known)
        last = now


def test_proco_concentration_is_bounded() -> None:
    """A class of one image has a mean of length 1, rounded up or down."""
    means = torch.stack([torch.eye(16)[0], 1.0001 * torch.eye(16)[1], 0.5 * torch.eye(16)[2]])
    found = Moments(means, torch.ones(3)).concentrations().tolist()
    assert found == [1e5, 1e5, pytest.approx(16 * 0.5 / 0.75)]


# -- what they share -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["bcl", "proco"])
def test_without_contrasts_it_is_balanced_softmax(name: str) -> None:
    method = get_method(
        name, COUNTS, **({"beta": 0.0, "alpha": 1.0} if name == "bcl" else {"alpha": 0.0})
    )
    network = assemble("resnet8", 5, [method], torch.Generator().manual_seed(0))
    build_extra(method, network, 0)
    logits, targets = torch.randn(3, 6, 1, 5), torch.tensor([0, 1, 2, 3, 4, 0])
    found = method.objective(
        seen(logits, torch.randn(3, 6, 1, 64), targets, draws=(torch.zeros(1),))
    )
    plain = get_method("balanced-softmax", COUNTS).loss(logits[0], targets, progress=0.0)
    torch.testing.assert_close(found, plain)


def test_the_queue_forgets_the_oldest_first() -> None:
    method = get_method("paco", COUNTS, queue=5, dim=2)
    network = assemble("resnet8", 5, [method], torch.Generator().manual_seed(0))
    extra: Any = build_extra(method, network, 0)
    kept: list[tuple[float, int]] = []
    for size, start in ((3, 0), (4, 10), (1, 20), (8, 30)):
        keys = torch.arange(start, start + size).float()[:, None].expand(-1, 2)
        extra.put(keys, torch.arange(size) % 5)
        kept = [*kept, *((float(start + i), i % 5) for i in range(size))][-5:]
        full = extra.labels >= 0
        held = zip(extra.queue[full, 0].tolist(), extra.labels[full].tolist(), strict=True)
        assert sorted(held) == sorted(kept)
    assert int(extra.at) == (3 + 4 + 1 + 5) % 5


def test_projector_and_its_slow_copy() -> None:
    torch.manual_seed(0)
    fast = Projector(3, 6, 2, batchnorm=True).double()
    with torch.no_grad():
        fast.layers[1].weight.uniform_(0.5, 2)
        fast.layers[1].bias.uniform_(-1, 1)
    x = torch.randn(4, 3, dtype=torch.float64)
    w1, b1, gain, shift, w2, b2 = (p.detach().numpy() for p in fast.parameters())
    hidden = np.array(
        [[sum(w * v for w, v in zip(r, i, strict=True)) for r in w1] for i in x.numpy()]
    )
    hidden = hidden + b1
    for j in range(6):
        mean = sum(hidden[:, j]) / 4
        var = sum((h - mean) ** 2 for h in hidden[:, j]) / 4
        hidden[:, j] = gain[j] * (hidden[:, j] - mean) / math.sqrt(var + 1e-5) + shift[j]
    expected = [length_one(w2 @ np.maximum(row, 0) + b2) for row in hidden]
    np.testing.assert_allclose(fast(x).detach().numpy(), expected, rtol=1e-9)
    assert not dict(fast.named_buffers())

    slow = momentum_copy(fast)
    assert not any(p.requires_grad for p in slow.parameters())
    before = [p.detach().clone() for p in slow.parameters()]
    with torch.no_grad():
        for p in fast.parameters():
            p.add_(1.0)
    follow(slow, fast, 0.9)
    for old, new in zip(before, slow.parameters(), strict=True):
        torch.testing.assert_close(new.detach(), 0.9 * old + 0.1 * (old + 1))
