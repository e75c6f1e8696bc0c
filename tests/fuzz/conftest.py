"""A long run (`make fuzz`) ends when its time is up, and takes its tests in another order in each round."""

from __future__ import annotations

import os
import random
import time

import pytest

UNTIL = "LTBENCH_FUZZ_UNTIL"  # seconds since the epoch


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if UNTIL in os.environ:
        random.shuffle(items)


@pytest.fixture(autouse=True)
def time_is_left() -> None:
    if time.time() > float(os.environ.get(UNTIL, "inf")):
        pytest.skip("the time of this run is up")
