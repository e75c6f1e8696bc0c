"""What methods built on a network, made again from a trial's record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from ltbench.errors import InputError
from ltbench.method import Method
from ltbench.models.assemble import build_extra
from ltbench.models.network import ExpertNetwork
from ltbench.registry import Registries, load_registries
from ltbench.trial.asked_code import Code


def rebuild(record: Mapping[str, Any], network: ExpertNetwork, plugins: Sequence[str]) -> None:
    """Lets the methods of the record's line build on ``network``, oldest first.

    Raises :class:`InputError` where one of them is not known or its code is another one.
    """
    registries = load_registries(plugins)
    counts = torch.tensor(record["data"]["train_counts"])
    own = {**record["training"], "parent": record.get("parent")}
    for facts in _line(own):
        build_extra(_method(facts, counts, registries), network, 0)


def _line(facts: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    parent = facts.get("parent")
    return [*(_line(parent) if parent and parent["role"] == "start" else []), facts]


def _method(facts: Mapping[str, Any], counts: torch.Tensor, registries: Registries) -> Method[Any]:
    name = str(facts["name"])
    known = registries.methods
    if name not in known.plugins and name not in known.broken:
        raise InputError(
            f"unknown method {name!r}, which made modules of this network; load_model(..., "
            "plugins=[FILE]) makes it known"
        )
    plugin = known.get(name)
    if (plugin.cls.version, plugin.digest) != (facts["version"], facts["digest"]):
        raise InputError(
            f"the code of method {name!r}, which made modules of this network, is another one: "
            f"version {facts['version']}, code {Code('method', name, facts['digest']).short}; here "
            f"version {plugin.cls.version}, code {Code('method', name, plugin.digest).short}"
        )
    return plugin.cls(counts, plugin.cls.hyper_type.from_mapping(facts["hyper"], name))
