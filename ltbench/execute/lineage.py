"""Which training a method is evaluated on, and which other one that training stands on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ltbench.data.dataset import Splits
from ltbench.errors import InputError, describe
from ltbench.execute.job import build_trial
from ltbench.hyper import Hyper
from ltbench.method import Method, Parent
from ltbench.names import format_call
from ltbench.protocol.protocol import Protocol
from ltbench.registry import Plugin, Registries
from ltbench.resolve.methods import departures
from ltbench.resolve.rows import ResolvedRow
from ltbench.trial.trial import ParentTrial, Trial

_DEEPEST = 8
"""Generations; more are parents that go in a circle."""


@dataclass
class Training:
    """A training that is asked for: by method, hyper-parameters, and the rows that stand on it."""

    method: Plugin[Method[Any]]
    hyper: Hyper
    label: str
    rows: list[ResolvedRow]

    def same_as(self, other: Training) -> bool:
        mine = (self.method.name, self.hyper.training_part())
        return mine == (other.method.name, other.hyper.training_part())


@dataclass(frozen=True)
class Found:
    """A training as another one's parent. role: ``start`` or ``teacher``."""

    role: str
    training: Training


@dataclass(frozen=True)
class Ancestry:
    """A training, its trial, and the same of what it stands on."""

    training: Training
    trial: Trial
    parent: Ancestry | None = None

    def build(self, counts: Tensor) -> Method[Any]:
        return self.training.method.cls(counts, self.training.hyper)

    def line(self) -> list[Ancestry]:
        """Those whose networks it starts from, oldest first, and itself."""
        starts = self.trial.parent is not None and self.trial.parent.role == "start"
        before = self.parent.line() if starts and self.parent is not None else []
        return [*before, self]


def training_of(method: Method[Any], protocol: Protocol, registries: Registries) -> Training:
    """The training on which ``method`` is evaluated, without rows."""
    name, values = method.training_identity()
    plugin = registries.methods.get(name)
    base = protocol.methods[name].hyper if name in protocol.methods else {}
    usual = plugin.cls.hyper_type.from_mapping(base, name)
    hyper = plugin.cls.hyper_type.from_mapping({**base, **values}, name)
    return Training(plugin, hyper, format_call(name, departures(hyper, usual)), [])


def find_parent(
    wanted: Training,
    protocol: Protocol,
    registries: Registries,
    counts: Tensor,
    before: tuple[str, ...] = (),
) -> Found | None:
    """What ``wanted`` stands on: under this protocol, by the method that does the parent's training.

    Raises :class:`InputError`, one line, where there is no such method, where a network to start from
    is another one than is asked for, and where parents go in a circle.
    """
    name = wanted.method.name
    with asking(wanted.method):
        method = wanted.method.cls(counts, wanted.hyper)
        asked = method.parent()
        if asked is None:
            return None
        if not isinstance(asked, Parent):
            raise TypeError(f"parent() returned {type(asked).__name__}, not ltbench.method.Parent")
        plugin = registries.methods.get(asked.method)
        base = protocol.methods[plugin.name].hyper if plugin.name in protocol.methods else {}
        hyper = plugin.cls.hyper_type.from_mapping({**base, **asked.hyper}, plugin.name)
        parent = plugin.cls(counts, hyper)
        training = training_of(parent, protocol, registries)
        if asked.role == "start" and parent.architecture() != method.architecture():
            raise InputError(
                f"method {name!r} starts from {training.label}, whose network is another one: "
                f"{parent.architecture()}, not {method.architecture()}"
            )
    generations = (*before, name)
    if len(generations) > _DEEPEST:
        raise InputError(f"the parents of method {generations[0]!r} go in a circle: {name!r} again")
    find_parent(training, protocol, registries, counts, generations)
    return Found(asked.role, training)


def ancestry(
    wanted: Training,
    seed: int,
    protocol: Protocol,
    registries: Registries,
    counts: Tensor,
    precision: str,
    splits: Splits | None,
) -> Ancestry:
    """The trial of ``wanted`` and those it stands on, all of one seed."""
    found = find_parent(wanted, protocol, registries, counts)
    parent, of = None, None
    if found is not None:
        parent = ancestry(found.training, seed, protocol, registries, counts, precision, splits)
        of = ParentTrial(found.role, parent.trial)
    trial = build_trial(protocol, wanted.method, wanted.hyper, seed, precision, splits, of)
    return Ancestry(wanted, trial, parent)


@contextmanager
def asking(method: Plugin[Method[Any]]) -> Iterator[None]:
    """Whatever a plugin raises while the plan is made becomes one line that names it."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        line = f"method {method.name!r} ({method.origin}) cannot be used: {describe(error)}"
        raise InputError(line) from error
