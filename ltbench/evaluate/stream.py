"""Streams: the test images come one after another, and a session predicts them as they come."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor

from ltbench.errors import ContractError, InputError
from ltbench.evaluate import metrics
from ltbench.evaluate.contract import checked_scores
from ltbench.evaluate.evaluate import _unlabelled
from ltbench.evaluate.outputs import TrialOutputs
from ltbench.evaluate.posteriors import as_log_posteriors
from ltbench.evaluate.sources import build_source, with_fresh_network
from ltbench.evaluate.stored import evaluation_hash, known_distributions
from ltbench.resolve.rows import ResolvedRow
from ltbench.seeds import generator
from ltbench.shift.arrival import Arrival
from ltbench.shift.stream import ORDERS, drifting_times
from ltbench.shift.testsets import TestSet
from ltbench.strategy import Need, Predicts, Session, Strategy, UnlabelledTest
from ltbench.trial.trial import Trial, content_hash

STREAM_SEMANTICS = 1
"""Raised when what a stream computes changes on purpose."""
_DRAW = 0  # a stream is one order of one draw; the others would cost as much again
_PREDICTS = get_args(Predicts)


def stream_path(folder: Path, trial: Trial, row: ResolvedRow, mode: str, arrival: Arrival) -> Path:
    """The file of ``row`` under ``arrival``: beside the evaluations, which know nothing of it."""
    arrived = arrival.name.replace(":", "")
    name = f"{row.file_name}+{row.strategy.name}-{arrived}-{stream_hash(trial, row, mode, arrival)}"
    return folder / "streams" / f"{name}.json"


def stream_hash(trial: Trial, row: ResolvedRow, mode: str, arrival: Arrival) -> str:
    """The identity of a row met as a stream; test sets are told by their definitions."""
    row_hash = evaluation_hash(trial, row, mode)
    return content_hash(
        ["stream", STREAM_SEMANTICS, row_hash, arrival.size, trial.protocol.test.drift]
    )


def is_streamed(path: Path, test_sets: list[TestSet]) -> bool:
    """Whether the file holds both orders of every test set."""
    known = known_distributions(path, "orders")
    return all(
        known.get(test_set.name, {}).get("definition") == test_set.definition()
        and all(order in known[test_set.name]["orders"] for order in ORDERS)
        for test_set in test_sets
    )


def check_streamable(row: ResolvedRow) -> None:
    """Refuses, before any work, a strategy that has no session. One clear line."""
    if row.strategy.cls.session is Strategy.session:
        raise InputError(
            f"{row.label}: strategy {row.strategy.name!r} works on whole test sets only, so it "
            "cannot meet a stream; leave out --arrival, or the row"
        )


def stream_row(
    outputs: TrialOutputs,
    row: ResolvedRow,
    arrival: Arrival,
    known: dict[str, dict[str, Any]],
    on_distribution: Callable[[str], None] = lambda name: None,
) -> dict[str, dict[str, Any]]:
    """Draw 0 of every test set as two streams; what ``known`` holds already is not computed again.

    ``random``: a seeded order, the same for every method. ``drifting``: :func:`drifting_times`.
    Each stream has a session of its own: nothing is carried from one to the next. Raises
    :class:`ContractError` where the session breaks its contract.
    """
    result = dict(known)
    method = row.build_method(torch.from_numpy(outputs.task.train.counts))
    outputs = as_log_posteriors(outputs, row, method)
    for test_set in outputs.task.test_sets:
        definition = test_set.definition()
        entry = result.get(test_set.name, {})
        if entry.get("definition") != definition:
            entry = {"definition": definition, "orders": {}}
        orders = dict(entry["orders"])
        for order in ORDERS:
            if order not in orders:
                orders[order] = _meet(outputs, row, arrival, test_set, order)
        result[test_set.name] = {**entry, "orders": orders}
        on_distribution(test_set.name)
    return result


def arrival_order(outputs: TrialOutputs, test_set: TestSet, order: str) -> Tensor:
    """``(N,)`` indices into the test images of draw 0, first come first."""
    chosen = outputs.indices_of(test_set, _DRAW)
    if order == "random":  # the order in which whole test sets are handed over, too
        rng = generator("arrival", test_set.name, _DRAW)
        return chosen[torch.randperm(len(chosen), generator=rng)]
    rng = generator("drift", test_set.name, _DRAW)
    uniform = torch.rand(len(chosen), dtype=torch.float64, generator=rng).numpy()
    labels = outputs.labels[chosen].numpy()
    ratio = outputs.task.protocol.test.drift
    times = drifting_times(labels, outputs.task.rank, ratio, uniform)
    return chosen[torch.from_numpy(times.argsort(kind="stable"))]


def _meet(
    outputs: TrialOutputs, row: ResolvedRow, arrival: Arrival, test_set: TestSet, order: str
) -> dict[str, Any]:
    """One session over one stream. ``correct``: packed bits in the order of arrival."""
    who = f"{row.label}: the session of strategy {row.strategy.name!r}"
    coming = arrival_order(outputs, test_set, order)
    session = _session(outputs, row, test_set, order, who)
    hits = []
    with torch.enable_grad():
        for part, batch in _batches(outputs, row, test_set, coming, arrival.size):
            expected = (part.stop - part.start, outputs.logits.shape[2])
            scores = checked_scores(session.step(batch), expected, who)
            hits.append(metrics.correct(scores, outputs.labels[coming[part]]))
    correct = torch.cat(hits)
    return {
        "n": len(correct),
        "top1": 100.0 * correct.double().mean().item(),
        "correct": metrics.pack_bits(correct),
    }


def _session(
    outputs: TrialOutputs, row: ResolvedRow, test_set: TestSet, order: str, who: str
) -> Session:
    method = row.build_method(torch.from_numpy(outputs.task.train.counts))
    strategy = row.strategy.cls(row.strategy_hyper)
    rng = generator("session", outputs.trial.seed, strategy.name, test_set.name, order)
    source = with_fresh_network(build_source(row, method, outputs), row, outputs)
    session = strategy.session(source, rng)
    if not isinstance(session, Session):
        raise ContractError(f"{who} is {type(session).__name__}; expected a Session")
    if getattr(session, "predicts", None) not in _PREDICTS:
        raise ContractError(f"{who} must declare predicts as one of: {', '.join(_PREDICTS)}")
    return session


def predicts(outputs: TrialOutputs, row: ResolvedRow) -> str:
    """When the row's session predicts a batch: ``before`` or ``after`` adapting on it, ``fixed``."""
    who = f"{row.label}: the session of strategy {row.strategy.name!r}"
    return _session(outputs, row, outputs.task.test_sets[0], ORDERS[0], who).predicts


def _batches(
    outputs: TrialOutputs, row: ResolvedRow, test_set: TestSet, coming: Tensor, size: int
) -> Iterator[tuple[slice, UnlabelledTest]]:
    """The stream in batches; views and images are those of the batch alone."""
    whole = _unlabelled(outputs, row, outputs.logits_for(test_set)[coming], coming)
    views = lru_cache(maxsize=None)(whole.views)  # one look-up for the stream, not one a batch
    for start in range(0, len(coming), size):
        part = slice(start, min(start + size, len(coming)))
        yield part, _part(whole, part, views, row.needs)


def _part(
    whole: UnlabelledTest, part: slice, views: Callable[[int], Tensor], needs: frozenset[Need]
) -> UnlabelledTest:
    def views_of_part(k: int) -> Tensor:
        return views(k)[:, part]

    def images_of_part() -> Tensor:
        return whole.images[part]

    return UnlabelledTest(
        whole.logits[part].clone(),  # whatever a session writes stays in its batch
        views=views_of_part if "views" in needs else None,
        pairs=whole.pairs,
        true_prior=whole.true_prior if "true_prior" in needs else None,
        images=images_of_part if "network" in needs else None,
    )
