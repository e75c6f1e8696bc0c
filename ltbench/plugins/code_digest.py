"""The digest of a plugin's code: what it computes, told from its source without importing it.

It covers the file and, transitively, the local modules that it imports. Comments, docstrings, layout
and paths do not enter, nor does the version of Python.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ltbench.plugins.local_modules import LocalModules

_SKIPPED = frozenset({"ctx", "kind", "type_comment", "type_ignores"})
"""Fields that follow from the others, or change nothing."""


@dataclass(frozen=True)
class Code:
    """digest: 16 hexadecimal digits, equal where the code is; stamp: of the bytes of all files; files:
    those, the first one the plugin's."""

    digest: str
    stamp: str
    files: tuple[Path, ...] = ()


@dataclass(frozen=True)
class _Import:
    """``level`` dots, then ``module``; ``names`` may be modules in it."""

    level: int
    module: str
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Source:
    digest: str
    imports: tuple[_Import, ...]


def read_code(file: Path, modules: LocalModules) -> Code:
    """The code of ``file`` and of the local modules it imports. Raises :class:`OSError`."""
    content = file.read_bytes()
    source = _read(content)
    digests, stamps = {"": source.digest}, {"": hashlib.sha256(content).hexdigest()}
    files = [file]
    waiting = list(_targets(source, modules.package, modules))
    while waiting:
        name = waiting.pop()
        path = None if name in digests else modules.find(name)
        if path is None or path == file:
            continue
        content = path.read_bytes()
        source = _read(content)
        files.append(path)
        digests[name], stamps[name] = source.digest, hashlib.sha256(content).hexdigest()
        package = name if path.name == "__init__.py" else _parent(name)
        waiting += _targets(source, package, modules)
    # Beside the file or elsewhere on the path: the same module.
    plain = sorted((name.lstrip("."), digest) for name, digest in digests.items())
    return Code(_hash(repr(plain)), _hash(repr(sorted(stamps.items()))), tuple(files))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _targets(source: _Source, package: str, modules: LocalModules) -> Iterator[str]:
    """Names of local modules that ``source`` may import, with the packages around them."""
    for found in source.imports:
        if found.level:
            base = _up(package, found.level - 1)
            name = None if base is None else _join(base, found.module)
        else:
            name = modules.absolute(found.module)
        if name is None:
            continue
        yield from (_join(name, inside) for inside in found.names)
        while name and name != ".":
            yield name
            name = _parent(name)


def _parent(name: str) -> str:
    """``a.b`` to ``a``, ``a`` to nothing; ``.a`` to ``.``, the folder of the plugin file."""
    before, dot, _ = name.rpartition(".")
    return before or dot


def _up(package: str, levels: int) -> str | None:
    for _ in range(levels):
        if package in ("", "."):
            return None
        package = _parent(package)
    return package or None


def _join(package: str, name: str) -> str:
    if not name:
        return package
    return f".{name}" if package == "." else f"{package}.{name}"


@lru_cache(maxsize=512)
def _read(content: bytes) -> _Source:
    """Of one file; where it is no Python, its bytes count as they are."""
    try:
        tree = ast.parse(content)
        text = "".join(_canonical(tree))
        return _Source(_hash(text), tuple(_imports(tree)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return _Source(hashlib.sha256(content).hexdigest()[:16], ())


def _canonical(node: ast.AST) -> Iterator[str]:
    """The syntax tree as text; what is absent in one version of Python is left out in all."""
    if isinstance(node, ast.Constant):
        yield _constant(node.value)
        return
    yield f"{type(node).__name__}("
    for field, value in ast.iter_fields(node):
        if field in _SKIPPED or value is None or value == []:
            continue
        yield f"{field}="
        if isinstance(value, ast.AST):
            yield from _canonical(value)
        elif isinstance(value, list):
            yield from _items(value, joined=isinstance(node, ast.JoinedStr))
        else:
            yield ascii(value)
        yield ","
    yield ")"


def _items(values: list[object], *, joined: bool) -> Iterator[str]:
    """A list of nodes; docstrings and ``pass`` are no code, text in f-strings is one piece."""
    yield "["
    text = ""
    for value in values:
        piece = value.value if joined and isinstance(value, ast.Constant) else None
        if isinstance(piece, str):
            text += piece
            continue
        if text:
            yield _constant(text) + ","
            text = ""
        if isinstance(value, ast.AST):
            if not _is_no_code(value):
                yield from _canonical(value)
                yield ","
        else:
            yield ascii(value) + ","
    yield (_constant(text) if text else "") + "]"


def _constant(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return f"int:{value:x}"  # long ones have no decimal text
    return f"{type(value).__name__}:{value!a}"


def _is_no_code(node: ast.AST) -> bool:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return True
    return isinstance(node, ast.Pass)


def _imports(tree: ast.AST) -> Iterator[_Import]:
    """Every import at whatever depth, and ``import_module("name")``; not those for types alone."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from (_Import(0, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names = tuple(alias.name for alias in node.names if alias.name != "*")
            yield _Import(node.level, node.module or "", names)
        elif isinstance(node, ast.Call):
            yield from _dynamic(node)
        if isinstance(node, ast.If) and _last_name(node.test) == "TYPE_CHECKING":
            waiting += node.orelse
        else:
            waiting += ast.iter_child_nodes(node)


def _dynamic(call: ast.Call) -> Iterator[_Import]:
    if _last_name(call.func) in ("import_module", "__import__") and call.args:
        name = call.args[0]
        if isinstance(name, ast.Constant) and isinstance(name.value, str):
            plain = name.value.lstrip(".")
            yield _Import(len(name.value) - len(plain), plain)


def _last_name(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""
