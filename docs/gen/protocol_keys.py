"""Every key of a protocol file: the typed settings of a protocol, table by table."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

from protocol_meanings import MEANINGS
from roles import without_roles
from settings_table import settings_table

from ltbench.protocol import protocol
from ltbench.protocol.study import StudyPart

TABLES: dict[str, type[Any]] = {
    "data": protocol.DataConfig,
    "train": protocol.TrainConfig,
    "groups": protocol.GroupsConfig,
    "test": protocol.TestConfig,
    "test.dirichlet": protocol.DirichletConfig,
    "test.permuted": protocol.PermutedConfig,
    "model": protocol.ModelConfig,
    "model.pretrained": protocol.PretrainedConfig,
    "data.encoder": protocol.EncoderClaim,
    "recipe": protocol.Recipe,
    "views": protocol.ViewsConfig,
    "[study]": StudyPart,
}
OF_THE_PROGRAM = ("variant", "origin", "not_inherited", "images_unlike", "backbone_code")
"""Fields of a protocol that no file states."""


def protocol_keys() -> str:
    top = [field.name for field in dataclasses.fields(protocol.Protocol)]
    plain = [name for name in top if name not in TABLES and name not in OF_THE_PROGRAM]
    parts = ["### At the top of the file", only(plain)]
    for name, kind in TABLES.items():
        parts += [f"### `[{name}]`", told_of(kind), settings_table(kind, MEANINGS.get(name))]
    return "\n\n".join(part for part in parts if part)


def told_of(kind: type[Any]) -> str:
    """Its docstring, unless that is the signature that a dataclass without one gets."""
    told = inspect.getdoc(kind) or ""
    return "" if told.startswith(f"{kind.__name__}(") else without_roles(told)


def only(names: list[str]) -> str:
    """The rows of the protocol's own table for ``names``."""
    lines = settings_table(protocol.Protocol, MEANINGS[""]).splitlines()
    wanted = tuple(f"| `{name}` |" for name in names)
    return "\n".join([*lines[:2], *(line for line in lines[2:] if line.startswith(wanted))]) + "\n"
