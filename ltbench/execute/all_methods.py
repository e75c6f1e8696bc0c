"""``all`` among the methods that were asked for: every method there is, as far as the protocol holds it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from torch import Tensor

from ltbench.contract.gate import NOTHING_STARTED
from ltbench.errors import ContractError, InputError
from ltbench.execute.lineage import asking, find_parent, training_of
from ltbench.names import ALL, Call, Row
from ltbench.protocol.protocol import Protocol
from ltbench.registry import Registries
from ltbench.resolve.methods import resolve_hyper
from ltbench.resolve.rows import ResolvedRow
from ltbench.train.phases import phase_spans
from ltbench.train.streamed import unfit

T = TypeVar("T")


def with_all(
    rows: Sequence[Row], protocol: Protocol, registries: Registries
) -> tuple[list[Row], list[str]]:
    """``rows``, each ``all`` replaced by a row of every method, in the order of their names.

    The rows that it stands for are ``optional``; one that is named as well is not made twice. Second:
    a line for each method that is broken. Raises :class:`InputError` for ``all`` with parameters or
    copies, for a strategy that is unknown, and where something is called so.
    """
    if all(row.method.name != ALL for row in rows):
        return list(rows), []
    if ALL in registries.methods.plugins or ALL in protocol.ensembles:
        kind = "an ensemble" if ALL in protocol.ensembles else "a method"
        raise InputError(f"{kind} is called {ALL!r}, which stands for every method; rename it")
    found: list[Row] = []
    for row in rows:
        if row.method.name != ALL:
            found.append(row)
            continue
        if row.method.params or row.copies is not None:
            raise InputError(
                f"{ALL!r} stands for every method as it is, one network each; parameters and "
                "ensembles are for methods that are named"
            )
        if row.strategy is not None:  # a typing error leaves out nobody, it is refused
            cls = registries.strategies.get(row.strategy.name).cls
            resolve_hyper(cls.hyper_type, {}, row.strategy)
        for name in sorted(registries.methods.plugins):
            one = Row(Call(name), row.strategy, optional=True)
            if one not in rows and one not in found:
                found.append(one)
    return found, _unusable(registries)


def _unusable(registries: Registries) -> list[str]:
    methods = registries.methods
    broken = [f"{b.name} is left out: it is broken: {b.reason}" for b in methods.broken.values()]
    return [*broken, *(f"{name} is left out: {why}" for name, why in methods.clashes.items())]


def unless_left_out(row: Row, notes: list[str], work: Callable[[], T]) -> T | None:
    """What ``work`` gives. A refusal of a row that ``all`` stands for becomes a note, and None."""
    try:
        return work()
    except InputError as error:
        if not row.optional:
            raise
        label = row.method.name + (f"+{row.strategy.name}" if row.strategy else "")
        reason = str(error).removesuffix(NOTHING_STARTED).removeprefix(f"{label}: ")
        notes.append(f"{label} is left out: {reason}")
        return None


def check_fits(
    row: ResolvedRow, protocol: Protocol, registries: Registries, counts: Tensor, streamed: bool
) -> None:
    """Raises :class:`InputError` where its training cannot take place under ``protocol``.

    streamed: whether images are opened one by one.
    """
    with asking(row.method):
        training = training_of(row.build_method(counts), protocol, registries)
        find_parent(training, protocol, registries, counts)
        phases = training.method.cls(counts, training.hyper).phases()
    recipe = protocol.recipe_for(training.method.name)
    if why := unfit(phases, recipe, streamed, training.method.name):
        raise InputError(why)
    if phases:
        try:
            phase_spans(phases, recipe.epochs)
        except ContractError as error:
            raise InputError(str(error)) from error


def required(rows: Sequence[ResolvedRow]) -> bool:
    """Whether a training is asked for by name, not by ``all`` alone."""
    return not all(row.optional for row in rows)
