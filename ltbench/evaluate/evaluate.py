"""Evaluates rows on a trial: every test set, every draw, one record."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ltbench.errors import ContractError
from ltbench.evaluate import metrics
from ltbench.evaluate.by_class import ClassCounts
from ltbench.evaluate.contract import checked_scores
from ltbench.evaluate.outputs import TrialOutputs
from ltbench.evaluate.posteriors import as_log_posteriors
from ltbench.evaluate.reweighted import (
    ExactAccuracy,
    Predictor,
    Scored,
    expert_predictions,
    prior_error,
)
from ltbench.evaluate.sources import build_source, with_fresh_network
from ltbench.evaluate.spilled import rows_of, rows_of_pair
from ltbench.evaluate.stored import sets_for
from ltbench.hyper import Json
from ltbench.pieces import pieces
from ltbench.resolve.rows import ResolvedRow
from ltbench.seeds import generator
from ltbench.shift.testsets import TestSet
from ltbench.strategy import Adapted, Source, Strategy, UnlabelledTest

Distribution = dict[str, Any]


def evaluate_row(
    outputs: TrialOutputs,
    row: ResolvedRow,
    known: dict[str, Distribution],
    on_distribution: Callable[[str], None] = lambda name: None,
    by_class: ClassCounts | None = None,
) -> dict[str, Distribution]:
    """Scores of ``row`` on every test set; what ``known`` holds already is not computed again.

    by_class: counts every draw of the test sets that it lacks; scores that are known stay as they are.
    Raises :class:`ContractError` where the method's ``predict`` or the strategy breaks its contract.
    """
    counts = torch.from_numpy(outputs.task.train.counts)
    method = row.build_method(counts)
    strategy = row.strategy.cls(row.strategy_hyper)
    outputs = as_log_posteriors(outputs, row, method)
    source = build_source(row, method, outputs)
    result = dict(known)
    who = f"{row.label}: the frozen predictor of strategy {row.strategy.name!r}"
    exact = {
        id(logits): ExactAccuracy(logits, outputs.labels, method.predict, who)
        for logits in (outputs.logits, outputs.shifted_logits)
    }
    experts = {
        id(logits): expert_predictions(logits)
        for logits in (outputs.logits, outputs.shifted_logits)
    }
    for test_set in sets_for(row, outputs.task.test_sets):
        definition = test_set.definition()
        entry = result.get(test_set.name, {})
        if entry.get("definition") != definition:
            entry = {"definition": definition, **test_set.lists(), "draws": {}}
        draws = dict(entry["draws"])
        counted = by_class is not None and by_class.lacks(test_set.name, definition, test_set.draws)
        for draw in range(test_set.draws):
            if str(draw) in draws and not counted:
                continue
            chosen = outputs.indices_of(test_set, draw)
            labels, logits = outputs.labels[chosen], outputs.logits_for(test_set)
            adapted, scores = adapt(
                outputs, row, strategy, source, test_set.name, draw, chosen, logits
            )
            alone = experts[id(logits)]
            scored = Scored(scores, labels, alone[chosen])
            if test_set.pool is not None and adapted.frozen is not None:
                scored = reweighted(adapted.frozen, outputs, test_set, who, alone)
            if by_class is not None and counted:
                by_class.add(test_set.name, definition, draw, scored, adapted.frozen)
            if str(draw) in draws:
                continue
            if draw == 0:
                entry = {**entry, "correct": metrics.pack_bits(metrics.correct(scores, labels))}
            draws[str(draw)] = _scores(adapted, scored) | {"n": len(chosen)}
            if scored.weights is not None:
                draws[str(draw)]["reweighted"] = len(scored.labels)
            draws[str(draw)] |= _transductive(adapted, test_set, outputs, exact)
            if test_set.kind in ("uniform", "natural"):
                draws[str(draw)] |= _details(outputs, row, scored, chosen)
        if test_set.kind in ("uniform", "natural") and test_set.pool is None:
            # Its images keep the order of the data; drawn sets lie class by class.
            order = outputs.labels[outputs.indices_of(test_set, 0)]
            entry = {**entry, "labels": metrics.pack_labels(order)}
        elif test_set.kind == "uniform":  # recalls of a drawn set: the mean over its draws
            own = [{key: found[key] for key in _DETAILS} for found in draws.values()]
            entry = {**entry, **_mean_of(own)}
        result[test_set.name] = {**entry, "draws": draws}
        on_distribution(test_set.name)
    return result


def adapt(
    outputs: TrialOutputs,
    row: ResolvedRow,
    strategy: Strategy[Any],
    source: Source,
    name: str,
    draw: int,
    chosen: Tensor,
    logits: Tensor,
) -> tuple[Adapted, Tensor]:
    """What ``strategy`` returns for the images ``chosen`` ``(N,)`` of the pool with ``logits``
    ``(P, E, C)``, and its scores ``(N, C)``, both in the order of ``chosen``. name, draw: of the test
    set; they seed the strategy."""
    # Selected images lie class by class; in that order they would tell their labels.
    arrival = torch.randperm(len(chosen), generator=generator("arrival", name, draw))
    arriving = chosen[arrival]
    test = _unlabelled(outputs, row, rows_of(logits, arriving), arriving)  # the one copy of a draw
    rng = generator("strategy", outputs.trial.seed, strategy.name, name, draw)
    given = with_fresh_network(source, row, outputs)
    with torch.enable_grad():
        adapted = strategy.adapt(test, given, rng)
    arrived = _checked(adapted, (len(chosen), logits.shape[2]), row)
    del test, given  # a copy of all logits of the draw, before there is another table
    scores = rows_of(arrived, torch.argsort(arrival))
    return replace(adapted, logits=scores), scores


def reweighted(
    frozen: Predictor, outputs: TrialOutputs, test_set: TestSet, who: str, experts: Tensor
) -> Scored:
    """What a predictor, fixed once adapted, gives on every image of the set's classes, each class
    weighing the same: the accuracy under a uniform label distribution without drawing's noise.

    experts: ``(P, E)``, what each expert predicts for every image of the pool."""
    assert test_set.pool is not None
    there = (torch.from_numpy(test_set.pool)[outputs.labels] > 0).nonzero()[:, 0]
    logits, labels = outputs.logits_for(test_set), outputs.labels[there]
    classes = logits.shape[2]

    scores: Tensor | None = None
    for part in pieces(len(there), *logits.shape[1:]):
        places = there[part]
        with torch.no_grad():
            own = checked_scores(frozen(logits[places]), (len(places), classes), who)
        if scores is None:  # filled as it comes: joining a list would hold everything twice
            scores = own if len(own) == len(there) else own.new_empty((len(there), classes))
        scores[part] = own
    assert scores is not None
    return Scored(scores, labels, experts[there], metrics.class_weights(labels, classes))


def _unlabelled(
    outputs: TrialOutputs, row: ResolvedRow, logits: Tensor, chosen: Tensor
) -> UnlabelledTest:
    needs = row.needs
    views, images = outputs.views, outputs.images
    counts = torch.bincount(outputs.labels[chosen], minlength=logits.shape[2])
    frequencies = counts.double() / len(chosen)
    return UnlabelledTest(
        logits,
        views=(lambda k: rows_of_pair(views(k), chosen)) if "views" in needs else None,
        pairs=outputs.task.protocol.views.pairs if outputs.pairs is None else outputs.pairs,
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


def _scores(adapted: Adapted, scored: Scored) -> dict[str, Any]:
    scores, labels, experts, weights = scored
    hits = metrics.correct(scores, labels)
    recalls = metrics.per_class_recall(hits, labels, scores.shape[1])
    expert_top1 = [metrics.accuracy(said == labels, weights) for said in experts.T]
    return {
        "n": len(labels),
        "top1": metrics.accuracy(hits, weights),
        "macro": metrics.mean_recall(recalls),
        "nll": _finite(metrics.negative_log_likelihood(scores, labels, weights)),
        "ece": metrics.expected_calibration_error(scores, labels, weights),
        "brier": metrics.brier_score(scores, labels, weights),
        "top5": metrics.accuracy(metrics.among_first(scores, labels), weights),
        "expert_top1": expert_top1,
        "expert_weights": _optional(adapted.expert_weights),
        "prior": _optional(adapted.prior),
        "diagnostics": dict(adapted.diagnostics),
    }


_DETAILS = ("per_class", "groups", "experts", "agreement")


def _details(
    outputs: TrialOutputs, row: ResolvedRow, scored: Scored, chosen: Tensor
) -> dict[str, Any]:
    """Recalls by class and group, of the scores and of each expert; chosen: images adapted on."""
    scores, labels, alone, weights = scored
    groups = outputs.task.groups

    def details(hits: Tensor) -> dict[str, Any]:
        recalls = metrics.per_class_recall(hits, labels, scores.shape[1])
        means: dict[str, Json] = {g: metrics.mean_recall(recalls, c) for g, c in groups.items()}
        return {"per_class": recalls, "groups": {**means, "all": metrics.accuracy(hits, weights)}}

    agreement = None
    if "views" in row.needs:
        pair = outputs.views(0)
        similarity = torch.empty(len(chosen), pair.shape[2])  # filled as it comes, within the loop:
        for part in pieces(len(chosen), 2, *pair.shape[2:]):  # each turn gives pages back
            similarity[part] = metrics.view_agreement(pair[:, chosen[part]].float())
        agreement = _agreement(similarity, outputs.labels[chosen], groups)
    experts = [details(said == labels) for said in alone.T]
    return {**details(metrics.correct(scores, labels)), "experts": experts, "agreement": agreement}


def _agreement(similarity: Tensor, labels: Tensor, groups: dict[str, list[int]]) -> dict[str, Any]:
    """How alike each expert's predictions on two views are ``(N, E)``, by group of the class."""
    experts = []
    for e in range(similarity.shape[1]):
        values: dict[str, Json] = {"all": similarity[:, e].mean().item()}
        for group, classes in groups.items():
            members = torch.isin(labels, torch.tensor(classes, dtype=torch.int64))
            values[group] = similarity[members, e].mean().item() if members.any() else None
        experts.append(values)
    return {"experts": experts}


def _mean_of(values: Sequence[Any]) -> Any:
    """The mean of equal structures, number by number; None where one is None."""
    first = values[0]
    if any(value is None for value in values):
        return None
    if isinstance(first, dict):
        return {key: _mean_of([value[key] for value in values]) for key in first}
    if isinstance(first, list):
        return [_mean_of(items) for items in zip(*values, strict=True)]
    return math.fsum(values) / len(values)


def _finite(value: float) -> float | None:
    """JSON has no infinity: a test image whose class was ruled out has an infinite loss."""
    return value if math.isfinite(value) else None


def _optional(values: Tensor | None) -> list[float] | None:
    return None if values is None else [float(value) for value in values.detach().double()]
