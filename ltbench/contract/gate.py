"""What ``run`` asks of a plugin before any training: the part of ``check`` that numbers depend on."""

from __future__ import annotations

import contextlib
import io
import json
import warnings
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

import torch

from ltbench.backbone import Backbone
from ltbench.contract.card import METHOD_CARD, STRATEGY_CARD, Card
from ltbench.contract.check import Check, Finding, check_backbone
from ltbench.contract.method_case import COUNTS, MethodCase, method_cases
from ltbench.contract.methods import METHOD_PROPERTIES
from ltbench.contract.strategies import STRATEGY_PROPERTIES
from ltbench.contract.strategy_case import strategy_cases
from ltbench.contract.unmet import Property
from ltbench.errors import InputError
from ltbench.hyper import Hyper
from ltbench.method import Method
from ltbench.registry import Plugin, Registries
from ltbench.resolve.ensembles import members_of
from ltbench.resolve.rows import ResolvedRow

_OWN = ("ltbench.methods.", "ltbench.models.")
NOTHING_STARTED = "; nothing was started"
"""The end of a refusal."""
IMPORTED = "imported"
"""Stands for a model that was trained elsewhere: there is no code to check."""
_USUAL = ("ce", "sade")
"""Methods that a strategy is tried with where it does not fit the one it is asked for with."""


def refuse_unsound(rows: Iterable[ResolvedRow], registries: Registries) -> None:
    """Raises :class:`InputError`, one line, for the first plugin that would give wrong numbers.

    Plugins of ltbench itself are checked by its tests. Advice refuses nothing. Once for each code and
    setting in a process; a second, unless adapting itself takes long.
    """
    for row in rows:
        alone = [(member.method, member.hyper) for member in members_of(row.method)]
        for method, hyper in alone or [(row.method, row.hyper)]:
            _refuse_method(method, hyper, registries)
            if not is_own(row.strategy):
                text = json.dumps(row.strategy_hyper.to_json(), sort_keys=True)
                found = _of_strategy(row.strategy, text, method.name, registries)
                _refuse("strategy", row.strategy, found)


def _refuse_method(
    method: Plugin[Method[Any]],
    hyper: Hyper,
    registries: Registries,
    children: tuple[str, ...] = (),
) -> None:
    if is_own(method) or method.name in children:  # parents in a circle are refused by the plan
        return
    text = json.dumps(hyper.to_json(), sort_keys=True)
    _refuse("method", method, _of_method(method, text, registries))
    parent = method.cls(torch.tensor(COUNTS["ten"]), hyper).parent()
    if parent is not None:
        above = registries.methods.get(parent.method)
        own = above.cls.hyper_type.from_mapping(parent.hyper, above.name)
        _refuse_method(above, own, registries, (*children, method.name))
    trainer = registries.methods.plugins.get(_trainer(method, hyper))
    if trainer is not None and trainer is not method and not is_own(trainer):
        _refuse("method", trainer, _of_variants(trainer, registries))


def refuse_unsound_backbone(plugin: Plugin[Backbone]) -> None:
    """Raises :class:`InputError`, one line, for a backbone that breaks its contract. Once in a process."""
    if not is_own(plugin):
        _refuse("backbone", plugin, _of_backbone(plugin))


@lru_cache(maxsize=32)
def _of_backbone(plugin: Plugin[Backbone]) -> Finding | None:
    checks = (check for check in check_backbone(plugin) if not check.property.advice)
    return next((found for found in (c.finding() for c in checks) if not found.holds), None)


def is_own(plugin: Plugin[Any]) -> bool:
    """Whether it ships with ltbench: it lies in the package and is no file that somebody added."""
    return plugin.origin == IMPORTED or (plugin.origin.startswith(_OWN) and not plugin.digest)


def _trainer(method: Plugin[Method[Any]], hyper: Hyper) -> str:
    """The method that trains for this one, once that is known to answer."""
    return method.cls(torch.tensor(COUNTS["ten"]), hyper).training_identity()[0]


def _refuse(kind: str, plugin: Plugin[Any], finding: Finding | None) -> None:
    if finding is not None:
        raise InputError(
            f"{kind} {plugin.name!r} ({plugin.origin}) cannot be used: {finding.told}; "
            f"`ltbench check {_target(plugin)}` tells more{NOTHING_STARTED}"
        )


def _target(plugin: Plugin[Any]) -> str:
    return plugin.origin if plugin.origin.endswith(".py") else plugin.name


@lru_cache(maxsize=128)
def _of_method(plugin: Plugin[Any], hyper: str, registries: Registries) -> Finding | None:
    usual = _of_variants(plugin, registries)
    if usual is not None:
        return usual
    cases = [
        MethodCase(plugin, json.loads(hyper), counts, registries) for counts in COUNTS.values()
    ]
    return _first(plugin, METHOD_PROPERTIES, cases)


@lru_cache(maxsize=128)
def _of_variants(plugin: Plugin[Any], registries: Registries) -> Finding | None:
    card = _first(plugin, METHOD_CARD, [Card(plugin, registries)])
    return card or _first(plugin, METHOD_PROPERTIES, method_cases(plugin, registries))


@lru_cache(maxsize=128)
def _of_strategy(
    plugin: Plugin[Any], hyper: str, method: str, registries: Registries
) -> Finding | None:
    card = _first(plugin, STRATEGY_CARD, [Card(plugin, registries)])
    if card is not None:
        return card
    for name in (method, *_USUAL):
        cases = strategy_cases(plugin, registries, (name,), json.loads(hyper))
        if cases:  # many images and one, of a few classes: `check` tries the other two as well
            few = [case for case in cases if case.absent == (case.n == 1)]
            return _first(plugin, STRATEGY_PROPERTIES, few)
    return None  # no method that it fits is at hand; the row is refused for that


def _first(
    plugin: Plugin[Any], properties: Iterable[Property[Any]], cases: list[Any]
) -> Finding | None:
    """The first property that does not hold; what the plugin prints meanwhile is nobody's business."""
    with _quiet():
        for each in properties:
            if each.advice:
                continue
            finding = Check(plugin.name, each, tuple(cases)).finding()
            if not finding.holds:
                return finding
    return None


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        yield
