"""Evaluating rows on stored logits: what is computed, what a strategy sees, what breaks a contract."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from typing import Any, ClassVar, cast

import numpy as np
import pytest
import torch
from torch import Tensor

from ltbench.data.dataset import Splits
from ltbench.errors import ContractError
from ltbench.evaluate import metrics
from ltbench.evaluate.evaluate import TrialOutputs, evaluate_row
from ltbench.method import NoHyper
from ltbench.names import parse_row
from ltbench.protocol.file import load_protocol_config
from ltbench.protocol.protocol import GroupsConfig, Protocol, TestConfig
from ltbench.registry import Plugin, load_registries
from ltbench.resolve.rows import ResolvedRow, resolve_row
from ltbench.shift.groups import class_groups
from ltbench.shift.testsets import build_test_sets
from ltbench.shift.trainset import TrainSet
from ltbench.strategy import Adapted, Source, Strategy, UnlabelledTest
from ltbench.task import Task
from ltbench.trial.trial import Trial

COUNTS = np.array([50, 20, 8, 3])
PER_CLASS = 12
PROTOCOL = load_protocol_config("digits-lt")


def outputs(
    experts: int = 1, *, draws: int = 2, seed: int = 0, labels: Tensor | None = None, **test: Any
) -> TrialOutputs:
    """48 test images of 4 classes, no few-shot class; the logits know the class to some degree."""
    config = TestConfig(**{"ratios": (4.0,), "draws": draws, **test})
    protocol = dataclasses.replace(
        PROTOCOL,
        test=config,
        groups=GroupsConfig(many_above=10, few_below=2),
        views=dataclasses.replace(PROTOCOL.views, pairs=2),
    )
    rng = torch.Generator().manual_seed(seed)
    if labels is None:
        labels = torch.arange(4).repeat_interleave(PER_CLASS)
    labels = labels[torch.randperm(len(labels), generator=rng)]
    logits = torch.randn(len(labels), experts, 4, generator=rng)
    logits[torch.arange(len(labels)), :, labels] += 1.5
    views = logits + 0.5 * torch.randn(2, 2, *logits.shape, generator=rng)
    empty = np.zeros(0, dtype=np.int64)
    train = TrainSet(empty, empty, COUNTS, COUNTS)
    groups = class_groups(COUNTS, protocol.groups)
    available = np.bincount(labels.numpy(), minlength=4)
    sets = build_test_sets(config, available, train.rank, groups)
    task = Task(protocol, cast(Splits, None), train, train.rank, groups, sets)
    return TrialOutputs(trial(protocol), task, logits, logits, labels, lambda k: views[k])


def trial(protocol: Protocol) -> Trial:
    return Trial(protocol, "ce", {}, 1, "", protocol.recipe, 0, "float32", "train", "test")


def row(text: str) -> ResolvedRow:
    return resolve_row(parse_row(text), PROTOCOL, load_registries())


class Spy(Strategy[NoHyper]):
    """Does what a test tells it and keeps what it saw."""

    name: ClassVar = "spy"
    title: ClassVar = "spy"

    def __init__(self, hyper: NoHyper) -> None:
        super().__init__(hyper)
        type(self).seen = []

    seen: ClassVar[list[UnlabelledTest]]
    sources: ClassVar[list[Source]] = []
    action: ClassVar[Callable[[UnlabelledTest, torch.Generator], Any]]

    def adapt(self, test: UnlabelledTest, source: Source, rng: torch.Generator) -> Adapted:
        type(self).seen.append(test)
        type(self).sources.append(source)
        result: Adapted = type(self).action(test, rng)
        return result


def spied(
    action: Callable[[UnlabelledTest, torch.Generator], Any], needs: frozenset[Any] = frozenset()
) -> tuple[ResolvedRow, type[Spy]]:
    kind = type("Spy", (Spy,), {"action": staticmethod(action), "needs": needs, "sources": []})
    plugin: Plugin[Any] = Plugin("spy", kind, "test")
    return dataclasses.replace(row("ce"), strategy=plugin, strategy_hyper=NoHyper()), kind


def plain(logits: Tensor) -> Tensor:
    return logits.mean(1)


def mean(test: UnlabelledTest, rng: torch.Generator) -> Adapted:
    return Adapted(plain(test.logits), frozen=plain)


# -- what is computed ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["ce", "logit-adjustment", "ce+oracle", "sade", "sade+none", "ride+stability"]
)
def test_every_distribution_and_draw_is_scored(text: str) -> None:
    world = outputs(1 if text[0] in "cl" else 3)
    result = evaluate_row(world, row(text), {})
    names = ["forward4", "uniform", "backward4", "many-only", "medium-only"]
    assert list(result) == names
    for test_set in world.task.test_sets:
        entry = result[test_set.name]
        assert entry["definition"] == test_set.definition()
        assert list(entry["draws"]) == [str(d) for d in range(test_set.draws)]
        for scores in entry["draws"].values():
            assert scores["n"] == test_set.counts.sum()
            assert 0 <= scores["top1"] <= 100
            assert len(scores["expert_top1"]) == world.logits.shape[1]
    json.dumps(result, allow_nan=False)


def test_scores_equal_a_loop_over_the_images() -> None:
    world = outputs()
    result = evaluate_row(world, row("logit-adjustment"), {})
    log_pi = np.log(COUNTS / COUNTS.sum())
    for test_set in world.task.test_sets:
        for draw in range(test_set.draws):
            chosen = test_set.indices(world.labels.numpy(), draw)
            hits, losses = [], []
            by_class: dict[int, list[bool]] = {}
            for i in chosen:
                scores = world.logits[i, 0].double().numpy() - log_pi
                label = int(world.labels[i])
                hits.append(int(scores.argmax()) == label)
                by_class.setdefault(label, []).append(hits[-1])
                losses.append(np.log(np.exp(scores).sum()) - scores[label])
            found = result[test_set.name]["draws"][str(draw)]
            assert found["top1"] == pytest.approx(100 * np.mean(hits))
            assert found["nll"] == pytest.approx(np.mean(losses), rel=1e-5)
            assert found["macro"] == pytest.approx(
                100 * np.mean([np.mean(v) for v in by_class.values()])
            )
            plain = world.logits[chosen, 0].argmax(1) == world.labels[chosen]
            assert found["expert_top1"] == [pytest.approx(100 * plain.double().mean().item())]


def test_correct_bits_are_those_of_draw_0_in_the_order_of_its_indices() -> None:
    world = outputs()
    result = evaluate_row(world, row("ce"), {})
    for test_set in world.task.test_sets:
        entry = result[test_set.name]
        chosen = test_set.indices(world.labels.numpy(), 0)
        bits = metrics.unpack_bits(entry["correct"], len(chosen))
        expected = world.logits[chosen, 0].argmax(1) == world.labels[chosen]
        assert torch.equal(bits, expected)
        assert 100 * bits.double().mean().item() == pytest.approx(entry["draws"]["0"]["top1"])


def test_uniform_holds_classes_groups_and_experts() -> None:
    world = outputs(3)
    draw = evaluate_row(world, row("sade+none"), {})["uniform"]["draws"]["0"]
    hits = world.logits.mean(1).argmax(1) == world.labels
    recalls = [100 * hits[world.labels == c].double().mean().item() for c in range(4)]
    assert draw["per_class"] == pytest.approx(recalls)
    groups = draw["groups"]
    assert groups["many"] == pytest.approx(np.mean(recalls[:2]))
    assert groups["medium"] == pytest.approx(np.mean(recalls[2:]))
    assert groups["few"] is None  # an empty group: n/a
    assert groups["all"] == pytest.approx(draw["top1"])
    assert len(draw["experts"]) == 3
    for e, details in enumerate(draw["experts"]):
        assert details["groups"]["all"] == pytest.approx(draw["expert_top1"][e])
        assert len(details["per_class"]) == 4
    assert draw["agreement"] is None  # views were not asked for


def test_view_agreement_by_expert_and_group() -> None:
    world = outputs(3)
    draw = evaluate_row(world, row("sade"), {})["uniform"]["draws"]["0"]
    pair = world.views(0)
    for e, values in enumerate(draw["agreement"]["experts"]):
        p, q = pair[0, :, e].softmax(1), pair[1, :, e].softmax(1)
        similarity = (p * q).sum(1) / (p.norm(dim=1) * q.norm(dim=1))
        assert values["all"] == pytest.approx(similarity.mean().item(), abs=1e-5)
        many = similarity[world.labels < 2].mean().item()
        assert values["many"] == pytest.approx(many, abs=1e-5)
        assert values["few"] is None


def test_expert_weights_prior_and_diagnostics_are_kept() -> None:
    world = outputs(3)
    adapted = evaluate_row(world, row("sade"), {})["backward4"]["draws"]["1"]
    assert sum(adapted["expert_weights"]) == pytest.approx(1, abs=1e-6)
    assert adapted["diagnostics"]["epochs"] >= 1
    oracle = evaluate_row(world, row("sade+oracle"), {})["backward4"]
    counts = oracle["definition"]["counts"]
    assert oracle["draws"]["0"]["prior"] == pytest.approx([n / sum(counts) for n in counts])


def test_a_class_without_test_images_is_not_applicable() -> None:
    world = outputs(labels=torch.tensor([0] * 6 + [1] * 6 + [3] * 6))
    result = evaluate_row(world, row("ce"), {})
    draw = result["uniform"]["draws"]["0"]
    assert draw["per_class"][2] is None
    assert draw["groups"]["medium"] == pytest.approx(draw["per_class"][3])
    json.dumps(result, allow_nan=False)


def test_an_infinite_loss_is_stored_as_none() -> None:
    def rule_out(test: UnlabelledTest, rng: torch.Generator) -> Adapted:
        scores = test.logits.mean(1).clone()
        scores[:, 0] = -math.inf
        return Adapted(scores)

    result = evaluate_row(outputs(), spied(rule_out)[0], {})
    assert result["uniform"]["draws"]["0"]["nll"] is None
    assert result["medium-only"]["draws"]["0"]["nll"] is not None  # holds no image of class 0


def test_shifted_logits_serve_forward_and_backward_only() -> None:
    world = outputs()
    mirrored = dataclasses.replace(world, shifted_logits=-world.logits)
    before, after = (evaluate_row(w, row("ce"), {}) for w in (world, mirrored))
    for name in ("uniform", "many-only"):
        assert after[name] == before[name]
    for name in ("forward4", "backward4"):
        assert after[name]["draws"] != before[name]["draws"]


# -- what is known is not computed again ---------------------------------------------------------


def test_known_distributions_are_not_computed_again() -> None:
    world = outputs()
    told: list[str] = []
    first = evaluate_row(world, row("ce"), {}, told.append)
    assert told == list(first)
    spy, kind = spied(mean)
    again = evaluate_row(world, spy, json.loads(json.dumps(first)))
    assert kind.seen == []
    assert again == first


def test_more_draws_are_added_to_the_known_ones() -> None:
    first = evaluate_row(outputs(draws=1), row("ce"), {})
    spy, kind = spied(mean)
    more = evaluate_row(outputs(draws=3), spy, first)
    assert len(kind.seen) == 4  # two new draws of forward and backward
    fresh = evaluate_row(outputs(draws=3), spied(mean)[0], {})
    assert more == fresh


def test_new_test_sets_are_added_and_old_ones_stay() -> None:
    first = evaluate_row(outputs(), row("ce"), {})
    spy, kind = spied(mean)
    more = evaluate_row(outputs(ratios=(2.0,)), spy, first)
    assert len(kind.seen) == 4  # two draws of forward and backward at ratio 2
    assert {"forward2", "backward2", "forward4", "backward4"} <= set(more)
    assert more["forward4"] == first["forward4"]


def test_a_test_set_of_another_definition_is_computed_anew() -> None:
    first = evaluate_row(outputs(), row("ce"), {})
    changed = evaluate_row(outputs(max_count=8), row("ce"), first)
    assert changed["forward4"]["draws"]["0"]["n"] != first["forward4"]["draws"]["0"]["n"]
    assert changed == evaluate_row(outputs(max_count=8), row("ce"), {})
    assert changed["uniform"] == first["uniform"]


def test_what_is_known_is_not_written_to() -> None:
    first = evaluate_row(outputs(draws=1), row("ce"), {})
    before = json.dumps(first)
    evaluate_row(outputs(draws=3), row("ce"), first)
    assert json.dumps(first) == before


# -- what a strategy sees ------------------------------------------------------------------------


def test_the_order_of_arrival_does_not_tell_the_classes() -> None:
    """Selections lie class by class; handed over like that, a position would tell the label."""
    world = outputs()
    spy, kind = spied(mean)
    evaluate_row(world, spy, {})
    where = {tuple(v): i for i, v in enumerate(world.logits.flatten(1).tolist())}
    names = [(s.name, d) for s in world.task.test_sets for d in range(s.draws)]
    for (name, draw), test in zip(names, kind.seen, strict=True):
        order = [where[tuple(v)] for v in test.logits.flatten(1).tolist()]
        test_set = next(s for s in world.task.test_sets if s.name == name)
        chosen = test_set.indices(world.labels.numpy(), draw).tolist()
        assert sorted(order) == sorted(chosen)
        assert order != chosen
        arrived = world.labels[order]
        switches = int((arrived[1:] != arrived[:-1]).sum())
        present = len(set(arrived.tolist()))
        assert switches > 2 * present or present == 1, name


def test_every_method_meets_the_images_in_the_same_order() -> None:
    seen = []
    for seed in (0, 1):
        world = outputs()
        world = dataclasses.replace(world, trial=dataclasses.replace(world.trial, seed=seed))
        spy, kind = spied(mean)
        evaluate_row(world, spy, {})
        seen.append([test.logits for test in kind.seen])
    assert all(torch.equal(a, b) for a, b in zip(*seen, strict=True))


def test_a_strategy_reaches_no_label() -> None:
    world = outputs()
    spy, kind = spied(mean, frozenset({"views", "true_prior"}))
    evaluate_row(world, spy, {})
    for test in kind.seen:
        n = len(test.logits)
        for value in vars(test).values():
            assert not (isinstance(value, Tensor) and value.shape == (n,))
            assert value is not world.labels
    for source in kind.sources:
        assert source.holdout_labels is None
        assert source.network is None


def test_only_what_was_declared_is_handed_out() -> None:
    world = outputs(3)
    for needs in (frozenset[str](), frozenset({"views"}), frozenset({"true_prior"})):
        spy, kind = spied(mean, needs)
        spy = dataclasses.replace(spy, method=row("sade").method, hyper=row("sade").hyper)
        evaluate_row(world, spy, {})
        test = kind.seen[0]
        if "views" in needs:
            assert test.views(1).shape == (2, *test.logits.shape)
        else:
            with pytest.raises(ContractError, match="views"):
                test.views(0)
        if "true_prior" in needs:
            assert test.true_prior.sum().item() == pytest.approx(1)
        else:
            with pytest.raises(ContractError, match="true prior"):
                _ = test.true_prior


def test_views_come_in_the_order_of_the_images() -> None:
    world = outputs()
    seen: list[bool] = []
    first = world.views(0)
    clean = {tuple(v): i for i, v in enumerate(world.logits.flatten(1).tolist())}

    def check(test: UnlabelledTest, rng: torch.Generator) -> Adapted:
        order = [clean[tuple(v)] for v in test.logits.flatten(1).tolist()]
        seen.append(torch.equal(test.views(0), first[:, order]))
        return mean(test, rng)

    evaluate_row(world, spied(check, frozenset({"views"}))[0], {})
    assert seen
    assert all(seen)


def test_randomness_differs_by_draw_and_repeats() -> None:
    def numbers() -> list[float]:
        drawn: list[float] = []

        def draw(test: UnlabelledTest, rng: torch.Generator) -> Adapted:
            drawn.append(torch.rand((), generator=rng).item())
            return mean(test, rng)

        evaluate_row(outputs(), spied(draw)[0], {})
        return drawn

    first = numbers()
    assert first == numbers()
    assert len(set(first)) == len(first)


def test_strategies_may_use_gradients() -> None:
    def differentiate(test: UnlabelledTest, rng: torch.Generator) -> Adapted:
        weight = torch.ones((), requires_grad=True)
        scores = weight * test.logits.mean(1)
        (slope,) = torch.autograd.grad(scores.sum(), weight)
        assert slope.item() == pytest.approx(scores.sum().item(), rel=1e-4)
        return Adapted(scores)

    with torch.no_grad():
        assert evaluate_row(outputs(), spied(differentiate)[0], {})


def test_scores_go_back_to_the_images_they_belong_to() -> None:
    """The oracle's scores image by image, whatever the order of arrival."""
    world = outputs()
    result = evaluate_row(world, spied(mean)[0], {})
    assert result == evaluate_row(world, row("ce"), {})


