"""The measured seconds of test files, which ``make test-quick`` and the order of files go by."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import SECONDS

TESTS = Path(__file__).parents[1]


def test_every_file_is_there() -> None:
    assert [name for name in SECONDS if not (TESTS / name).is_file()] == []


def test_the_longest_comes_first() -> None:
    assert list(SECONDS.values()) == sorted(SECONDS.values(), reverse=True)
