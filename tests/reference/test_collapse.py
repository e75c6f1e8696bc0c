"""The failure case of the literature: stability picks the worst expert, and the flag fires.

On a set of three classes SADE's objective drove the weight to the expert with the lowest accuracy
(SADE, issue 9: 21 % accuracy, weight 0.73), for stable predictions need not be right ones.
"""

from __future__ import annotations

import dataclasses
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor

from ltbench.data.dataset import Splits
from ltbench.evaluate.evaluate import TrialOutputs, evaluate_row
from ltbench.names import parse_row
from ltbench.protocol.file import load_protocol_config
from ltbench.protocol.protocol import GroupsConfig, TestConfig
from ltbench.registry import load_registries
from ltbench.report.records.checks import Node
from ltbench.report.records.scores import parse_distribution
from ltbench.report.statistics.adaptation import Comparison, compare
from ltbench.resolve.rows import resolve_row
from ltbench.shift.groups import class_groups
from ltbench.shift.testsets import build_test_sets
from ltbench.shift.trainset import TrainSet
from ltbench.task import Task
from ltbench.trial.trial import Trial

COUNTS = np.array([50, 20, 8])
PER_CLASS = 400


def experts(wavering: float, stable: float) -> tuple[Tensor, Tensor, Tensor]:
    """Labels ``(N,)``, logits ``(N, 3, 3)`` and two pairs of views ``(2, 2, N, 3, 3)``.

    Experts 1 and 2 have accuracy ``wavering`` and change between two views of an image. Expert 3
    says the same on every view, with more confidence, and has accuracy ``stable``.
    """
    rng = torch.Generator().manual_seed(0)
    labels = torch.arange(3).repeat_interleave(PER_CLASS)
    labels = labels[torch.randperm(len(labels), generator=rng)]

    def says(accuracy: float, confidence: float) -> Tensor:
        wrong = (labels + torch.randint(1, 3, labels.shape, generator=rng)) % 3
        right = torch.rand(labels.shape, generator=rng) < accuracy
        said = torch.where(right, labels, wrong)
        return confidence * torch.nn.functional.one_hot(said, 3).float()

    logits = torch.stack([says(wavering, 4.0), says(wavering, 4.0), says(stable, 5.0)], dim=1)
    waver = torch.tensor([4.0, 4.0, 0.05])[:, None]
    views = logits + waver * torch.randn(2, 2, *logits.shape, generator=rng)
    return labels, logits, views


def compared(wavering: float, stable: float) -> dict[str, tuple[Comparison, list[float]]]:
    """Through the program: strategies, metrics, record, report."""
    labels, logits, views = experts(wavering, stable)
    config = TestConfig(ratios=(5.0,), draws=2)
    base = load_protocol_config("digits-lt")
    protocol = dataclasses.replace(
        base,
        test=config,
        groups=GroupsConfig(many_above=30, few_below=10),
        views=dataclasses.replace(base.views, pairs=2),
        recipe=dataclasses.replace(base.recipe, lr=0.1),  # SADE's own
    )
    empty = np.zeros(0, dtype=np.int64)
    train = TrainSet(empty, empty, COUNTS, COUNTS)
    groups = class_groups(COUNTS, protocol.groups)
    sets = build_test_sets(config, np.bincount(labels.numpy()), train.rank, groups)
    task = Task(protocol, cast(Splits, None), train, train.rank, groups, sets)
    trial = Trial(protocol, "sade", {}, 1, "", protocol.recipe, 0, "float32", "train", "test")
    outputs = TrialOutputs(trial, task, logits, logits, labels, lambda k: views[k])
    registries = load_registries()
    records: list[Any] = [
        evaluate_row(outputs, resolve_row(parse_row(text), protocol, registries), {})
        for text in ("sade", "sade+none", "sade+oracle")
    ]
    found = {}
    for name in ("forward5", "uniform", "backward5"):
        adapted, plain, oracle = (
            parse_distribution(name, Node(record[name], name), 3, 3) for record in records
        )
        weights = records[0][name]["draws"]["0"]["expert_weights"]
        found[name] = (compare(adapted, plain, oracle), weights)
    return found


def test_the_flag_fires_where_stability_picks_the_worst_expert() -> None:
    found = compared(wavering=0.9, stable=0.2)
    for name, (case, weights) in found.items():
        assert weights[2] > 0.6, name  # the worst expert has the weight
        assert case.plain is not None
        assert case.plain > 85
        assert case.adapted < 55
        assert case.gain == pytest.approx(case.adapted - case.plain)
        assert case.collapsed is True, name
    assert found["uniform"][0].regret is not None
    assert found["uniform"][0].regret > 20


def test_it_does_not_fire_where_the_stable_expert_is_right() -> None:
    for case, weights in compared(wavering=0.6, stable=0.95).values():
        assert weights[2] > 0.6
        assert case.collapsed is False