def test_settings_of_the_methods_recipe_reach_the_strategy() -> None:
    world = outputs()
    spy, kind = spied(mean)
    recipe = dataclasses.replace(world.trial.recipe, lr=0.321, momentum=0.5, nesterov=False)
    world = dataclasses.replace(world, trial=dataclasses.replace(world.trial, recipe=recipe))
    evaluate_row(world, spy, {})
    settings = kind.sources[0].optimizer
    assert (settings.lr, settings.momentum, settings.nesterov) == (0.321, 0.5, False)
    assert settings.weight_decay == recipe.weight_decay
    assert kind.sources[0].bias_kind == "closed-form"


# -- contracts -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (lambda t, r: t.logits.mean(1), "returned Tensor; expected Adapted"),
        (lambda t, r: None, "returned NoneType; expected Adapted"),
        (lambda t, r: Adapted(None), "expected Adapted with a tensor"),  # type: ignore[arg-type]
        (lambda t, r: Adapted(t.logits), r"scores \(26, 1, 4\).*expected \(26, 4\) of a float"),
        (lambda t, r: Adapted(t.logits.mean(1)[:-1]), r"scores \(25, 4\).*expected \(26, 4\)"),
        (lambda t, r: Adapted(t.logits.mean(1)[:, :3]), r"scores \(26, 3\).*expected \(26, 4\)"),
        (lambda t, r: Adapted(t.logits.mean(1).long()), "torch.int64; expected"),
        (lambda t, r: Adapted(t.logits.mean(1) * math.nan), "NaN or infinite"),
        (lambda t, r: Adapted(t.logits.mean(1) + math.inf), "NaN or infinite"),
        (lambda t, r: Adapted(t.logits.mean(1) - math.inf), "NaN or infinite"),
    ],
)
def test_wrong_scores_break_the_contract_in_one_line(action: Any, message: str) -> None:
    with pytest.raises(ContractError, match=message) as caught:
        evaluate_row(outputs(), spied(action)[0], {})
    assert "strategy 'spy' with method 'ce'" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_single_nan_is_not_scored_as_class_0() -> None:
    def one_bad(test: UnlabelledTest, rng: torch.Generator) -> Adapted:
        scores = test.logits.mean(1).clone()
        scores[3, 1] = math.nan
        return Adapted(scores)

    with pytest.raises(ContractError, match="NaN"):
        evaluate_row(outputs(), spied(one_bad)[0], {})


