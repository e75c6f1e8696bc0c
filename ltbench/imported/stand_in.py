"""A method that stands for the unknown one behind imported logits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ltbench.contract.gate import IMPORTED
from ltbench.errors import InputError
from ltbench.imported.outputs import ModelOutputs
from ltbench.method import Architecture, Method, NoHyper
from ltbench.names import Call, Row, check_name, format_call, parse_call, split_list
from ltbench.protocol.protocol import Protocol
from ltbench.registry import Plugin, Registries, Registry
from ltbench.resolve.rows import ResolvedRow, check_row, resolve_row, told
from ltbench.strategy import Need

ORIGIN = IMPORTED
MARK = " (imported)"
"""Follows the label in every table and figure."""

_NOT_LOGITS: dict[Need, tuple[str, str]] = {
    "network": ("the network itself", ""),
    "views": ("augmented views of the test images", "; --view-logits FILE gives them"),
    "holdout": (
        "held-out training images",
        "; --holdout-logits FILE and --holdout-labels FILE give them",
    ),
}
"""What logits and labels of the test images do not bring, and the options that do."""


def checked_title(title: str | None) -> str | None:
    """``title`` where a table can print it. Raises :class:`InputError`."""
    if title is None:
        return None
    bare = title.strip()
    if not bare or not bare.isprintable() or len(bare) > 64:
        raise InputError(f"--title {title[:70]!r} must be 1 to 64 printable characters on one line")
    return bare


def stand_in(
    name: str, outputs: ModelOutputs, registries: Registries, title: str | None = None
) -> Plugin[Method[Any]]:
    """The method ``name``: ``predict`` is the mean over experts, ``bias`` what the user gave.

    Raises :class:`InputError` where ``name`` is unusable or that of a registered method.
    """
    check_name(name, "--name", capitals=True)
    known = registries.methods
    for other in (*known.plugins, *known.broken, *known.clashes):
        if other.lower() == name.lower():  # one folder where a file system ignores case
            case = "" if other == name else f" but for case ({other!r})"
            raise InputError(
                f"--name {name!r} is that of a method of ltbench{case}; choose another one"
            )
    experts, given, shown = outputs.logits.shape[1], outputs.bias, f"{title or name}{MARK}"

    class Imported(Method[NoHyper]):
        """Trained elsewhere; only its logits are known."""

        title = shown

        def architecture(self) -> Architecture:
            return Architecture(experts=experts)

        def bias(self) -> Tensor | None:
            return given

        def loss(
            self,
            logits: Tensor,
            targets: Tensor,
            *,
            progress: float,
            rng: torch.Generator | None = None,
        ) -> Tensor:
            raise NotImplementedError("imported logits are not trained")

    Imported.name = name
    return Plugin(name, Imported, ORIGIN)


def resolve_rows(
    asked: str | None,
    plugin: Plugin[Method[Any]],
    counts: Tensor,
    protocol: Protocol,
    registries: Registries,
    outputs: ModelOutputs,
) -> list[ResolvedRow]:
    """Rows of the strategies ``asked`` for (by commas); None: all that ``outputs`` allow.

    Raises :class:`InputError` for a strategy that needs more than there is.
    """
    if asked is not None:
        return named_rows(_parse(asked), plugin, counts, protocol, registries, outputs)
    names = sorted(registries.strategies.plugins, key=lambda name: (name != "none", name))
    method = plugin.cls(counts, NoHyper())
    rows = _resolved([Call(name) for name in names], plugin, protocol, registries)
    return [row for row in rows if _is_applicable(row, method, outputs)]


def named_rows(
    calls: Sequence[Call | None],
    plugin: Plugin[Method[Any]],
    counts: Tensor,
    protocol: Protocol,
    registries: Registries,
    outputs: ModelOutputs,
) -> list[ResolvedRow]:
    """Rows of ``calls``, None for the strategy of the stand-in's own; refused as by :func:`resolve_rows`."""
    rows = _resolved(calls, plugin, protocol, registries)
    method = plugin.cls(counts, NoHyper())
    for row in rows:
        _check(row, method, outputs)
    return rows


def _resolved(
    calls: Sequence[Call | None],
    plugin: Plugin[Method[Any]],
    protocol: Protocol,
    registries: Registries,
) -> list[ResolvedRow]:
    methods: Registry[Method[Any]] = Registry(
        "method", {**registries.methods.plugins, plugin.name: plugin}
    )
    here = replace(registries, methods=methods)
    alone = replace(protocol, ensembles={})  # one of imports is the stand-in itself
    return [resolve_row(Row(Call(plugin.name), call), alone, here) for call in calls]


def label(row: ResolvedRow) -> str:
    """``"mine+oracle (imported)"``: what tables print; with a title, that in the name's place."""
    shown = row.method.cls.title.removesuffix(MARK)
    if row.strategy.name == "none":
        return f"{shown}{MARK}"
    return f"{shown}+{format_call(row.strategy.name, row.strategy_params)}{MARK}"


def _parse(asked: str) -> list[Call]:
    parts: Sequence[str] = split_list(asked)
    if not all(parts):
        raise InputError(f"--strategies {asked!r}: the list is empty or has an empty place")
    calls = [parse_call(part) for part in parts]
    for i, call in enumerate(calls):
        if call in calls[:i]:
            raise InputError(f"--strategies: {parts[i]!r} is named twice")
    return calls


def _missing(outputs: ModelOutputs) -> set[Need]:
    there = {"views": outputs.views, "holdout": outputs.holdout, "network": None}
    return {need for need in _NOT_LOGITS if there[need] is None}


def _is_applicable(row: ResolvedRow, method: Method[Any], outputs: ModelOutputs) -> bool:
    """Whether the row needs nothing beyond what the model brings and the true prior."""
    most = row.strategy.cls.max_classes
    fits = most is None or len(method.counts) <= most
    enough = fits and row.strategy.cls.min_experts <= method.architecture().experts
    known = method.bias() is not None or outputs.holdout is not None or "bias" not in row.needs
    return enough and known and not row.needs & _missing(outputs)


def _check(row: ResolvedRow, method: Method[Any], outputs: ModelOutputs) -> None:
    needs, missing = row.needs, _missing(outputs)
    for need, (words, remedy) in _NOT_LOGITS.items():
        if need in needs & missing:
            raise InputError(
                f"{told(row, need)} needs {words}, which imported logits do not bring{remedy}"
            )
    holdout = outputs.holdout is not None
    if "bias" in needs and method.bias() is None and not holdout:
        raise InputError(
            f"{row.strategy.name!r} needs the training prior that the logits carry; give it with "
            "--bias FILE, (C,) or (E, C): zeros for plain cross-entropy"
        )
    check_row(row, method, holdout=holdout)
