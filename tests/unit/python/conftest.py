"""A results folder made once from Python: two trained methods with a hold-out, and a stream."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import ltbench
from tests.in_process import without_workers

SHORT: dict[str, Any] = {
    "recipe": {"epochs": 1},
    "test": {"ratios": [5], "draws": 2},
}


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LTBENCH_CACHE", str(folder))
        yield folder


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trials in this process: what Python code calls is the subject, not where trials run."""
    without_workers(monkeypatch)


@pytest.fixture(scope="session")
def results(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    with pytest.MonkeyPatch.context() as patch:
        without_workers(patch)
        outcome = ltbench.run(
            ["ce", "sade+none"], "digits-lt", seeds=1, results=folder, device="cpu", jobs=1,
            arrival="batch:64", train={"holdout": 0.1}, **SHORT,
        )  # fmt: skip
    assert not outcome.failures
    return folder
