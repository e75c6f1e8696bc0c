"""Runs the contract on one plugin, by name or file, and collects what does not hold."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from ltbench.contract import encoders
from ltbench.contract.backbones import BACKBONE_PROPERTIES, BackboneCase
from ltbench.contract.card import METHOD_CARD, STRATEGY_CARD, Card
from ltbench.contract.method_case import MethodCase, method_cases
from ltbench.contract.methods import METHOD_PROPERTIES
from ltbench.contract.protocols import PROTOCOL_PROPERTIES, ProtocolCase
from ltbench.contract.sources import SourceCase, properties_of
from ltbench.contract.strategies import STRATEGY_PROPERTIES
from ltbench.contract.strategy_case import (
    StrategyCase,
    strategy_cases,
    told_apart,
    with_every_method,
)
from ltbench.contract.unmet import Property, Unmet, require
from ltbench.errors import InputError, describe, nearest
from ltbench.protocol.registry import find_protocols
from ltbench.registry import Plugin, Registries, Registry, load_registries

C = TypeVar("C")


@dataclass(frozen=True)
class Finding:
    """One property of one plugin.

    reason: why it does not hold, empty where it does; where: the case in which that was seen.
    """

    plugin: str
    name: str
    sentence: str
    advice: bool
    reason: str
    where: str = ""

    @property
    def holds(self) -> bool:
        return not self.reason

    @property
    def told(self) -> str:
        return str(Unmet(self.reason, self.where))

    @property
    def cause(self) -> str:
        """The reason without its numbers: findings of one cause are told once."""
        return re.sub(r"\d+", "#", self.reason)


def by_cause(findings: Iterable[Finding]) -> list[list[Finding]]:
    """Findings in their order, those that do not hold for the same reason together, advice last."""
    groups: dict[object, list[Finding]] = {}
    for i, finding in enumerate(findings):
        groups.setdefault(i if finding.holds else finding.cause, []).append(finding)
    return [sorted(group, key=lambda finding: finding.advice) for group in groups.values()]


@dataclass(frozen=True)
class Check:
    """One property of one plugin, to be run; calling it raises :class:`Unmet` where it fails."""

    plugin: str
    property: Property[Any]
    cases: tuple[Any, ...]

    def __call__(self) -> None:
        for case in self.cases:
            try:
                self.property.holds(case)
            except Unmet as error:
                raise Unmet(error.reason, _where(case)) from None
            except Exception as error:  # a plugin may raise whatever it likes
                raise Unmet(f"{describe(error)}{_place(error)}", _where(case)) from error

    def finding(self) -> Finding:
        reason = where = ""
        try:
            self()
        except Unmet as error:
            reason, where = error.reason, error.where
        known = self.property
        return Finding(self.plugin, known.name, known.sentence, known.advice, reason, where)

    def __str__(self) -> str:
        return f"{self.plugin}-{self.property.name}"


def _where(case: object) -> str:
    return str(case) if isinstance(case, MethodCase | StrategyCase) else ""


def _place(error: BaseException) -> str:
    """The plugin's own line that raised: the last frame outside ltbench and torch."""
    import traceback

    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if "ltbench_plugin" in frame.name or not _is_library(frame.filename)
    ]
    return f", raised at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""


def _is_library(file: str) -> bool:
    parts = Path(file).parts
    return file.startswith("<") or "site-packages" in parts or "ltbench" in parts


def check_method(plugin: Plugin[Any], registries: Registries) -> Iterator[Check]:
    card = Card(plugin, registries)
    yield from _checks(plugin.name, METHOD_CARD, (card,))
    cases = _tried(lambda: method_cases(plugin, registries))
    yield from _checks(plugin.name, METHOD_PROPERTIES, cases)


def check_strategy(plugin: Plugin[Any], registries: Registries) -> Iterator[Check]:
    card = Card(plugin, registries)
    yield from _checks(plugin.name, STRATEGY_CARD, (card,))
    cases = _tried(lambda: strategy_cases(plugin, registries))
    yield Check(plugin.name, Property(_fits_some_method), ((plugin, cases),))
    first, *others = STRATEGY_PROPERTIES  # what it scores, with every method that it fits
    yield from _checks(plugin.name, (first,), _tried(lambda: with_every_method(cases)))
    yield from _checks(plugin.name, others, _tried(lambda: told_apart(cases)))


