"""The published failure of prediction stability, as a fixture that other tests can use."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from ltbench import get_method, get_strategy
from ltbench.strategy import Adapted, OptimizerSettings, Source, UnlabelledTest

CIFAR_SGD = OptimizerSettings(lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)


def adapt(name: str, failure: Any) -> Adapted:
    test = UnlabelledTest(failure.logits, views=lambda k: failure.views[k], pairs=5)
    source = Source(get_method("sade", [50, 20, 5]), None, "none", CIFAR_SGD)
    return get_strategy(name).adapt(test, source, torch.Generator().manual_seed(0))


def accuracy(scores: Tensor, failure: Any) -> float:
    return (scores.argmax(1) == failure.labels).double().mean().item()


def test_the_experts_are_as_skilled_as_told(stability_failure: Any) -> None:
    found = [accuracy(stability_failure.logits[:, e], stability_failure) for e in range(3)]
    assert found == pytest.approx([0.93, 0.84, 0.21], abs=0.01)
    mean = stability_failure.logits.mean(1)
    assert accuracy(mean, stability_failure) == pytest.approx(0.85, abs=0.01)


def test_the_worst_expert_gets_most_weight(stability_failure: Any) -> None:
    """Stability is not accuracy: what a collapse flag must report."""
    adapted = adapt("stability", stability_failure)
    assert adapted.expert_weights is not None
    assert adapted.expert_weights.argmax() == 2
    assert adapted.expert_weights[2] > 0.7
    assert accuracy(adapted.logits, stability_failure) < 0.5