def with_method(text: str, **attributes: Any) -> ResolvedRow:
    plain = row(text)
    cls = type("Changed", (plain.method.cls,), attributes)
    return dataclasses.replace(plain, method=dataclasses.replace(plain.method, cls=cls))


def test_a_wrong_prediction_names_the_method() -> None:
    wrong = with_method("ce", predict=lambda self, logits: logits[:, 0, :2])
    with pytest.raises(ContractError, match=r"method 'ce' returned scores .*expected \(26, 4\)"):
        evaluate_row(outputs(), wrong, {})


def test_a_bias_of_the_wrong_shape_names_the_method() -> None:
    wrong = with_method("ce", bias=lambda self: torch.zeros(4))
    with pytest.raises(
        ContractError, match=r"method 'ce': bias returned shape \(4,\); expected \(1, 4\)"
    ):
        evaluate_row(outputs(), wrong, {})


def test_a_strategy_that_writes_into_its_input_does_not_harm_the_others() -> None:
    def destroy(test: UnlabelledTest, rng: torch.Generator) -> Adapted:
        scores = test.logits.mean(1)
        test.logits.zero_()
        return Adapted(scores, frozen=plain)

    world = outputs()
    before = world.logits.clone()
    assert evaluate_row(world, spied(destroy)[0], {}) == evaluate_row(world, row("ce"), {})
    assert torch.equal(world.logits, before)


