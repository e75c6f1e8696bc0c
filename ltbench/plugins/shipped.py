"""What ltbench ships: the digest of the code of each of its methods and strategies, as a table.

Shipped code has the digest "" in every identity, so that records need no new name when a file is only
moved or renamed. Code that differs from the table, or is not in it, is a user's own.

``python -m ltbench.plugins.shipped`` writes the table anew.
"""

from __future__ import annotations

import json
import pkgutil
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from ltbench.plugins.code_digest import read_code
from ltbench.plugins.local_modules import OfPackage

TABLE = Path(__file__).with_name("shipped_code.json")
_PACKAGES = {"method": "ltbench.methods.train", "strategy": "ltbench.methods.adapt"}

Table = dict[str, dict[str, dict[str, Any]]]
"""kind -> name -> version and digest."""


def digest_unless_shipped(kind: str, name: str, version: int, module: ModuleType) -> str:
    """The digest of ``module``, which lies in a folder of ltbench; empty where it is the shipped one."""
    digest = _digest(module)
    known = read_table().get(kind, {}).get(name)
    return "" if known == {"version": version, "digest": digest} else digest


@lru_cache(maxsize=1)
def read_table() -> Table:
    table: Table = json.loads(TABLE.read_text(encoding="utf-8"))
    return table


def table_of_tree() -> Table:
    """The table as the files are now."""
    from ltbench.method import Method
    from ltbench.strategy import Strategy

    table: Table = {}
    for (kind, package), base in zip(_PACKAGES.items(), (Method, Strategy), strict=True):
        found = table[kind] = {}
        for info in pkgutil.iter_modules(import_module(package).__path__):
            module = import_module(f"{package}.{info.name}")
            for cls in vars(module).values():
                own = isinstance(cls, type) and cls.__module__ == module.__name__
                if own and issubclass(cls, base) and hasattr(cls, "name"):
                    found[cls.name] = {"version": cls.version, "digest": _digest(module)}
        table[kind] = dict(sorted(found.items()))
    return table


def _digest(module: ModuleType) -> str:
    file = Path(str(module.__file__))
    return read_code(file, OfPackage(module.__name__, file)).digest


def main() -> None:
    from ltbench.files import write_json

    write_json(TABLE, table_of_tree())


if __name__ == "__main__":
    main()
