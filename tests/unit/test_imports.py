"""Who imports whom: no circle, one direction between the rooms, no torch where records are read."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "architecture.md"

# A file or folder of ltbench imports only what stands before it. One name: a room; several in one
# string: they do not know one another.
ORDER = (
    "version errors protocols maps progress",
    "pieces sgd",
    "names settings files bombs installed",
    "fields hyper",
    "request seen",
    "method",
    "strategy mixing reweighting contrast backbone encoder",
    "session seeds",
    "data.dataset data.findings",  # what a source hands over: its contract names these files alone
    "data.raw",
    "source",
    "plugins",
    "registry",
    "protocol",
    "trial",
    "resolve models shift features",
    "data",
    "task",
    "contract",
    "train labelshift",
    "methods",
    "report",  # knows nothing of how records come about; what tidies them up asks it what it reads
    "evaluate",
    "execute",
    "encoders",
    "imported",
    "scaffold",
    "cli",
    "python",
    "api",
    "__init__",
    "__main__",
)
ROOMS = [
    "records",
    "rows",
    "statistics",
    "published",
    "tables",
    "render",
    "figures",
    "page",
    "frames",
]
NO_TORCH = ("report", "plugins", "protocol")
"""Rooms that read files and count: a report opens in a second, on a machine without torch."""


def modules() -> dict[str, Path]:
    """Dotted names of all modules without the leading ``ltbench.``."""
    found = {}
    for path in sorted((ROOT / "ltbench").rglob("*.py")):
        parts = path.relative_to(ROOT / "ltbench").with_suffix("").parts
        found[".".join(parts if parts[-1] != "__init__" or len(parts) == 1 else parts[:-1])] = path
    for top in ("methods", "protocols"):  # symlinks within ltbench, not followed above
        for path in sorted((ROOT / top).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts if parts[-1] != "__init__" else parts[:-1])] = path
    return found


MODULES = modules()


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text(encoding="utf-8"))


def imported(module: str, nodes: Iterator[ast.AST]) -> Iterator[str]:
    """Names as written, absolute; ``from a import b`` gives ``a.b`` and ``a``."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively"
            for alias in node.names:
                yield f"{node.module}.{alias.name}"


@cache
def own(module: str, everything: bool = True) -> frozenset[str]:
    """The modules of ltbench that one imports; ``everything``: also within functions and for types."""
    nodes = ast.walk(tree(module)) if everything else at_import(tree(module).body)
    found = set()
    for name in imported(module, nodes):
        if name == "ltbench" or name.startswith("ltbench."):
            short = name.removeprefix("ltbench").removeprefix(".") or "__init__"
            while short and short not in MODULES:
                short = short.rpartition(".")[0]
            found.add(short or "__init__")
    return frozenset(found - {module})


def at_import(body: list[ast.stmt]) -> Iterator[ast.AST]:
    """The statements that run when a module is imported."""
    for node in body:
        yield node
        if isinstance(node, ast.If) and "TYPE_CHECKING" not in ast.dump(node.test):
            yield from at_import([*node.body, *node.orelse])
        elif isinstance(node, ast.Try):
            yield from at_import([*node.body, *node.orelse, *node.finalbody])


def place(module: str) -> int:
    """Of the file itself where it is listed, else of its folder."""
    for known in (module, module.split(".")[0]):
        for i, names in enumerate(ORDER):
            if known in names.split():
                return i
    raise AssertionError(f"{module} has no place in ORDER")


def test_the_walk_finds_the_modules_of_every_folder() -> None:
    assert len(MODULES) > 250
    assert {"report.figures.shift", "methods.train.sade", "__init__", "trial.store"} <= set(MODULES)
    assert "report.tables.experts" in own("report.figures.shift")


def test_no_two_files_import_each_other_in_a_circle() -> None:
    try:
        TopologicalSorter({module: own(module) for module in MODULES}).prepare()
    except CycleError as error:
        pytest.fail(f"a circle: {' <- '.join(error.args[1])}")


def test_every_file_and_folder_of_ltbench_has_its_place_in_the_order() -> None:
    tops = {module.split(".")[0] for module in MODULES}
    listed = {name for names in ORDER for name in names.split()}
    assert tops == {name for name in listed if "." not in name}
    assert {name for name in listed if "." in name} <= set(MODULES)


def test_folders_import_only_what_stands_before_them() -> None:
    wrong = [
        f"{module} -> {other}"
        for module in MODULES
        for other in own(module)
        if module.split(".")[0] != other.split(".")[0] and place(other) >= place(module)
    ]
    assert not wrong


def test_the_rooms_of_the_report_import_only_what_stands_before_them() -> None:
    def room(module: str) -> int:
        parts = module.split(".")
        is_room = len(parts) > 2 or MODULES[module].name == "__init__.py"
        return ROOMS.index(parts[1]) if is_room and len(parts) > 1 else len(ROOMS)

    inside = [module for module in MODULES if module.split(".")[0] == "report"]
    wrong = [
        f"{module} -> {other}"
        for module in inside
        for other in own(module)
        if other.split(".")[0] == "report" and room(other) > room(module)
    ]
    assert not wrong
    assert {MODULES[m].parent.name for m in inside} == {*ROOMS, "report"}


@pytest.mark.parametrize("top", NO_TORCH)
def test_what_reads_records_does_not_wait_for_torch(top: str) -> None:
    """Neither itself nor through what it imports when it is imported."""
    for module in [m for m in MODULES if m.split(".")[0] == top]:
        names = imported(module, ast.walk(tree(module)))
        assert not any(re.match(r"torch(vision)?\b", name) for name in names), module
        seen, todo = set(), [module]
        while todo:
            if (at := todo.pop()) in seen:
                continue
            seen.add(at)
            assert not any(
                re.match(r"torch(vision)?\b", name)
                for name in imported(at, at_import(tree(at).body))
            ), f"{module} imports torch through {at}"
            todo += own(at, everything=False)


def test_every_module_says_in_its_first_line_what_one_finds_there() -> None:
    for module, path in MODULES.items():
        doc = ast.get_docstring(tree(module)) or ""
        assert len(doc.partition("\n")[0]) > 15, path


def test_the_page_of_the_architecture_names_every_folder() -> None:
    told = set(re.findall(r"^\| `([\w/]+)/`", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE))
    there = {
        path.parent.relative_to(ROOT).as_posix()
        for path in MODULES.values()
        if path.name == "__init__.py"
    }
    assert told - {"tests", "docs", "benchmarks", "results/published"} == there


def test_importing_a_report_module_loads_no_torch() -> None:
    code = "import sys, ltbench.report.build; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
