"""Evaluates rows on a trial: every test set, every draw, one record."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ltbench.errors import ContractError
from ltbench.evaluate import metrics
from ltbench.evaluate.contract import checked_scores
from ltbench.evaluate.reweighted import ExactAccuracy, prior_error
from ltbench.evaluate.sources import HoldOut, KnownBias, build_source, with_fresh_network
from ltbench.evaluate.stored import sets_for
from ltbench.hyper import Json
from ltbench.rows import ResolvedRow
from ltbench.seeds import generator
from ltbench.shift.testsets import TestSet
from ltbench.strategy import Adapted, UnlabelledTest
from ltbench.task import Task
from ltbench.trial import Trial

Distribution = dict[str, Any]


@dataclass(frozen=True)
class TrialOutputs:
    """What a finished training leaves for evaluation.

    logits: ``(N, E, C)`` of all test images; shifted_logits: the same for forward and backward sets,
    other than ``logits`` only in the mode ``augmented``; views: pair k to ``(2, N, E, C)``, called
    only by strategies that need views; labels: ``(N,)``. Nothing of the labels reaches a strategy.
    holdout: labelled training images that training left out; network: gives a fresh private copy;
    images: indices ``(B,)`` to uint8 test images ``(B, 3, H, W)``. None where there is none.
    """

    trial: Trial
    task: Task
    logits: Tensor
    shifted_logits: Tensor
    labels: Tensor
    views: Callable[[int], Tensor]
    indices: dict[tuple[str, int], Tensor] = field(default_factory=dict)
    holdout: HoldOut | None = None
    network: Callable[[], nn.Module] | None = None
    images: Callable[[Tensor], Tensor] | None = None
    biases: dict[str, KnownBias] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, int]:
        """(experts, classes)."""
        return self.logits.shape[1], self.logits.shape[2]

    def logits_for(self, test_set: TestSet) -> Tensor:
        shifted = test_set.kind in ("forward", "backward")
        return self.shifted_logits if shifted else self.logits

    def indices_of(self, test_set: TestSet, draw: int) -> Tensor:
        """Indices of a draw, computed once for all rows: every method meets the same images."""
        key = (test_set.name, draw)
        if key not in self.indices:
            chosen = test_set.indices(self.labels.numpy(), draw)
            self.indices[key] = torch.from_numpy(chosen)
        return self.indices[key]


def evaluate_row(
    outputs: TrialOutputs,
    row: ResolvedRow,
    known: dict[str, Distribution],
    on_distribution: Callable[[str], None] = lambda name: None,
) -> dict[str, Distribution]:
    """Scores of ``row`` on every test set; what ``known`` holds already is not computed again.

    Raises :class:`ContractError` where the method's ``predict`` or the strategy breaks its contract.
    """
    counts = torch.from_numpy(outputs.task.train.counts)
    method = row.build_method(counts)
    strategy = row.strategy.cls(row.strategy_hyper)
    source = build_source(row, method, outputs)
    result = dict(known)
    who = f"{row.label}: the frozen predictor of strategy {row.strategy.name!r}"
    exact = {
        id(logits): ExactAccuracy(logits, outputs.labels, method.predict, who)
        for logits in (outputs.logits, outputs.shifted_logits)
    }
    for test_set in sets_for(row, outputs.task.test_sets):
        definition = test_set.definition()
        entry = result.get(test_set.name, {})
        if entry.get("definition") != definition:
            entry = {"definition": definition, "draws": {}}
        draws = dict(entry["draws"])
        for draw in range(test_set.draws):
            if str(draw) in draws:
                continue
            chosen = outputs.indices_of(test_set, draw)
            labels, logits = outputs.labels[chosen], outputs.logits_for(test_set)[chosen]
            # Selected images lie class by class; in that order they would tell their labels.
            arrival = torch.randperm(
                len(chosen), generator=generator("arrival", test_set.name, draw)
            )
            test = _unlabelled(outputs, row, logits[arrival], chosen[arrival])
            rng = generator("strategy", outputs.trial.seed, strategy.name, test_set.name, draw)
            given = with_fresh_network(source, row, outputs)
            with torch.enable_grad():
                adapted = strategy.adapt(test, given, rng)
            arrived = _checked(adapted, (len(chosen), logits.shape[2]), row)
            scores = torch.empty_like(arrived)
            scores[arrival] = arrived
            draws[str(draw)] = _scores(adapted, scores, labels, logits)
            draws[str(draw)] |= _transductive(adapted, test_set, outputs, exact)
            if test_set.kind == "uniform":
                draws[str(draw)] |= _uniform_details(outputs, row, scores, chosen)
            if draw == 0:
                entry = {**entry, "correct": metrics.pack_bits(metrics.correct(scores, labels))}
        if test_set.kind == "uniform":
            # Its images keep the order of the data; the other sets lie class by class.
            order = outputs.labels[outputs.indices_of(test_set, 0)]
            entry = {**entry, "labels": metrics.pack_labels(order)}
        result[test_set.name] = {**entry, "draws": draws}
        on_distribution(test_set.name)
    return result


def _unlabelled(
    outputs: TrialOutputs, row: ResolvedRow, logits: Tensor, chosen: Tensor
) -> UnlabelledTest:
    needs = row.strategy.cls.needs
    views, images = outputs.views, outputs.images
    counts = torch.bincount(outputs.labels[chosen], minlength=logits.shape[2])
    frequencies = counts.double() / len(chosen)
    return UnlabelledTest(
        logits,
        views=(lambda k: views(k)[:, chosen]) if "views" in needs else None,
        pairs=outputs.task.protocol.views.pairs,
        true_prior=frequencies if "true_prior" in needs else None,
        images=(lambda: images(chosen)) if "network" in needs and images is not None else None,
    )


def _checked(adapted: object, expected: tuple[int, int], row: ResolvedRow) -> Tensor:
    """The scores, after checking type, shape and NaN: a NaN must never count as class 0."""
    who = f"{row.label}: strategy {row.strategy.name!r} with method {row.method.name!r}"
    if not isinstance(adapted, Adapted) or not isinstance(adapted.logits, Tensor):
        raise ContractError(
            f"{who} returned {type(adapted).__name__}; expected Adapted with a tensor"
        )
    return checked_scores(adapted.logits, expected, who)


def _transductive(
    adapted: Adapted, test_set: TestSet, outputs: TrialOutputs, exact: dict[int, ExactAccuracy]
) -> dict[str, Any]:
    """Error of the estimated prior and exact accuracy of what was frozen, where there is either."""
    counts = torch.from_numpy(test_set.counts)
    found: dict[str, Any] = {}
    if adapted.prior is not None:
        found["prior_error"] = prior_error(adapted.prior, counts)
    if adapted.frozen is not None:
        found["exact"] = exact[id(outputs.logits_for(test_set))](adapted.frozen, counts)
    return found


def _scores(adapted: Adapted, scores: Tensor, labels: Tensor, logits: Tensor) -> dict[str, Any]:
    hits = metrics.correct(scores, labels)
    recalls = metrics.per_class_recall(hits, labels, scores.shape[1])
    expert_top1 = [_percent(metrics.correct(logits[:, e], labels)) for e in range(logits.shape[1])]
    return {
        "n": len(labels),
        "top1": _percent(hits),
        "macro": metrics.mean_recall(recalls),
        "nll": _finite(metrics.negative_log_likelihood(scores, labels)),
        "ece": metrics.expected_calibration_error(scores, labels),
        "expert_top1": expert_top1,
        "expert_weights": _optional(adapted.expert_weights),
        "prior": _optional(adapted.prior),
        "diagnostics": dict(adapted.diagnostics),
    }


def _uniform_details(
    outputs: TrialOutputs, row: ResolvedRow, scores: Tensor, chosen: Tensor
) -> dict[str, Any]:
    labels, logits = outputs.labels[chosen], outputs.logits[chosen]
    groups = outputs.task.groups

    def details(output: Tensor) -> dict[str, Any]:
        hits = metrics.correct(output, labels)
        recalls = metrics.per_class_recall(hits, labels, output.shape[1])
        means: dict[str, Json] = {g: metrics.mean_recall(recalls, c) for g, c in groups.items()}
        return {"per_class": recalls, "groups": {**means, "all": _percent(hits)}}

    agreement = None
    if "views" in row.strategy.cls.needs:
        agreement = _agreement(outputs.views(0)[:, chosen], labels, groups)
    experts = [details(logits[:, e]) for e in range(logits.shape[1])]
    return {**details(scores), "experts": experts, "agreement": agreement}


def _agreement(pair: Tensor, labels: Tensor, groups: dict[str, list[int]]) -> dict[str, Any]:
    """How alike each expert's predictions on two views are, by group of the image's class."""
    similarity = metrics.view_agreement(pair)
    experts = []
    for e in range(similarity.shape[1]):
        values: dict[str, Json] = {"all": similarity[:, e].mean().item()}
        for group, classes in groups.items():
            members = torch.isin(labels, torch.tensor(classes, dtype=torch.int64))
            values[group] = similarity[members, e].mean().item() if members.any() else None
        experts.append(values)
    return {"experts": experts}


def _percent(hits: Tensor) -> float:
    return 100.0 * hits.double().mean().item()


def _finite(value: float) -> float | None:
    """JSON has no infinity: a test image whose class was ruled out has an infinite loss."""
    return value if math.isfinite(value) else None


def _optional(values: Tensor | None) -> list[float] | None:
    return None if values is None else [float(value) for value in values.detach().double()]
