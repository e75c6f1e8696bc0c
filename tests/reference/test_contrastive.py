"""Contrastive losses against slow transcriptions in float64, and the ties between the methods."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from ltbench import get_method
from ltbench.contrast import Projector, follow, momentum_copy
from ltbench.method import Method, Seen
from ltbench.shift.profiles import exponential_counts
from tests.reference.test_losses import Array, cross_entropy, in_double, log_pi, log_softmax

IMBALANCES = {r: exponential_counts(100, 6, r).tolist() for r in (10, 50, 100)}
COUNTS = [7, 100, 1, 7, 30]
DIM = 4


def unit(*shape: int, seed: int = 0) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(*shape, generator=rng, dtype=torch.float64), dim=-1)


def step(
    counts: list[int], views: int, batch: int = 5, seed: int = 0
) -> tuple[Tensor, Tensor, Any]:
    """Logits ``(V, B, 1, C)``, features ``(V, B, 1, D)`` and targets, float64."""
    rng = torch.Generator().manual_seed(seed)
    logits = torch.randn(views, batch, 1, len(counts), generator=rng, dtype=torch.float64)
    features = torch.randn(views, batch, 1, DIM, generator=rng, dtype=torch.float64)
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


def test_the_queue_forgets_the_oldest_first() -> None:
    method = get_method("paco", COUNTS, queue=5, dim=2)
    from ltbench.models.assemble import assemble, build_extra

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
