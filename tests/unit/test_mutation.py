"""The faults that are tried are faults, and each has tests that may notice it."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TRIED = ("ltbench/labelshift", "ltbench/shift", "ltbench/report/statistics")
SOURCE = '''
def f(x: int = 1, y: list[int] = []) -> int | None:
    """Not this."""
    if max(x, 2) < len(y[1:]) and y:
        return x
    return None
'''


pytestmark = pytest.mark.usefixtures("importable_benchmarks")


def test_faults_of_a_small_function() -> None:
    """Not of its annotations and docstring, and none that changes nothing: ``return None``."""
    from benchmarks.mutation.operators import mutants

    found = list(mutants(SOURCE))
    assert [m.number for m in found] == list(range(len(found)))
    assert len({m.source for m in found}) == len(found)
    assert all("Not this." in m.source and "-> int | None" in m.source for m in found)
    told = {m.change for m in found if m.operator not in ("not", "boolean")}
    assert told == {
        "1 -> 2", "1 -> 0", "2 -> 3", "2 -> 1", "max -> min", "1: -> :",
        "max(x, 2) < len(y[1:]) -> max(x, 2) <= len(y[1:])", "return x -> return None",
    }  # fmt: skip
    for mutant in found:
        compile(mutant.source, "mutant", "exec")


def test_every_module_has_tests_and_every_test_file_is_there() -> None:
    from benchmarks.mutation.sample import mapping

    tests = mapping()
    modules = {
        path.relative_to(ROOT).as_posix()
        for folder in TRIED
        for path in (ROOT / folder).glob("*.py")
        if path.name != "__init__.py"
    }
    assert set(tests) == modules | {"ltbench/evaluate/metrics.py"}
    assert all((ROOT / test).is_file() for files in tests.values() for test in files)