# -- transductive honesty ------------------------------------------------------------------------


def test_exact_accuracy_and_prior_error_stand_with_every_draw() -> None:
    world = outputs(3, draws=2)
    hits = world.logits.mean(1).argmax(1) == world.labels
    recalls = np.array([hits[world.labels == c].double().mean().item() for c in range(4)])
    for entry in evaluate_row(world, row("sade+none"), {}).values():
        pi = np.array(entry["definition"]["counts"]) / sum(entry["definition"]["counts"])
        for draw in entry["draws"].values():
            assert draw["exact"]["top1"] == pytest.approx(100 * float(pi @ recalls))
            assert "prior_error" not in draw
    for entry in evaluate_row(world, row("sade+oracle"), {}).values():
        for draw in entry["draws"].values():
            assert draw["prior_error"]["l1"] == pytest.approx(0, abs=1e-7)
            assert draw["prior_error"]["kl"] == pytest.approx(0, abs=1e-7)


def test_an_adapted_predictor_is_frozen_for_each_draw() -> None:
    world = outputs(3, draws=2)
    for entry in evaluate_row(world, row("sade"), {}).values():
        pi = torch.tensor(entry["definition"]["counts"]).double()
        for draw in entry["draws"].values():
            weights = torch.tensor(draw["expert_weights"]).float()
            scores = torch.einsum("e,nec->nc", weights, world.logits)
            hits = (scores.argmax(1) == world.labels).double()
            recalls = [hits[world.labels == c].mean() for c in range(4)]
            expected = 100 * (pi / pi.sum() * torch.stack(recalls)).sum().item()
            assert draw["exact"]["top1"] == pytest.approx(expected)


