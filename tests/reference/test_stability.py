"""Prediction-stability aggregation against the published loop in plain NumPy, step for step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ltbench import get_method, get_strategy
from ltbench.strategy import Adapted, OptimizerSettings, Source, UnlabelledTest

Array = np.ndarray[Any, np.dtype[np.float64]]
CIFAR_SGD = OptimizerSettings(lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)
"""The optimiser block of SADE's CIFAR configuration."""


# -- slow transcription --------------------------------------------------------------------------


def softmax(row: Array) -> Array:
    powers = np.exp(row - row.max())
    return np.asarray(powers / powers.sum())


def objective_and_gradient(a: Array, one: Array, two: Array) -> tuple[float, Array]:
    """Mean cosine of the two weighted predictions, and its gradient by the chain rule."""
    w = softmax(a)
    total, by_weight = 0.0, np.zeros(len(a))
    for first, second in zip(one, two, strict=True):  # (E, C) each
        p = softmax(sum(w[e] * first[e] for e in range(len(a))))
        q = softmax(sum(w[e] * second[e] for e in range(len(a))))
        size_p, size_q = np.sqrt(p @ p), np.sqrt(q @ q)
        cosine = p @ q / (size_p * size_q)
        total += cosine
        by_p = q / (size_p * size_q) - cosine * p / size_p**2
        by_q = p / (size_p * size_q) - cosine * q / size_q**2
        logits_p, logits_q = p * (by_p - p @ by_p), q * (by_q - q @ by_q)
        by_weight += [first[e] @ logits_p + second[e] @ logits_q for e in range(len(a))]
    by_weight /= len(one)
    return total / len(one), w * (by_weight - w @ by_weight)


def published_loop(
    pairs: list[Array],
    orders: list[list[int]],
    sgd: OptimizerSettings,
    batch_size: int,
    min_weight: float = 0.05,
) -> list[list[float]]:
    """Weights after each epoch; epoch k takes ``pairs[k mod len]`` in order ``orders[k]``."""
    experts = pairs[0].shape[2]
    a, velocity = np.full(experts, 1 / experts), None
    history = []
    for epoch, order in enumerate(orders):
        one, two = pairs[epoch % len(pairs)]
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
            gradient = -objective_and_gradient(a, one[batch], two[batch])[1] + sgd.weight_decay * a
            velocity = gradient if velocity is None else sgd.momentum * velocity + gradient
            a = a - sgd.lr * (gradient + sgd.momentum * velocity if sgd.nesterov else velocity)
        history.append(softmax(a).tolist())
        if any(round(weight, 2) < min_weight for weight in history[-1]):
            break
    return history


# -- helpers -------------------------------------------------------------------------------------


def noisy_experts(
    noise: list[float], pairs: int = 2, size: int = 23, classes: int = 6, seed: int = 0
) -> tuple[Tensor, list[Tensor]]:
    """Clean logits ``(N, E, C)`` and pairs of views; expert e moves by ``noise[e]`` between views."""
    rng = torch.Generator().manual_seed(seed)
    clean = 3 * torch.randn(size, len(noise), classes, generator=rng)
    spread = torch.tensor(noise)[:, None]
    views = [
        clean + spread * torch.randn(2, size, len(noise), classes, generator=rng)
        for _ in range(pairs)
    ]
    return clean, views


def source(sgd: OptimizerSettings = CIFAR_SGD) -> Source:
    return Source(get_method("sade", [5, 3, 2]), None, "none", sgd)


def adapt(
    clean: Tensor,
    views: list[Tensor],
    sgd: OptimizerSettings = CIFAR_SGD,
    seed: int = 7,
    read: Callable[[int], None] = lambda k: None,
    **hyper: Any,
) -> Adapted:
    def pair(k: int) -> Tensor:
        read(k)
        return views[k]

    test = UnlabelledTest(clean, views=pair, pairs=len(views))
    rng = torch.Generator().manual_seed(seed)
    return get_strategy("stability", **hyper).adapt(test, source(sgd), rng)


def orders(epochs: int, size: int, seed: int = 7) -> list[list[int]]:
    rng = torch.Generator().manual_seed(seed)
    return [torch.randperm(size, generator=rng).tolist() for _ in range(epochs)]


# -- tests ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("noise", [[0.1, 2.0], [0.5, 1.0, 2.0], [2.0, 0.1, 1.0, 0.5]])
@pytest.mark.parametrize("batch_size", [128, 23, 8])  # 8: the last, smaller batch counts in full
@pytest.mark.parametrize(
    "sgd",
    [
        CIFAR_SGD,
        OptimizerSettings(lr=0.5, momentum=0.5, nesterov=False, weight_decay=0.1),
        OptimizerSettings(lr=1.0, momentum=0.0, nesterov=False, weight_decay=0.0),
    ],
)
def test_weights_follow_the_published_loop(
    noise: list[float], batch_size: int, sgd: OptimizerSettings
) -> None:
    clean, views = noisy_experts(noise)
    adapted = adapt(clean, views, sgd, batch_size=batch_size, epochs=6, min_weight=0)
    expected = published_loop(
        [pair.double().numpy() for pair in views], orders(6, 23), sgd, batch_size, min_weight=0
    )
    found: Any = adapted.diagnostics["weights_by_epoch"]
    np.testing.assert_allclose(found, np.array(expected), atol=2e-6)
    assert adapted.expert_weights is not None
    assert adapted.expert_weights.tolist() == found[-1]


def test_the_transcription_has_the_right_gradient() -> None:
    _, views = noisy_experts([0.5, 1.0, 2.0])
    one, two = views[0].double().numpy()
    a = np.array([0.3, -0.2, 0.9])
    gradient = objective_and_gradient(a, one, two)[1]
    for e in range(3):
        step = np.eye(3)[e] * 1e-6
        ends = [objective_and_gradient(a + sign * step, one, two)[0] for sign in (1, -1)]
        assert gradient[e] == pytest.approx((ends[0] - ends[1]) / 2e-6, abs=1e-8)


