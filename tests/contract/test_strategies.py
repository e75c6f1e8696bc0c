"""What every registered test-time strategy must keep, with every method it accepts."""

from __future__ import annotations

import dataclasses
import inspect
import json
from typing import Any, get_args

import pytest
import torch
from torch import Tensor

from ltbench.errors import ContractError, InputError
from ltbench.hyper import Hyper
from ltbench.method import Method, Reference
from ltbench.names import Call, Row, check_name
from ltbench.protocol_file import load_protocol_config
from ltbench.registry import Plugin, load_registries
from ltbench.rows import check_row, resolve_row
from ltbench.strategy import (
    Adapted,
    Need,
    OptimizerSettings,
    Predicts,
    Session,
    Source,
    Strategy,
    UnlabelledTest,
)

REGISTRIES = load_registries()
STRATEGIES = [pytest.param(p, id=name) for name, p in sorted(REGISTRIES.strategies.plugins.items())]
COUNTS = torch.tensor([30, 12, 5, 2, 1])
PAIRS = 2
ORDER_MATTERS = {"stability", "entropy", "pseudo-label", "tilt"}
"""Stochastic gradient steps take the images in a shuffled order, batch by batch; ``tilt`` holds out a
random half of them (without ``fallback`` it is invariant: tests/unit/labelshift)."""


def pairs_that_fit() -> list[Any]:
    """All (method, strategy) pairs that ``check_row`` lets through."""
    protocol = load_protocol_config("digits-lt")
    found = []
    for method in sorted(REGISTRIES.methods.plugins):
        for strategy in sorted(REGISTRIES.strategies.plugins):
            row = resolve_row(Row(Call(method), Call(strategy)), protocol, REGISTRIES)
            try:
                check_row(row, row.build_method(COUNTS))
            except InputError:
                if not suits_with_holdout(row.strategy.cls, row.build_method(COUNTS)):
                    continue
            found.append(pytest.param(method, strategy, id=f"{method}+{strategy}"))
    return found


def suits_with_holdout(strategy: type[Strategy[Any]], method: Method[Any]) -> bool:
    """Whether a hold-out is all that ``check_row`` can miss; :class:`World` has one."""
    enough = method.architecture().experts >= strategy.min_experts
    blind = "bias" in strategy.needs and method.bias() is None
    return "holdout" in strategy.needs and enough and not blind


FIT = pairs_that_fit()


def build(name: str) -> Method[Any]:
    cls = REGISTRIES.methods.get(name).cls
    return cls(COUNTS, cls.hyper_type())


class World:
    """One test set: logits, views and the true prior, handed out as far as declared."""

    def __init__(self, method: str, strategy: str, n: int = 40, absent: bool = False) -> None:
        self.method = build(method)
        cls = REGISTRIES.strategies.get(strategy).cls
        self.strategy = cls(cls.hyper_type())
        experts, classes = self.method.architecture().experts, len(COUNTS)
        rng = torch.Generator().manual_seed(0)
        self.logits = 3 * torch.randn(n, experts, classes, generator=rng)
        noise = torch.randn(PAIRS, 2, n, experts, classes, generator=rng)
        self.views = self.logits + noise
        self.holdout_labels = torch.tensor([0, 0, 0, 1, 1, 2, 3])  # the last class has none
        held = 3 * torch.randn(7, experts, classes, generator=rng)
        self.holdout_logits = held + 3 * torch.eye(classes)[self.holdout_labels][:, None]
        prior = torch.tensor([0.5, 0, 0.5, 0, 0] if absent else [0.2] * 5)
        self.prior = prior.double()

    def test(self, order: Tensor | slice = slice(None)) -> UnlabelledTest:
        needs = self.strategy.needs
        views = self.views[:, :, order]
        return UnlabelledTest(
            self.logits[order].clone(),
            views=(lambda k: views[k]) if "views" in needs else None,
            pairs=PAIRS,
            true_prior=self.prior if "true_prior" in needs else None,
        )

    def adapt(self, test: UnlabelledTest, seed: int = 0) -> Adapted:
        bias = self.method.bias()
        held = "holdout" in self.strategy.needs
        source = Source(
            self.method,
            bias,
            "none" if bias is None else "closed-form",
            OptimizerSettings(0.1, 0.9, True, 5e-4),
            holdout_logits=self.holdout_logits if held else None,
            holdout_labels=self.holdout_labels if held else None,
        )
        return self.strategy.adapt(test, source, torch.Generator().manual_seed(seed))


# -- what a strategy says of itself --------------------------------------------------------------


def test_the_strategies_are_there_and_none_is_broken() -> None:
    assert {"none", "stability", "oracle"} <= set(REGISTRIES.strategies.plugins)
    assert REGISTRIES.strategies.broken == {}
    assert REGISTRIES.strategies.clashes == {}