def _fits_some_method(case: tuple[Plugin[Any], tuple[Any, ...]]) -> None:
    """There is a method that it can run on."""
    plugin, cases = case
    require(
        cases,
        f"no registered method has {plugin.cls.min_experts} experts and what needs asks for",
    )


def check_protocol(
    name: str, registries: Registries, plugins: Sequence[str] = ()
) -> Iterator[Check]:
    case = ProtocolCase(name, registries, tuple(plugins))
    yield from _checks(name, PROTOCOL_PROPERTIES, (case,))


def check_source(plugin: Plugin[Any], folder: Path | None = None) -> Iterator[Check]:
    case = SourceCase(plugin, folder)
    yield from _checks(plugin.name, properties_of(case), (case,))


def check_backbone(plugin: Plugin[Any]) -> Iterator[Check]:
    yield from _checks(plugin.name, BACKBONE_PROPERTIES, (BackboneCase(plugin),))


def check_encoder(plugin: Plugin[Any]) -> Iterator[Check]:
    case = encoders.EncoderCase(plugin)
    yield from _checks(plugin.name, encoders.properties_of(case), (case,))


def _checks(plugin: str, properties: Iterable[Property[C]], cases: Sequence[C]) -> Iterator[Check]:
    """None without a case: what was not tried is not called fine."""
    for each in properties if cases else ():
        yield Check(plugin, each, tuple(cases))


def _tried(make: Callable[[], Iterable[C]]) -> tuple[C, ...]:
    """Cases need hyper-parameters that can be built; where they cannot, the card says so."""
    try:
        return tuple(make())
    except Exception:  # told by the card's properties
        return ()


def checks_of(
    target: str | Path,
    plugins: Sequence[str] = (),
    *,
    advice: bool = True,
    data_dir: Path | None = None,
) -> list[Check]:
    """The checks of a registered name, or of everything in a ``.py`` or ``.toml`` file.

    advice: also what is good to have and no reason to refuse; data_dir: the images of a source that
    needs a folder. Raises :class:`InputError` where
    there is no such plugin or the file cannot be used at all.
    """
    found = _all_of(str(target), plugins, data_dir)
    return [check for check in found if advice or not check.property.advice]


def _all_of(text: str, plugins: Sequence[str], data_dir: Path | None) -> list[Check]:
    if text.endswith(".toml"):
        if not Path(text).is_file():
            raise InputError(f"{text}: no such file")
        return list(check_protocol(text, load_registries(plugins), plugins))
    if text.endswith(".py") or Path(text).is_file():
        return _of_file(text, plugins, data_dir)
    registries = load_registries(plugins)
    found: list[Check] = []
    if text in registries.methods.plugins:
        found += check_method(registries.methods.get(text), registries)
    if text in registries.strategies.plugins:
        found += check_strategy(registries.strategies.get(text), registries)
    if text in registries.sources.plugins:
        found += check_source(registries.sources.get(text), data_dir)
    if text in registries.backbones.plugins:
        found += check_backbone(registries.backbones.get(text))
    if text in registries.encoders.plugins:
        found += check_encoder(registries.encoders.get(text))
    protocols = find_protocols(plugins)
    if text in protocols.files or text.replace("_", "-") in protocols.files:
        found += check_protocol(text, registries, plugins)
    if found:
        return found
    kinds: tuple[Registry[Any], ...] = (
        *(registries.methods, registries.strategies, registries.sources, registries.backbones),
        registries.encoders,
    )
    for registry in kinds:
        if text in registry.broken or text in registry.clashes:
            registry.get(text)  # raises, with the reason
    known = [*(name for registry in kinds for name in registry.plugins), *protocols.files]
    raise InputError(
        f"no method, strategy, protocol, source, backbone, encoder or file is called "
        f"{text!r}{nearest(text, known)}"
    )


def _of_file(file: str, plugins: Sequence[str], data_dir: Path | None) -> list[Check]:
    registries = load_registries([*plugins, file])
    origin = str(Path(file).resolve())
    found: list[Check] = []
    for plugin in registries.methods.plugins.values():
        if plugin.origin == origin:
            found += check_method(plugin, registries)
    for other in registries.strategies.plugins.values():
        if other.origin == origin:
            found += check_strategy(other, registries)
    for source in registries.sources.plugins.values():
        if source.origin == origin:
            found += check_source(source, data_dir)
    for backbone in registries.backbones.plugins.values():
        if backbone.origin == origin:
            found += check_backbone(backbone)
    for encoder in registries.encoders.plugins.values():
        if encoder.origin == origin:
            found += check_encoder(encoder)
    return found