def test_without_a_frozen_predictor_there_is_no_exact_accuracy() -> None:
    result = evaluate_row(outputs(), spied(lambda t, r: Adapted(plain(t.logits)))[0], {})
    assert not any("exact" in d for e in result.values() for d in e["draws"].values())


def test_exact_accuracy_on_augmented_images_where_those_are_tested() -> None:
    world = outputs()
    mirrored = dataclasses.replace(world, shifted_logits=-world.logits)
    result = evaluate_row(mirrored, row("ce"), {})
    hits = (-world.logits[:, 0]).argmax(1) == world.labels
    pi = np.array(result["forward4"]["definition"]["counts"])
    recalls = [hits[world.labels == c].double().mean().item() for c in range(4)]
    expected = 100 * float(pi / pi.sum() @ np.array(recalls))
    assert result["forward4"]["draws"]["0"]["exact"]["top1"] == pytest.approx(expected)
    assert result["uniform"]["draws"]["0"]["exact"]["top1"] == pytest.approx(
        result["uniform"]["draws"]["0"]["top1"]
    )


def test_an_absent_field_is_no_reason_to_compute_again() -> None:
    """Records of before have neither; what they hold is not computed again."""
    world = outputs()
    old = evaluate_row(world, row("ce+oracle"), {})
    for entry in old.values():
        for draw in entry["draws"].values():
            del draw["exact"], draw["prior_error"]
    assert evaluate_row(world, row("ce+oracle"), old) == old


def test_the_uniform_set_tells_the_class_of_each_bit_also_where_nothing_was_missing() -> None:
    """Its images keep the order of the data, which nothing else in a record tells."""
    world = outputs()
    result = evaluate_row(world, row("ce"), {})
    assert metrics.pack_labels(world.labels) == result["uniform"]["labels"]
    assert [name for name, entry in result.items() if "labels" in entry] == ["uniform"]
    before = {name: {k: v for k, v in e.items() if k != "labels"} for name, e in result.items()}
    assert evaluate_row(world, row("ce"), before) == result