@pytest.mark.parametrize("plugin", STRATEGIES)
def test_has_name_title_needs_and_version(plugin: Plugin[Strategy[Any]]) -> None:
    cls = plugin.cls
    assert check_name(cls.name, "strategy") == plugin.name
    assert cls.title.strip()
    assert cls.__doc__
    assert cls.reference is None or isinstance(cls.reference, Reference)
    assert cls.needs <= set(get_args(Need))
    assert cls.min_experts >= 1
    assert type(cls.version) is int
    assert cls.version >= 1


@pytest.mark.parametrize("plugin", STRATEGIES)
def test_hyper_parameters_are_frozen_and_come_back_from_json(plugin: Plugin[Strategy[Any]]) -> None:
    kind = plugin.cls.hyper_type
    assert issubclass(kind, Hyper)
    hyper = kind()
    stored = json.loads(json.dumps(hyper.to_json(), allow_nan=False))
    assert kind.from_mapping(stored, plugin.name) == hyper
    for field in dataclasses.fields(kind):
        assert field.metadata["help"]
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(hyper, field.name, 1)


@pytest.mark.parametrize("plugin", STRATEGIES)
def test_an_unknown_hyper_parameter_is_refused(plugin: Plugin[Strategy[Any]]) -> None:
    fields = [field.name for field in dataclasses.fields(plugin.cls.hyper_type)]
    wrong = f"{fields[0]}x" if fields else "epochs"
    expected = f"did you mean '{fields[0]}'" if fields else "it has: none"
    with pytest.raises(InputError, match=f"{plugin.name} has no '{wrong}'.*{expected}"):
        plugin.cls.hyper_type.from_mapping({wrong: 1}, plugin.name)


@pytest.mark.parametrize("plugin", STRATEGIES)
def test_fits_some_method(plugin: Plugin[Strategy[Any]]) -> None:
    assert any(param.values[1] == plugin.name for param in FIT)


@pytest.mark.parametrize("plugin", STRATEGIES)
@pytest.mark.parametrize("name", sorted(REGISTRIES.methods.plugins))
def test_what_does_not_fit_is_refused_in_one_line(plugin: Plugin[Strategy[Any]], name: str) -> None:
    method = build(name)
    few = method.architecture().experts < plugin.cls.min_experts
    blind = "bias" in plugin.cls.needs and method.bias() is None
    fits = any(param.values == (name, plugin.name) for param in FIT)
    assert fits == (not few and not blind and "network" not in plugin.cls.needs)
    if not fits:
        row = resolve_row(
            Row(Call(name), Call(plugin.name)), load_protocol_config("digits-lt"), REGISTRIES
        )
        with pytest.raises(InputError) as caught:
            check_row(row, method)
        assert str(caught.value).startswith(f"{row.label}: strategy {plugin.name!r} needs")
        assert "\n" not in str(caught.value)


# -- what it may see -----------------------------------------------------------------------------


def test_a_test_set_holds_no_label_and_refuses_what_was_not_declared() -> None:
    assert set(inspect.signature(UnlabelledTest).parameters) == {
        *("logits", "views", "pairs", "true_prior", "images"),
    }
    public = {name for name in dir(UnlabelledTest(torch.zeros(1, 1, 2))) if name[0] != "_"}
    assert public == {"logits", "views", "pairs", "true_prior", "images"}
    bare = UnlabelledTest(torch.zeros(2, 1, 3), pairs=5)
    with pytest.raises(ContractError, match="'views'"):
        bare.views(0)
    with pytest.raises(ContractError, match="'true_prior'"):
        _ = bare.true_prior
    with pytest.raises(ContractError, match="'network'"):
        _ = bare.images


# -- adaptation ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "strategy"), FIT)
@pytest.mark.parametrize("absent", [False, True])
@pytest.mark.parametrize("n", [40, 1])
def test_gives_usable_scores(method: str, strategy: str, absent: bool, n: int) -> None:
    world = World(method, strategy, n, absent)
    test = world.test()
    adapted = world.adapt(test)
    assert isinstance(adapted, Adapted)
    assert adapted.logits.shape == (n, 5)
    assert adapted.logits.is_floating_point()
    assert not torch.isnan(adapted.logits).any()
    assert torch.isfinite(adapted.logits.amax(1)).all()
    assert torch.equal(test.logits, world.logits)  # not written to
    json.dumps(dict(adapted.diagnostics), allow_nan=False)
    if adapted.expert_weights is not None:
        assert adapted.expert_weights.shape == (world.logits.shape[1],)
        assert adapted.expert_weights.sum().item() == pytest.approx(1, abs=1e-5)
    if adapted.prior is not None:
        assert adapted.prior.shape == (5,)
        assert adapted.prior.sum().item() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(("method", "strategy"), FIT)
def test_the_same_seed_gives_the_same_answer(method: str, strategy: str) -> None:
    state = torch.get_rng_state()
    world = World(method, strategy)
    first, second = (world.adapt(world.test(), seed=5) for _ in range(2))
    assert torch.equal(first.logits, second.logits)
    assert torch.equal(torch.get_rng_state(), state)  # its own generator is the only source


