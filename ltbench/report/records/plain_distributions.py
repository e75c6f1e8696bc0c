"""The scores of a record as ltbench writes it, decoded and checked at once by msgspec.

Nearly all of a large results folder is draws. Whatever is not plainly right is left to the
careful reading of :mod:`ltbench.report.records.scores`, which says what is wrong and where.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Any

import msgspec

from ltbench.report.records.schema import GROUPS, Count, Distribution, Draw, PerCent, Recalls
from ltbench.report.records.scores import canonical, one_number

_Scores = tuple[PerCent | None, ...]
_Groups = dict[str, PerCent | None]
_GROUPS = (*GROUPS, "all")


class _Recalls(msgspec.Struct):
    per_class: _Scores
    groups: _Groups


class _Agreement(msgspec.Struct):
    experts: list[_Groups]


class _Draw(Draw, frozen=True, kw_only=True):
    """The only draw of a uniform set also holds the recalls."""

    nll: float | msgspec.UnsetType | None = msgspec.UNSET  # type: ignore[assignment]
    per_class: _Scores | None = None
    groups: _Groups | None = None
    experts: list[_Recalls] | None = None
    agreement: _Agreement | None = None


class _Definition(msgspec.Struct):
    kind: Annotated[str, msgspec.Meta(min_length=1)]
    ratio: Annotated[float, msgspec.Meta(ge=1e-12)] | None = None
    counts: tuple[Count, ...] | None = None


class _Distribution(msgspec.Struct):
    definition: msgspec.Raw
    draws: dict[str, _Draw]
    correct: str | None = None
    labels: str | None = None
    per_class: msgspec.Raw | None = None


_NUMBERS = tuple(map(str, range(100)))
"""Keys of draws as they are written, from the first."""
_DISTRIBUTIONS = msgspec.json.Decoder(dict[str, _Distribution])
_DEFINITION = msgspec.json.Decoder(_Definition)


class _UnusualError(ValueError):
    """Not as ltbench writes it; perhaps wrong."""


def plain_distributions(
    content: bytes | msgspec.Raw, experts: int, classes: int
) -> tuple[Distribution, ...] | None:
    """The distributions of a record, in their order; None where anything is unusual."""
    try:
        found = _DISTRIBUTIONS.decode(content)
        return tuple(_distribution(name, raw, experts, classes) for name, raw in found.items())
    except (ValueError, RecursionError):  # msgspec's errors are ValueErrors too
        return None


def _distribution(name: str, found: _Distribution, experts: int, classes: int) -> Distribution:
    definition, text = _definition(bytes(found.definition))
    shifted = definition.kind in ("forward", "backward")
    if (definition.ratio is None and shifted) or not found.draws or found.per_class:
        raise _UnusualError
    first = next(iter(found.draws.values()))
    measured = first.agreement.experts if first.agreement else []
    single = first.experts or []
    _check_length(definition.counts, classes)
    for of_experts in (measured or None, single or None):
        _check_length(of_experts, experts)
    return Distribution(
        name=name,
        kind=definition.kind,
        ratio=definition.ratio,
        definition=text,
        draws=_draws(found.draws, experts, classes),
        recalls=_recalls(first, classes) if first.per_class else None,
        experts=tuple(_recalls(item, classes) for item in single),
        counts=definition.counts,
        correct=found.correct or "",
        labels=found.labels or "",
        agreement=tuple(_named(groups) for groups in measured),
    )


@lru_cache(maxsize=4096)
def _definition(content: bytes) -> tuple[_Definition, str]:
    """The same few definitions stand in every record."""
    return _DEFINITION.decode(content), canonical(msgspec.json.decode(content))


def _draws(found: Mapping[str, _Draw], experts: int, classes: int) -> tuple[Draw, ...]:
    """In the order of their numbers. There are millions: what a loop repeats is written out in it."""
    set_value = msgspec.structs.force_setattr
    ordered = (*found,) == _NUMBERS[: len(found)]
    for place, (key, draw) in enumerate(found.items()):
        if not (ordered or (key.isascii() and key.isdecimal())):
            raise _UnusualError
        set_value(draw, "number", place if ordered else int(key))
        if draw.nll is None:
            set_value(draw, "nll", math.inf)
        elif draw.nll is msgspec.UNSET:
            set_value(draw, "nll", None)
        top1s, weights, prior = draw.expert_top1, draw.expert_weights, draw.prior
        if (
            (top1s is not None and len(top1s) != experts)
            or (weights is not None and len(weights) != experts)
            or (prior is not None and len(prior) != classes)
        ):
            raise _UnusualError
    draws = tuple(found.values())
    return draws if ordered else tuple(sorted(draws, key=lambda draw: draw.number))


def _recalls(found: _Draw | _Recalls, classes: int) -> Recalls:
    if found.per_class is None or found.groups is None:
        raise _UnusualError
    _check_length(found.per_class, classes)
    return Recalls(found.per_class, one_number(_named(found.groups)))


def _named(groups: Mapping[str, float | None]) -> dict[str, float | None]:
    return {name: groups.get(name) for name in _GROUPS}


def _check_length(values: Any, length: int) -> None:
    if values is not None and len(values) != length:
        raise _UnusualError
