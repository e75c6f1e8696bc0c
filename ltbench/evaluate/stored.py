"""Evaluations on disk: which file belongs to a row of a trial, and what is still missing in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ltbench.errors import InputError
from ltbench.evaluate.bias_fit import BIAS_FIT_VERSION
from ltbench.resolve.rows import ResolvedRow
from ltbench.settings import identity_of
from ltbench.shift.testsets import TestSet
from ltbench.trial import store
from ltbench.trial.class_arrays import ClassArrays, arrays_path, read_arrays
from ltbench.trial.class_values import put_back, values_are_there
from ltbench.trial.trial import Trial, content_hash

EVALUATION_SEMANTICS = 1
"""Raised when what an evaluation computes changes on purpose."""


def evaluation_hash(trial: Trial, row: ResolvedRow, mode: str) -> str:
    """The identity of ``row`` evaluated on ``trial``; test sets are told by their definitions."""
    protocol = trial.protocol
    views = None
    if "views" in row.needs:
        views = protocol.views.logits_identity() | {"pairs": protocol.views.pairs}
    identity = [
        trial.hash,
        row.identity(),
        views,
        identity_of(protocol.groups),
        mode,
        protocol.variant,
    ]  # the variant: a record names it, so what is known by one name must not serve another
    if row.may_estimate_bias:  # others keep the identity they had before there were such rows
        identity.append({"bias_fit": BIAS_FIT_VERSION})
    return content_hash([EVALUATION_SEMANTICS, *identity])


def evaluation_path(folder: Path, trial: Trial, row: ResolvedRow, mode: str) -> Path:
    name = f"{row.file_name}+{row.strategy.name}-{evaluation_hash(trial, row, mode)}.json"
    return folder / "evaluations" / name


def known_distributions(
    path: Path, holding: str = "draws", *, with_values: bool = True
) -> dict[str, Any]:
    """What the file holds, by draws or another key; nothing where it is absent or unreadable.

    with_values: of thousands of classes, too, what lies by class in the file beside it.
    """
    try:
        record = store.read_record(path)
        if with_values:
            record = put_back(record, path)
        distributions = record["distributions"].items()
    except store.NewerSchemaError:
        raise
    except (InputError, KeyError, AttributeError):
        return {}
    return {
        name: entry
        for name, entry in distributions
        if isinstance(entry, dict) and isinstance(entry.get(holding), dict)
    }


def left_out_facts(path: Path, left_out: Mapping[str, str]) -> dict[str, Any]:
    """The ``left_out`` block of a record: sets that the test images do not allow, with those that the
    file at ``path`` tells already. Nothing where there is none."""
    try:
        known = store.read_record(path).get("left_out", {})
    except store.NewerSchemaError:
        raise
    except (InputError, AttributeError):
        known = {}
    told = {**(known if isinstance(known, dict) else {}), **left_out}
    return {"left_out": told} if told else {}


def sets_for(row: ResolvedRow, test_sets: Sequence[TestSet]) -> list[TestSet]:
    """The test sets on which ``row`` is evaluated: draw 0 alone where the network has to run."""
    if not row.first_draw_only:
        return list(test_sets)
    return [replace(test_set, draws=1) for test_set in test_sets]


def is_complete(
    path: Path, test_sets: Sequence[TestSet], left_out: Mapping[str, str] = MappingProxyType({})
) -> bool:
    """Whether the file holds every draw of every test set; of a row, those of :func:`sets_for`.

    left_out: what it must tell to be left out.
    """
    if not values_are_there(path):
        return False
    known = known_distributions(path, with_values=False)
    if left_out and not left_out.items() <= left_out_facts(path, {}).get("left_out", {}).items():
        return False
    return all(
        known.get(test_set.name, {}).get("definition") == test_set.definition()
        and all(str(draw) in known[test_set.name]["draws"] for draw in range(test_set.draws))
        for test_set in test_sets
    )


def known_arrays(path: Path) -> dict[str, ClassArrays]:
    """What the array file of the record at ``path`` holds; nothing where it is absent or damaged."""
    try:
        return read_arrays(arrays_path(path))
    except ValueError:
        return {}


def has_arrays(path: Path, test_sets: Sequence[TestSet]) -> bool:
    """Whether the array file of the record at ``path`` holds every draw of every test set."""
    known = known_arrays(path)
    return all(
        test_set.name in known
        and known[test_set.name].covers(test_set.definition(), test_set.draws)
        for test_set in test_sets
    )
