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
from ltbench.evaluate.network import ImageNetwork
from ltbench.evaluate.sources import HoldOut, find_bias
from ltbench.hyper import Hyper
from ltbench.method import Method, Reference
from ltbench.models.resnet import build_network
from ltbench.names import Call, Row, check_name
from ltbench.protocol_file import load_protocol_config
from ltbench.registry import Plugin, load_registries
from ltbench.rows import check_row, resolve_row
from ltbench.seeds import generator
from ltbench.strategy import (
    Adapted,
    Need,
    OptimizerSettings,
    Session,
    Source,
    Strategy,
    UnlabelledTest,
)

REGISTRIES = load_registries()
STRATEGIES = [pytest.param(p, id=name) for name, p in sorted(REGISTRIES.strategies.plugins.items())]
COUNTS = torch.tensor([30, 12, 5, 2, 1])
PAIRS = 2
ORDER_MATTERS = {"stability", "bn-adapt", "tent"}
"""They take the images in a shuffled order, batch by batch."""


def pairs_that_fit() -> list[Any]:
    """All (method, strategy) pairs that ``check_row`` lets through."""
    protocol = load_protocol_config("digits-lt")
    found = []
    for method in sorted(REGISTRIES.methods.plugins):
        for strategy in sorted(REGISTRIES.strategies.plugins):
            row = resolve_row(Row(Call(method), Call(strategy)), protocol, REGISTRIES)
            try:
                check_row(row, row.build_method(COUNTS), holdout=True, network=True)
            except InputError:
                continue
            found.append(pytest.param(method, strategy, id=f"{method}+{strategy}"))
    return found


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
        prior = torch.tensor([0.5, 0, 0.5, 0, 0] if absent else [0.2] * 5)
        self.prior = prior.double()
        self.images = torch.randint(0, 256, (n, 3, 8, 8), generator=rng).byte()
        self.held = torch.arange(classes).repeat(6)
        self.held_logits = torch.randn(len(self.held), experts, classes, generator=rng)
        self.held_logits[torch.arange(len(self.held)), :, self.held] += 2
        request = self.method.architecture()
        network = build_network("resnet8", classes, request, generator("contract"))
        device, half = torch.device("cpu"), torch.full((3,), 0.5)
        self.network = ImageNetwork(network, half, half, device)

    def test(self, order: Tensor | slice = slice(None)) -> UnlabelledTest:
        needs = self.strategy.needs
        views = self.views[:, :, order]
        return UnlabelledTest(
            self.logits[order].clone(),
            views=(lambda k: views[k]) if "views" in needs else None,
            pairs=PAIRS,
            true_prior=self.prior if "true_prior" in needs else None,
            images=(lambda: self.images[order]) if "network" in needs else None,
        )

    def source(self) -> Source:
        """As the runner builds it: only what is declared."""
        needs = self.strategy.needs
        held = HoldOut(self.held_logits, self.held)
        shape = (self.logits.shape[1], self.logits.shape[2])
        bias = self.method.bias()
        known = find_bias(self.method, shape, held) if "bias" in needs else None
        return Source(
            self.method,
            known.value if known else bias,
            known.kind if known else "none" if bias is None else "closed-form",
            OptimizerSettings(0.1, 0.9, True, 5e-4),
            bias_error=known.error if known else None,
            holdout_logits=held.logits if "holdout" in needs else None,
            holdout_labels=held.labels if "holdout" in needs else None,
            network=self.network.private_copy() if "network" in needs else None,
        )

    def adapt(self, test: UnlabelledTest, seed: int = 0) -> Adapted:
        return self.strategy.adapt(test, self.source(), torch.Generator().manual_seed(seed))


# -- what a strategy says of itself --------------------------------------------------------------


def test_the_three_strategies_are_there_and_none_is_broken() -> None:
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
    fits = any(param.values == (name, plugin.name) for param in FIT)
    assert fits == (not few)
    if not fits or plugin.cls.needs & {"holdout", "network"}:  # nothing is offered here
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
    declared = world.strategy.needs & {"views", "true_prior", "network"}
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


@pytest.mark.parametrize(("method", "strategy"), FIT)
def test_session_is_one_or_none(method: str, strategy: str) -> None:
    world = World(method, strategy)
    session = world.strategy.session(world.source(), torch.Generator())
    assert session is None or isinstance(session, Session)


@pytest.mark.parametrize(("method", "strategy"), FIT)
def test_a_session_predicts_batches_one_after_another(method: str, strategy: str) -> None:
    world = World(method, strategy)
    session = world.strategy.session(world.source(), torch.Generator().manual_seed(0))
    if session is not None:
        for chosen in (slice(0, 25), slice(25, 39), slice(39, 40)):
            scores = session.step(world.test(chosen))
            assert scores.shape == (chosen.stop - chosen.start, 5)
            assert torch.isfinite(scores).all()


@pytest.mark.parametrize(
    ("method", "strategy"),
    [p for p in FIT if "network" in REGISTRIES.strategies.get(p.values[1]).cls.needs],
)
def test_the_network_that_is_handed_out_is_not_needed_again(method: str, strategy: str) -> None:
    """What adaptation does to its copy must not reach the network that it was copied from."""
    world = World(method, strategy)
    before = {key: value.clone() for key, value in world.network.state_dict().items()}
    world.adapt(world.test())
    assert all(torch.equal(before[key], v) for key, v in world.network.state_dict().items())


def test_none_is_predict_and_nothing_else() -> None:
    world = World("logit-adjustment", "none")
    assert torch.equal(world.adapt(world.test()).logits, world.method.predict(world.logits))
