"""Commands as forks of the test's process: killed and stopped like any, started in no time."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.conftest import assert_foreseen
from tests.forked import run_forked

CommandLine = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def ltbench_forked(
    environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> CommandLine:
    """``ltbench_forked("run", ...)`` as ``ltbench``, but as a fork. workers: trials are forks of their own,
    else they run in that of the command."""
    nowhere = tmp_path_factory.mktemp("cwd")

    def run(
        *arguments: str | Path,
        cwd: Path = nowhere,
        env: Mapping[str, str] | None = None,
        workers: bool = False,
    ) -> subprocess.CompletedProcess[str]:
        done = run_forked(
            [str(argument) for argument in arguments],
            env={**environment, **(env or {})},
            cwd=cwd,
            workers=workers,
        )
        assert_foreseen(done.stdout + done.stderr)
        return done

    return run
