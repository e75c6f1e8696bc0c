"""What every registered test-time strategy must keep, with every method it accepts."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch

from ltbench.contract.check import Check, check_strategy
from ltbench.contract.strategy_case import COUNTS, StrategyCase, build_method, fits, strategy_cases
from ltbench.errors import ContractError, InputError
from ltbench.names import Call, Row, parse_row
from ltbench.protocol.file import load_protocol_config
from ltbench.registry import Plugin, load_registries
from ltbench.resolve.rows import check_row, resolve_row
from ltbench.strategy import Strategy, UnlabelledTest

REGISTRIES = load_registries()
DIGITS = load_protocol_config("digits-lt")
STRATEGIES = [pytest.param(p, id=name) for name, p in sorted(REGISTRIES.strategies.plugins.items())]
ORDER_MATTERS = {"stability", "entropy", "pseudo-label", "bn-adapt", "tent"}
"""They take the images in a shuffled order, batch by batch."""
WITHOUT_PAPER = {
    *("none", "oracle", "oracle-calibrated", "entropy", "pseudo-label", "tilt", "tilt-holdout"),
}
"""``none`` does nothing, the oracles are Bayes' rule, the next two are comparisons in SADE's ablation that
has no code, the last two are our own."""
CHECKS = [
    check
    for name in sorted(REGISTRIES.strategies.plugins)
    for check in check_strategy(REGISTRIES.strategies.get(name), REGISTRIES)
    if not (check.property.name == "image_order_does_not_matter" and name in ORDER_MATTERS)
    and not (check.property.name == "reference" and name in WITHOUT_PAPER)
]


def test_a_slow_strategy_is_tried_as_it_wants_to_be() -> None:
    (lsc,) = {case.hyper for case in strategy_cases(REGISTRIES.strategies.get("lsc"), REGISTRIES)}
    assert dict(lsc) == {"epochs": 2, "step": 20.0}
    assert (
        dict(lsc).items()
        <= vars(
            StrategyCase(
                REGISTRIES.strategies.get("lsc"), build_method("ce", REGISTRIES), hyper=lsc
            ).strategy.hyper
        ).items()
    )
    (em,) = {case.hyper for case in strategy_cases(REGISTRIES.strategies.get("none"), REGISTRIES)}
    assert em == ()


@pytest.mark.parametrize("name", ["none", "em", "tent", "oracle"])
def test_scores_are_looked_at_with_every_method_and_test_set(name: str) -> None:
    plugin = REGISTRIES.strategies.get(name)
    first, *others = (check for check in check_strategy(plugin, REGISTRIES) if _is_tried(check))
    assert first.property.name == "scores_are_usable"
    methods = (build_method(each, REGISTRIES) for each in REGISTRIES.methods.plugins)
    fitting = {method.name for method in methods if fits(plugin, method)}
    assert {case.method.name for case in first.cases} == fitting
    sets = {(case.n, case.absent) for case in first.cases}
    assert sets == {(40, False), (1, False)} | (
        {(40, True), (1, True)} if name == "oracle" else set()
    )
    for check in others:
        assert {(case.n, case.absent) for case in check.cases} == sets
        assert set(check.cases) < set(first.cases)


def _is_tried(check: Check) -> bool:
    return all(isinstance(case, StrategyCase) for case in check.cases)


def test_the_three_strategies_are_there_and_none_is_broken() -> None:
    assert {"none", "stability", "oracle"} <= set(REGISTRIES.strategies.plugins)
    assert REGISTRIES.strategies.broken == {}
    assert REGISTRIES.strategies.clashes == {}


@pytest.mark.parametrize("check", CHECKS, ids=str)
def test_contract(check: Check) -> None:
    check()


@pytest.mark.parametrize("plugin", STRATEGIES)
def test_every_property_is_tried(plugin: Plugin[Strategy[Any]]) -> None:
    """Nothing is fine because it was not tried."""
    tried = {check.property.name for check in check_strategy(plugin, REGISTRIES) if check.cases}
    assert len(tried) == 24


@pytest.mark.parametrize("plugin", STRATEGIES)
@pytest.mark.parametrize("name", sorted(REGISTRIES.methods.plugins))
def test_what_does_not_fit_is_refused_in_one_line(plugin: Plugin[Strategy[Any]], name: str) -> None:
    method = build_method(name, REGISTRIES)
    if fits(plugin, method) and not plugin.cls.needs & {"holdout", "network"}:
        return
    row = resolve_row(Row(Call(name), Call(plugin.name)), DIGITS, REGISTRIES)
    with pytest.raises(InputError) as caught:
        check_row(row, method)
    assert str(caught.value).startswith(f"{row.label}: strategy {plugin.name!r} needs")
    assert "\n" not in str(caught.value)


def test_settings_that_need_more_are_tried_too() -> None:
    tried: dict[str, set[str]] = {}
    for check in CHECKS:
        for case in check.cases:
            if isinstance(case, StrategyCase):
                tried.setdefault(check.plugin, set()).update(f"{k}={v}" for k, v in case.hyper)
    assert {name for name, found in tried.items() if "temperature=holdout" in found} == {
        *("em", "mlls", "bbse", "rlls", "tilt", "tilt-holdout"),
    }


@pytest.mark.parametrize("name", ["em", "mlls", "tilt"])
def test_a_temperature_is_refused_without_a_holdout(name: str) -> None:
    text = f"sade+{name}[temperature=holdout]"
    row = resolve_row(parse_row(text), DIGITS, REGISTRIES)
    method = build_method("sade", REGISTRIES)
    with pytest.raises(InputError) as caught:
        check_row(row, method)
    asked = f"{text}: strategy {name!r} with temperature=holdout needs labelled training images"
    assert str(caught.value).startswith(asked)
    assert "\n" not in str(caught.value)
    check_row(row, method, holdout=True)
    plain = resolve_row(parse_row(f"sade+{name}"), DIGITS, REGISTRIES)
    check_row(plain, method)


@pytest.mark.parametrize("name", ["bcts-em", "bcts-mlls", "oracle", "oracle-calibrated"])
def test_what_calibrates_or_is_a_reference_has_no_such_setting(name: str) -> None:
    row = parse_row(f"ce+{name}[temperature=holdout]")
    with pytest.raises(InputError, match=f"{name} has no 'temperature'"):
        resolve_row(row, DIGITS, REGISTRIES)


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


def test_none_is_predict_and_nothing_else() -> None:
    method = build_method("logit-adjustment", REGISTRIES)
    case = StrategyCase(REGISTRIES.strategies.get("none"), method)
    assert len(COUNTS) == case.logits.shape[2]
    assert torch.equal(case.adapt().logits, method.predict(case.logits))


def test_some_strategies_have_sessions() -> None:
    streamed = {
        name
        for name, plugin in REGISTRIES.strategies.plugins.items()
        if plugin.cls.session is not Strategy.session
    }
    assert streamed >= {"none", "oracle", "stability"}
