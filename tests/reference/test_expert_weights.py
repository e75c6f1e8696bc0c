"""Entropy minimisation and pseudo-labels against a loop in plain NumPy with numeric gradients."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from ltbench import get_method, get_strategy
from ltbench.labelshift.expert_weights import Aggregation
from ltbench.strategy import Adapted, OptimizerSettings, Source, UnlabelledTest

Array = np.ndarray[Any, np.dtype[np.float64]]
SGD = OptimizerSettings(lr=0.5, momentum=0.9, nesterov=True, weight_decay=5e-4)


def softmax(z: Array) -> Array:
    powers = np.exp(z - z.max())
    return np.asarray(powers / powers.sum())


def entropy(z: Array, w: Array, fixed: Array) -> float:
    p = [softmax(w @ image) for image in z]
    return float(np.mean([-(q * np.log(q)).sum() for q in p]))


def self_training(z: Array, w: Array, fixed: Array) -> float:
    """``fixed``: the weights whose predictions are the labels; no gradient goes through them."""
    labels = [int((fixed @ image).argmax()) for image in z]
    return float(
        np.mean([-np.log(softmax(w @ image)[k]) for image, k in zip(z, labels, strict=True)])
    )


def slow_loop(
    loss: Callable[[Array, Array, Array], float], z: Array, orders: list[list[int]], batch: int
) -> list[list[float]]:
    a, velocity, history = np.full(z.shape[1], 1 / z.shape[1]), None, []
    for order in orders:
        for start in range(0, len(order), batch):
            chosen, now = z[order[start : start + batch]], softmax(a)
            gradient = np.zeros_like(a)
            for e in range(len(a)):
                step = np.eye(len(a))[e] * 1e-5
                ends = [loss(chosen, softmax(a + sign * step), now) for sign in (1, -1)]
                gradient[e] = (ends[0] - ends[1]) / 2e-5
            gradient += SGD.weight_decay * a
            velocity = gradient if velocity is None else SGD.momentum * velocity + gradient
            a = a - SGD.lr * (gradient + SGD.momentum * velocity)
        history.append(softmax(a).tolist())
    return history


def adapt(name: str, logits: Tensor, sgd: OptimizerSettings = SGD, **hyper: Any) -> Adapted:
    source = Source(get_method("sade", [5, 3, 2]), None, "none", sgd)
    rng = torch.Generator().manual_seed(7)
    return get_strategy(name, **hyper).adapt(UnlabelledTest(logits), source, rng)


@pytest.mark.parametrize(("name", "loss"), [("entropy", entropy), ("pseudo-label", self_training)])
@pytest.mark.parametrize("batch", [21, 8])  # 8: the last, smaller batch counts in full
def test_weights_follow_the_slow_loop(
    name: str, loss: Callable[[Array, Array, Array], float], batch: int
) -> None:
    logits = 2 * torch.randn(21, 3, 5, generator=torch.Generator().manual_seed(1))
    logits[:, 1] *= 1.5
    adapted = adapt(name, logits, epochs=3, batch_size=batch, min_weight=0)
    rng = torch.Generator().manual_seed(7)
    orders = [torch.randperm(21, generator=rng).tolist() for _ in range(3)]
    expected = slow_loop(loss, logits.double().numpy(), orders, batch)
    found: Any = adapted.diagnostics["weights_by_epoch"]
    np.testing.assert_allclose(found, expected, atol=2e-5)
    assert adapted.expert_weights is not None
    assert adapted.expert_weights.tolist() == found[-1]
    weighted = sum(w * logits[:, e] for e, w in enumerate(found[-1]))
    assert isinstance(weighted, Tensor)
    torch.testing.assert_close(adapted.logits, weighted)


@pytest.mark.parametrize("name", ["entropy", "pseudo-label"])
def test_the_most_confident_expert_wins_right_or_wrong(name: str) -> None:
    """Their known weakness, stated in their docstrings."""
    logits = torch.randn(500, 3, 5, generator=torch.Generator().manual_seed(1))
    logits[:, 2] = torch.tensor([9.0, 0, 0, 0, 0])
    weights = adapt(name, logits).expert_weights
    assert weights is not None
    assert weights[2] > 0.6


@pytest.mark.parametrize("name", ["entropy", "pseudo-label"])
def test_stops_after_the_epoch_in_which_a_weight_falls(name: str) -> None:
    logits = torch.randn(500, 3, 5, generator=torch.Generator().manual_seed(1))
    logits[:, 2] = torch.tensor([9.0, 0, 0, 0, 0])
    slow = OptimizerSettings(lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.0)
    adapted = adapt(name, logits, slow, epochs=50, batch_size=50)
    history: Any = adapted.diagnostics["weights_by_epoch"]
    assert 1 < len(history) < 50
    assert adapted.diagnostics["epochs"] == len(history)
    assert round(min(history[-1]), 2) < 0.05 <= round(min(history[-2]), 2)


@pytest.mark.parametrize("name", ["entropy", "pseudo-label"])
def test_a_single_expert_is_not_enough(name: str) -> None:
    assert type(get_strategy(name)).min_experts == 2


@pytest.mark.parametrize(("momentum", "nesterov"), [(0.9, True), (0.9, False), (0.0, False)])
@pytest.mark.parametrize("weight_decay", [0.0, 5e-4])
def test_steps_equal_those_of_the_optimiser_in_every_bit(
    momentum: float, nesterov: bool, weight_decay: float
) -> None:
    settings = OptimizerSettings(0.3, momentum, nesterov, weight_decay)
    ours = Aggregation(3, settings, torch.device("cpu"))
    scores = torch.full((3,), 1 / 3, requires_grad=True)
    theirs = torch.optim.SGD(
        [scores], lr=0.3, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay
    )
    rng = torch.Generator().manual_seed(0)
    for _ in range(20):
        target = torch.randn(3, generator=rng)
        ours.update(lambda weights, target=target: (weights * target).sum() ** 2)  # type: ignore[misc]
        theirs.zero_grad()
        ((F.softmax(scores, dim=0) * target).sum() ** 2).backward()  # type: ignore[no-untyped-call]
        theirs.step()
        assert torch.equal(ours.scores, scores)
    assert not torch.equal(ours.weights, torch.full((3,), 1 / 3))


def test_learning_weights_does_not_load_torchs_compiler() -> None:
    """It takes two seconds, more than all steps of a strategy."""
    code = (
        "import sys, torch; from ltbench.labelshift.expert_weights import Aggregation; "
        "from ltbench.strategy import OptimizerSettings; "
        "a = Aggregation(3, OptimizerSettings(0.1, 0.9, True, 5e-4), torch.device('cpu')); "
        "a.update(lambda w: (w * torch.arange(3.0)).sum()); sys.exit('torch._dynamo' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