@pytest.mark.parametrize(("method", "strategy"), FIT)
def test_the_frozen_predictor_repeats_the_scores(method: str, strategy: str) -> None:
    world = World(method, strategy)
    adapted = world.adapt(world.test())
    if adapted.frozen is not None:
        torch.testing.assert_close(adapted.frozen(world.logits), adapted.logits)
        torch.testing.assert_close(adapted.frozen(world.logits[3:5]), adapted.logits[3:5])


@pytest.mark.parametrize(
    ("method", "strategy"), [p for p in FIT if p.values[1] not in ORDER_MATTERS]
)
def test_the_order_of_the_images_does_not_matter(method: str, strategy: str) -> None:
    world = World(method, strategy)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(1))
    straight, mixed = world.adapt(world.test()), world.adapt(world.test(order))
    torch.testing.assert_close(mixed.logits, straight.logits[order])


@pytest.mark.parametrize(("method", "strategy"), FIT)
def test_needs_nothing_that_it_did_not_declare(method: str, strategy: str) -> None:
    """Every other test hands out only what is declared; here the declared things are taken away."""
    world = World(method, strategy)
    declared = world.strategy.needs & {"views", "true_prior"}
    if not declared:
        assert world.adapt(UnlabelledTest(world.logits)).logits.shape == (40, 5)
        return
    with pytest.raises(ContractError, match="declaring"):
        world.adapt(UnlabelledTest(world.logits, pairs=PAIRS))


@pytest.mark.parametrize(
    ("method", "strategy"),
    [p for p in FIT if not REGISTRIES.strategies.get(p.values[1]).cls.uses_predict],
)
def test_a_strategy_that_does_not_use_predict_never_calls_it(
    method: str, strategy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(method, strategy)

    def forbidden(logits: Tensor) -> Tensor:
        raise AssertionError("predict was called; set uses_predict = True")

    monkeypatch.setattr(world.method, "predict", forbidden)
    assert world.adapt(world.test()).logits.shape == (40, 5)


# -- sessions ------------------------------------------------------------------------------------

STREAMED = [
    p for p in FIT if REGISTRIES.strategies.get(p.values[1]).cls.session is not Strategy.session
]


def open_session(world: World, seed: int = 0) -> Session:
    bias = world.method.bias()
    source = Source(
        world.method,
        bias,
        "none" if bias is None else "closed-form",
        OptimizerSettings(0.1, 0.9, True, 5e-4),
    )
    session = world.strategy.session(source, torch.Generator().manual_seed(seed))
    assert isinstance(session, Session)
    return session


def test_some_strategies_have_sessions() -> None:
    assert {p.values[1] for p in STREAMED} >= {"none", "oracle", "stability"}


@pytest.mark.parametrize(("method", "strategy"), STREAMED)
@pytest.mark.parametrize("absent", [False, True])
def test_a_session_predicts_batches_of_any_size(method: str, strategy: str, absent: bool) -> None:
    world = World(method, strategy, absent=absent)
    session = open_session(world)
    assert session.predicts in get_args(Predicts)
    for part in (slice(0, 16), slice(16, 17), slice(17, 40)):
        test = world.test(part)
        scores = session.step(test)
        assert scores.shape == (part.stop - part.start, 5)
        assert torch.isfinite(scores.amax(1)).all()
        assert not torch.isnan(scores).any()
        assert torch.equal(test.logits, world.logits[part])  # not written to


@pytest.mark.parametrize(("method", "strategy"), STREAMED)
def test_a_session_keeps_nothing_of_the_last_stream(method: str, strategy: str) -> None:
    world = World(method, strategy)
    parts = [slice(0, 20), slice(20, 40)]
    runs = []
    for _ in range(2):
        session = open_session(world, seed=3)
        runs.append(torch.cat([session.step(world.test(part)).detach() for part in parts]))
    assert torch.equal(runs[0], runs[1])


@pytest.mark.parametrize(("method", "strategy"), STREAMED)
def test_a_session_predicts_when_it_says(method: str, strategy: str) -> None:
    """``before``: no other image of the batch has a say. ``fixed``: no other image at all."""
    world = World(method, strategy)
    session, alone = open_session(world), open_session(world)
    if session.predicts == "after":
        return
    together = session.step(world.test(slice(0, 20))).detach()
    torch.testing.assert_close(together[:1], alone.step(world.test(slice(0, 1))).detach())
    if session.predicts == "fixed":
        fresh = open_session(world)
        later = session.step(world.test(slice(20, 40))).detach()
        torch.testing.assert_close(later, fresh.step(world.test(slice(20, 40))).detach())


def test_none_is_predict_and_nothing_else() -> None:
    world = World("logit-adjustment", "none")
    assert torch.equal(world.adapt(world.test()).logits, world.method.predict(world.logits))
