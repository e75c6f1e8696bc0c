"""The command line for tests: as a process, and inside this one where only its answer counts."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch

import ltbench as package

# Networks of the tests are tiny, and results must not depend on the machine.
torch.set_num_threads(1)

Completed = subprocess.CompletedProcess[str]
CommandLine = Callable[..., Completed]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says that the tests on real images ran: a skip is easily overlooked."""
    counts = {
        outcome: sum(
            "real_data" in report.keywords for report in terminalreporter.getreports(outcome)
        )
        for outcome in ("passed", "failed", "skipped")
    }
    told = ", ".join(f"{count} {outcome}" for outcome, count in counts.items())
    terminalreporter.write_line(f"on the real CIFAR-100: {told}")


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """For processes: one cache for all tests, plain output, the ltbench under test."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("LTBENCH_")}
    return environment | {
        "LTBENCH_CACHE": str(tmp_path_factory.mktemp("cache")),
        "PYTHONPATH": str(Path(package.__file__).parent.parent),
        "PYTHONDONTWRITEBYTECODE": "1",
        "NO_COLOR": "1",
        "COLUMNS": "200",
        "TERM": "dumb",
        "MPLBACKEND": "agg",
    }


@pytest.fixture(scope="session")
def command() -> list[str]:
    """``ltbench`` as the first words of a command line."""
    return [sys.executable, "-m", "ltbench"]


@pytest.fixture(scope="session")
def ltbench(
    command: list[str],
    environment: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> CommandLine:
    """``ltbench("run", ...)`` as a process in an empty folder. No input may give a traceback."""
    nowhere = tmp_path_factory.mktemp("cwd")

    def run(
        *arguments: str | Path, cwd: Path = nowhere, env: Mapping[str, str] | None = None
    ) -> Completed:
        done = subprocess.run(
            [*command, *map(str, arguments)],
            cwd=cwd,
            env={**environment, **(env or {})},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert "Traceback" not in done.stdout + done.stderr, done.stdout + done.stderr
        return done

    return run


@pytest.fixture
def ltbench_here(
    environment: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> CommandLine:
    """The same in this process, which saves importing torch; trials still have processes."""
    from ltbench.cli import main

    for key, value in environment.items():
        monkeypatch.setenv(key, value)
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")

    def run(*arguments: str | Path) -> Completed:
        words = [str(argument) for argument in arguments]
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(words)
        out, err = capfd.readouterr()
        assert "Traceback" not in out + err, out + err
        assert isinstance(ended.value.code, int)
        return subprocess.CompletedProcess(words, ended.value.code, out, err)

    return run


@pytest.fixture(scope="session")
def quick() -> list[str]:
    """A protocol that trains in a second: options of ``run`` and ``evaluate``."""
    protocol = ["--protocol", "digits-lt", "--set", "recipe.epochs=2", "--set", "test.draws=2"]
    return [*protocol, "--set", "test.ratios=2,5"]
