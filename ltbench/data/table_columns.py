"""Which column of a table of image files is what: stated, by its usual name, or by a common one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ltbench.data.findings import shown
from ltbench.data.table_file import columns_of, refuse_embedded
from ltbench.errors import DataError, nearest

ROLES = ("file", "label", "split", "group")
_COMMON = {
    "file": (
        *("filename", "file_name", "filepath", "file_path", "path"),
        *("image", "image_path", "img", "img_path"),
    ),
    "label": ("class", "class_name", "target", "category"),
}
_HOLDS = {"file": "the image files", "label": "their labels"}


@dataclass(frozen=True)
class Columns:
    """Names of columns. split: empty where a table has none yet; group: what belongs together, if stated."""

    file: str = "file"
    label: str = "label"
    split: str = "split"
    group: str = ""

    @property
    def options(self) -> dict[str, str]:
        """``[data.options]`` of the source ``table``: those that have another name than the usual."""
        usual = Columns()
        named = {role: getattr(self, role) for role in ROLES}
        return {
            f"{role}_column": name
            for role, name in named.items()
            if name and name != getattr(usual, role)
        }

    def told(self) -> str:
        """What was taken for what, empty where all have their usual names."""
        pairs = (f"{key.removesuffix('_column')} = {shown(v)!r}" for key, v in self.options.items())
        return ", ".join(pairs)


def recognise(table: Path, stated: Mapping[str, str]) -> Columns:
    """The columns of ``table``: as ``stated`` (role to name), else by the usual name, else by a common one
    (``filename``, ``image``, ``path``; ``class``, ``target``) where there is one alone, in any case.

    Raises :class:`DataError` where a stated column is not there, none is recognised, or several are.
    """
    head = columns_of(table)
    for role, name in stated.items():
        if name not in head:
            raise DataError(
                f"{shown(table)} has no column {shown(name)!r}, which {option_of(role)} names "
                f"{_has(head)}{nearest(name, head)}"
            )
    file, label = (stated.get(role) or _guess(table, role, head) for role in ("file", "label"))
    split = stated.get("split") or ("split" if "split" in head else "")
    columns = Columns(file, label, split, stated.get("group", ""))
    used = [name for name in (columns.file, columns.label, columns.split) if name]
    if len(set(used)) != len(used):
        raise DataError(
            f"{shown(table)}: one column cannot be two things: {columns.told() or ', '.join(used)}"
        )
    return columns


def _guess(table: Path, role: str, head: list[str]) -> str:
    if role in head:
        return role
    found = [name for name in head if name.lower() in (role, *_COMMON[role])]
    if len(found) == 1:
        return found[0]
    if found:
        listed = " and ".join(map(shown, found))
        raise DataError(
            f"{shown(table)}: the columns {listed} may both be {_HOLDS[role]}; say which by "
            f"{option_of(role)}"
        )
    refuse_embedded(table)
    raise DataError(
        f"{shown(table)} has no column {role!r} {_has(head)}{nearest(role, head)}; say which holds "
        f"{_HOLDS[role]} by {option_of(role)}"
    )


def option_of(role: str) -> str:
    return "--group" if role == "group" else f"--{role}-column"


def _has(head: list[str]) -> str:
    return f"(it has: {', '.join(map(shown, head)) or 'nothing'})"
