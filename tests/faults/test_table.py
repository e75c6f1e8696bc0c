"""The table of docs/reliability.md and the tests of this folder are one: every fault, every test, no more."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
PAGE = FOLDER.parents[1] / "docs" / "reliability.md"
FAULTS = range(1, 26)


def named_tests() -> dict[int, set[str]]:
    """By fault the names ``test_x.py::test_fNN_y`` of functions at the top of the files."""
    found: dict[int, set[str]] = {}
    for path in sorted(FOLDER.glob("test_*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            named = isinstance(node, ast.FunctionDef) and re.match(r"test_f(\d\d)_", node.name)
            if named:
                found.setdefault(int(named[1]), set()).add(f"{path.name}::{node.name}")
    return found


def table() -> dict[int, list[str]]:
    """By fault the tests that its row names, without the folder."""
    rows: dict[int, list[str]] = {}
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        row = re.match(r"\| F(\d+) \|", line)
        if row:
            assert int(row[1]) not in rows, f"F{row[1]} has two rows"
            rows[int(row[1])] = re.findall(r"`tests/faults/(test_\w+\.py::test_\w+)`", line)
    return rows


def test_every_fault_has_a_row_and_no_other() -> None:
    assert list(table()) == list(FAULTS)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_row_names_the_tests_of_its_fault(fault: int) -> None:
    named, there = table().get(fault, []), named_tests().get(fault, set())
    assert there, f"no test in tests/faults is called test_f{fault:02}_..."
    assert len(named) == len(set(named))
    assert set(named) == there


def test_no_test_is_of_a_fault_that_is_not_listed() -> None:
    assert set(named_tests()) <= set(FAULTS)
