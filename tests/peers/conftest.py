"""What the comparisons share: the collector of the table, and that peers' warnings are theirs."""

from __future__ import annotations

from pathlib import Path

import pytest
from torch import Tensor

from .table import Ledger
from .worlds import World, digits_world

HERE = Path(__file__).parent
LEDGER = Ledger()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--write-table", action="store_true", help="write docs/peers.md anew")


def pytest_configure(config: pytest.Config) -> None:
    """Warnings are errors in our own modules only; a peer is pinned and warns as it likes."""
    config.addinivalue_line("filterwarnings", "ignore")
    config.addinivalue_line("filterwarnings", "error:::ltbench")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The table is compared when all of it has been measured."""
    items.sort(key=lambda item: item.path.name == "test_table.py")


@pytest.fixture(scope="session")
def ledger() -> Ledger:
    """Where every comparison records what it measured."""
    return LEDGER


@pytest.fixture(scope="session")
def everything_ran(request: pytest.FixtureRequest) -> bool:
    """Whether no file of this folder was left out of this run."""
    return {item.path for item in request.session.items} >= set(HERE.glob("test_*.py"))


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> tuple[World, Tensor]:
    """A trained network's outputs on Digits-LT, and the test labels."""
    return digits_world(tmp_path_factory.mktemp("digits"))