def test_published_defaults() -> None:
    hyper: Any = get_strategy("stability").hyper
    assert (hyper.epochs, hyper.batch_size, hyper.min_weight) == (5, 128, 0.05)


def test_the_stable_expert_wins() -> None:
    clean, views = noisy_experts([0.05, 3.0, 3.0], size=200)
    weights = adapt(clean, views).expert_weights
    assert weights is not None
    assert weights[0] > 0.5


def test_stops_after_the_epoch_in_which_a_weight_falls_and_keeps_those_weights() -> None:
    clean, views = noisy_experts([0.05, 3.0, 3.0], size=200)
    sgd = OptimizerSettings(lr=1.0, momentum=0.9, nesterov=True, weight_decay=5e-4)
    adapted = adapt(clean, views, sgd, epochs=50)
    history = published_loop([v.double().numpy() for v in views], orders(50, 200), sgd, 128)
    assert 1 < len(history) < 50
    assert adapted.diagnostics["epochs"] == len(history)
    assert adapted.expert_weights is not None
    np.testing.assert_allclose(adapted.expert_weights, history[-1], atol=1e-5)
    assert min(history[-1]) < 0.05 <= round(min(history[-2]), 2)


@pytest.mark.parametrize(
    ("experts", "threshold", "epochs"),
    [(3, 0.33, 4), (3, 0.333, 1), (3, 0.34, 1), (6, 0.168, 4), (6, 0.17, 4), (6, 0.18, 1)],
)
def test_the_stop_rule_rounds_to_two_decimals(experts: int, threshold: float, epochs: int) -> None:
    """1/3 counts as 0.33, 1/6 as 0.17. Experts that are all alike never move apart."""
    clean, views = noisy_experts([1.0], size=8)
    alike = [view.expand(2, 8, experts, 6) for view in views]
    adapted = adapt(clean.expand(8, experts, 6), alike, epochs=4, min_weight=threshold)
    assert adapted.diagnostics["epochs"] == epochs
    assert adapted.expert_weights is not None
    np.testing.assert_allclose(adapted.expert_weights, [1 / experts] * experts, atol=1e-6)


def test_epochs_take_the_stored_pairs_in_turn() -> None:
    clean, views = noisy_experts([0.5, 0.6, 0.7], pairs=2)
    read: list[int] = []
    adapt(clean, views, epochs=5, min_weight=0, read=read.append)
    assert read == [0, 1, 0, 1, 0]


def test_scores_are_the_weighted_logits_of_the_clean_images() -> None:
    clean, views = noisy_experts([0.1, 1.0, 2.0])
    adapted = adapt(clean, views)
    assert adapted.expert_weights is not None
    assert adapted.frozen is not None
    expected = sum(w * clean[:, e] for e, w in enumerate(adapted.expert_weights))
    assert isinstance(expected, Tensor)
    torch.testing.assert_close(adapted.logits, expected)
    torch.testing.assert_close(adapted.frozen(clean[:2]), expected[:2])
    assert adapted.expert_weights.sum().item() == pytest.approx(1)


def test_a_single_expert_is_not_enough() -> None:
    assert type(get_strategy("stability")).min_experts == 2


# -- the published streaming variant -------------------------------------------------------------


def published_stream(
    pair: Array, clean: Array, sgd: OptimizerSettings, batch_size: int
) -> tuple[Array, list[list[float]]]:
    """One pass: a step on two views of the batch, then its prediction with the updated weights."""
    a, velocity = np.full(clean.shape[1], 1 / clean.shape[1]), None
    predictions, history = [], []
    for start in range(0, len(clean), batch_size):
        batch = slice(start, start + batch_size)
        one, two = pair[:, batch]
        gradient = -objective_and_gradient(a, one, two)[1] + sgd.weight_decay * a
        velocity = gradient if velocity is None else sgd.momentum * velocity + gradient
        a = a - sgd.lr * (gradient + sgd.momentum * velocity if sgd.nesterov else velocity)
        w = softmax(a)
        predictions += [sum(w[e] * image[e] for e in range(len(w))) for image in clean[batch]]
        history.append(w.tolist())
    return np.array(predictions), history


@pytest.mark.parametrize("batch_size", [64, 8, 1])
def test_the_session_is_the_published_streaming_variant(batch_size: int) -> None:
    clean, views = noisy_experts([0.1, 1.0, 3.0], size=70)
    pair = views[0]
    session = get_strategy("stability").session(source(), torch.Generator())
    assert session is not None
    assert session.predicts == "after"
    found = []
    for start in range(0, 70, batch_size):
        part = slice(start, start + batch_size)
        batch = UnlabelledTest(
            clean[part], views=lambda k, part=part: views[k][:, part], pairs=len(views)
        )
        found.append(session.step(batch))
    expected, history = published_stream(
        pair.double().numpy(), clean.double().numpy(), CIFAR_SGD, batch_size
    )
    np.testing.assert_allclose(torch.cat(found).double().numpy(), expected, atol=2e-4)
    assert history[-1][0] > history[-1][2]  # weights moved, so that the comparison says something


def test_the_prediction_uses_the_updated_weights() -> None:
    """Of a single batch already: with the weights of before it would be the plain mean."""
    clean, views = noisy_experts([0.1, 1.0, 3.0], size=64)
    session = get_strategy("stability").session(source(), torch.Generator())
    assert session is not None
    scores = session.step(UnlabelledTest(clean, views=views.__getitem__, pairs=len(views)))
    assert not torch.allclose(scores, clean.mean(1), atol=1e-3)
