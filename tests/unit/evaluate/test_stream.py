"""Streams on stored logits: what a session meets, in which order, and what is kept."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
import pytest
import torch
from torch import Tensor

from ltbench.data.dataset import Splits
from ltbench.errors import ContractError, InputError
from ltbench.evaluate import metrics
from ltbench.evaluate.evaluate import TrialOutputs, evaluate_row
from ltbench.evaluate.stored import evaluation_path
from ltbench.evaluate.stream import (
    arrival_order,
    check_streamable,
    is_streamed,
    stream_path,
    stream_row,
)
from ltbench.method import NoHyper
from ltbench.names import parse_row
from ltbench.protocol.file import load_protocol_config
from ltbench.protocol.protocol import GroupsConfig, TestConfig
from ltbench.registry import Plugin, load_registries
from ltbench.resolve.rows import ResolvedRow, resolve_row
from ltbench.shift.arrival import Arrival
from ltbench.shift.groups import class_groups
from ltbench.shift.testsets import build_test_sets
from ltbench.shift.trainset import TrainSet
from ltbench.strategy import Adapted, Session, Source, Strategy, UnlabelledTest
from ltbench.task import Task
from ltbench.trial.trial import Trial

COUNTS = np.array([50, 20, 8, 3])
PER_CLASS = 30
PROTOCOL = load_protocol_config("digits-lt")
REGISTRIES = load_registries()
SIZES = [Arrival(1), Arrival(7), Arrival(1000)]


def outputs(experts: int = 3, **test: Any) -> TrialOutputs:
    """120 test images of 4 classes; the logits know the class to some degree."""
    config = TestConfig(**{"ratios": (5.0,), "draws": 1, "partial": False, **test})
    protocol = dataclasses.replace(
        PROTOCOL, test=config, groups=GroupsConfig(many_above=10, few_below=2)
    )
    rng = torch.Generator().manual_seed(0)
    labels = torch.arange(4).repeat_interleave(PER_CLASS)
    labels = labels[torch.randperm(len(labels), generator=rng)]
    logits = torch.randn(len(labels), experts, 4, generator=rng)
    logits[torch.arange(len(labels)), :, labels] += 1.5
    views = logits + 0.5 * torch.randn(2, 2, *logits.shape, generator=rng)
    empty = np.zeros(0, dtype=np.int64)
    train = TrainSet(empty, empty, COUNTS, COUNTS)
    groups = class_groups(COUNTS, protocol.groups)
    sets = build_test_sets(config, np.bincount(labels.numpy()), train.rank, groups)
    task = Task(protocol, cast(Splits, None), train, train.rank, groups, sets)
    trial = Trial(protocol, "sade", {}, 1, "", protocol.recipe, 0, "float32", "train", "test")
    return TrialOutputs(trial, task, logits, logits, labels, lambda k: views[k])


def row(text: str) -> ResolvedRow:
    return resolve_row(parse_row(text), PROTOCOL, REGISTRIES)


class Watching(Session):
    """Keeps the batches it met; its prediction is what a test says."""

    predicts: ClassVar = "before"
    met: ClassVar[list[list[UnlabelledTest]]]
    answer: ClassVar[Callable[[UnlabelledTest], Any]]

    def __init__(self) -> None:
        type(self).met.append([])

    def step(self, batch: UnlabelledTest) -> Tensor:
        type(self).met[-1].append(batch)
        result: Tensor = type(self).answer(batch)
        return result


def spied(
    answer: Callable[[UnlabelledTest], Any] = lambda batch: batch.logits.mean(1),
    needs: frozenset[Any] = frozenset(),
    **declared: Any,
) -> tuple[ResolvedRow, type[Watching]]:
    kind = type("Kind", (Watching,), {"answer": staticmethod(answer), "met": [], **declared})

    class Spy(Strategy[NoHyper]):
        name: ClassVar = "spy"
        title: ClassVar = "spy"

        def adapt(self, test: UnlabelledTest, source: Source, rng: torch.Generator) -> Adapted:
            return Adapted(test.logits.mean(1))

        def session(self, source: Source, rng: torch.Generator) -> Session:
            return kind()

    Spy.needs = needs  # type: ignore[misc]
    plugin: Plugin[Any] = Plugin("spy", Spy, "test")
    return dataclasses.replace(row("sade"), strategy=plugin, strategy_hyper=NoHyper()), kind


# -- orders --------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["random", "drifting"])
def test_every_image_of_draw_0_arrives_once(order: str) -> None:
    world = outputs()
    for test_set in world.task.test_sets:
        coming = arrival_order(world, test_set, order)
        chosen = test_set.indices(world.labels.numpy(), 0)
        assert sorted(coming.tolist()) == sorted(chosen.tolist())
        again = arrival_order(outputs(), test_set, order)
        assert torch.equal(coming, again)


def test_the_drifting_order_goes_from_head_to_tail_and_the_random_one_does_not() -> None:
    world = outputs()
    uniform = next(s for s in world.task.test_sets if s.kind == "uniform")
    half = len(world.labels) // 2
    mean_rank = {}
    for order in ("random", "drifting"):
        ranks = world.task.rank[world.labels[arrival_order(world, uniform, order)].numpy()]
        mean_rank[order] = ranks[half:].mean() - ranks[:half].mean()
    assert mean_rank["drifting"] > 0.8
    assert abs(mean_rank["random"]) < 0.5


def test_the_drift_of_the_protocol_decides_how_far() -> None:
    uniform = next(s for s in outputs().task.test_sets if s.kind == "uniform")
    spans = []
    for drift in (1.5, 1000.0):
        world = outputs(drift=drift)
        ranks = world.task.rank[world.labels[arrival_order(world, uniform, "drifting")].numpy()]
        spans.append(ranks[90:].mean() - ranks[:30].mean())
    assert spans[1] > spans[0] + 1


# -- scores --------------------------------------------------------------------------------------


@pytest.mark.parametrize("arrival", SIZES, ids=lambda a: a.name)
@pytest.mark.parametrize("text", ["sade+none", "sade+oracle"])
def test_what_does_not_adapt_scores_as_on_the_whole_set(text: str, arrival: Arrival) -> None:
    """The oracle knows the frequencies of the whole stream, whatever the batch holds."""
    world = outputs()
    whole = evaluate_row(world, row(text), {})
    for name, entry in stream_row(world, row(text), arrival, {}).items():
        for stream in entry["orders"].values():
            assert stream["top1"] == pytest.approx(whole[name]["draws"]["0"]["top1"])


@pytest.mark.parametrize("order", ["random", "drifting"])
def test_bits_are_in_the_order_of_arrival(order: str) -> None:
    world = outputs()
    result = stream_row(world, row("sade+none"), Arrival(7), {})
    for test_set in world.task.test_sets:
        coming = arrival_order(world, test_set, order)
        expected = world.logits[coming].mean(1).argmax(1) == world.labels[coming]
        stream = result[test_set.name]["orders"][order]
        assert stream["n"] == len(coming)
        assert torch.equal(metrics.unpack_bits(stream["correct"], stream["n"]), expected)
    json.dumps(result, allow_nan=False)


def test_stability_adapts_on_the_way() -> None:
    """Two passes over the same images in other orders or batches differ in their predictions."""
    world = outputs()
    small, large = (stream_row(world, row("sade"), a, {}) for a in (Arrival(1), Arrival(1000)))
    assert small["uniform"]["orders"]["random"] != large["uniform"]["orders"]["random"]
    assert small == stream_row(outputs(), row("sade"), Arrival(1), {})


# -- what a session meets ------------------------------------------------------------------------


def test_batches_have_the_asked_size_and_every_stream_a_session_of_its_own() -> None:
    world = outputs()
    spy, kind = spied()
    stream_row(world, spy, Arrival(7), {})
    assert len(kind.met) == 2 * len(world.task.test_sets)
    streams = iter(kind.met)
    for test_set in world.task.test_sets:
        for order in ("random", "drifting"):
            batches = next(streams)
            n = int(test_set.counts.sum())
            sizes = [len(batch.logits) for batch in batches]
            assert sizes == [7] * (n // 7) + ([n % 7] if n % 7 else [])
            coming = arrival_order(world, test_set, order)
            assert torch.equal(torch.cat([b.logits for b in batches]), world.logits[coming])


def test_views_are_those_of_the_batch_and_the_prior_that_of_the_stream() -> None:
    world = outputs()
    spy, kind = spied(needs=frozenset({"views", "true_prior"}))
    stream_row(world, spy, Arrival(7), {})
    for stream, batches in enumerate(kind.met):
        test_set = world.task.test_sets[stream // 2]
        coming = arrival_order(world, test_set, ("random", "drifting")[stream % 2])
        pairs = torch.cat([batch.views(1) for batch in batches], dim=1)
        assert torch.equal(pairs, world.views(1)[:, coming])
        for batch in batches:
            assert batch.true_prior.tolist() == pytest.approx(
                (test_set.counts / test_set.counts.sum()).tolist()
            )


def test_a_session_reaches_neither_labels_nor_what_it_did_not_declare() -> None:
    world = outputs()
    spy, kind = spied()
    stream_row(world, spy, Arrival(7), {})
    batch = kind.met[0][0]
    for refused in (lambda: batch.views(0), lambda: batch.true_prior, lambda: batch.images):
        with pytest.raises(ContractError, match="declaring"):
            refused()
    for value in vars(batch).values():
        assert not (isinstance(value, Tensor) and value.dtype == torch.int64)


def test_a_session_that_writes_into_its_batch_harms_nobody() -> None:
    def destroy(batch: UnlabelledTest) -> Tensor:
        scores = batch.logits.mean(1)
        batch.logits.zero_()
        return scores

    world = outputs()
    before = world.logits.clone()
    spoiled = stream_row(world, spied(destroy)[0], Arrival(7), {})
    assert torch.equal(world.logits, before)
    assert spoiled == stream_row(world, row("sade+none"), Arrival(7), {})


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda batch: batch.logits, r"expected \(7, 4\)"),
        (lambda batch: batch.logits.mean(1) * float("nan"), "NaN or infinite"),
        (lambda batch: None, "returned NoneType"),
    ],
)
def test_a_session_that_breaks_its_contract_is_named(answer: Any, message: str) -> None:
    with pytest.raises(ContractError, match=f"session of strategy 'spy' .*{message}"):
        stream_row(outputs(), spied(answer)[0], Arrival(7), {})


@pytest.mark.parametrize("declared", [None, "later"])
def test_a_session_must_say_when_it_predicts(declared: Any) -> None:
    with pytest.raises(ContractError, match="must declare predicts as one of: before, after, fix"):
        stream_row(outputs(), spied(predicts=declared)[0], Arrival(7), {})


def test_a_strategy_without_a_session_is_refused_in_one_line() -> None:
    class Whole(Strategy[NoHyper]):
        name: ClassVar = "whole"
        title: ClassVar = "whole"

        def adapt(self, test: UnlabelledTest, source: Source, rng: torch.Generator) -> Adapted:
            return Adapted(test.logits.mean(1))

    plugin: Plugin[Any] = Plugin("whole", Whole, "test")
    asked = dataclasses.replace(row("ce"), strategy=plugin, strategy_hyper=NoHyper())
    with pytest.raises(InputError, match=r"ce\+whole: .* whole test sets only") as caught:
        check_streamable(asked)
    assert "\n" not in str(caught.value)
    with pytest.raises(ContractError, match="is NoneType; expected a Session"):
        stream_row(outputs(1), asked, Arrival(7), {})
    for text in ("ce", "sade", "ce+oracle"):
        check_streamable(row(text))


# -- records -------------------------------------------------------------------------------------


def test_known_streams_are_not_met_again_and_new_sets_are_added() -> None:
    first = stream_row(outputs(), row("sade+none"), Arrival(7), {})
    spy, kind = spied()
    more = stream_row(outputs(ratios=(2.0, 5.0)), spy, Arrival(7), first)
    assert len(kind.met) == 4  # two orders of forward2 and backward2
    assert {name: more[name] for name in first} == first


def test_arrival_and_drift_have_files_of_their_own_beside_the_evaluations() -> None:
    world, asked = outputs(), row("sade")
    paths = {
        stream_path(Path("t"), w.trial, asked, "clean", arrival)
        for arrival in (Arrival(1), Arrival(64))
        for w in (world, outputs(drift=7.0))
    }
    assert len(paths) == 4
    assert {path.parent for path in paths} == {Path("t/streams")}
    plain = evaluation_path(Path("t"), world.trial, asked, "clean")
    assert plain == evaluation_path(Path("t"), outputs(drift=7.0).trial, asked, "clean")


def test_complete_means_both_orders_of_every_set(tmp_path: Path) -> None:
    world = outputs()
    path = tmp_path / "row.json"
    assert not is_streamed(path, world.task.test_sets)
    distributions = stream_row(world, row("sade+none"), Arrival(50), {})
    path.write_text(json.dumps({"schema": 1, "distributions": distributions}))
    assert is_streamed(path, world.task.test_sets)
    del distributions["uniform"]["orders"]["drifting"]
    path.write_text(json.dumps({"schema": 1, "distributions": distributions}))
    assert not is_streamed(path, world.task.test_sets)
