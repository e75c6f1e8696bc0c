"""The command line for tests: as a process, and inside this one where only its answer counts."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from random import Random
from typing import NamedTuple

import pytest
import torch
from hypothesis import HealthCheck
from hypothesis import settings as properties
from torch import Tensor

import ltbench as package
from tests.zygote import available, started

# Networks of the tests are tiny, and results must not depend on the machine.
torch.set_num_threads(1)

# Nor on how busy it is: time is no property of what these tests are about. `ci` has the same examples in
# every run; `long` (`make fuzz`) has others in each. What failed is told, not kept: nothing is written into
# the checkout.
for _name, _more in {"ci": {"derandomize": True}, "long": {"max_examples": 200}}.items():
    properties.register_profile(
        _name,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow],
        **_more,  # type: ignore[arg-type]
    )
properties.load_profile("ci")

Completed = subprocess.CompletedProcess[str]
CommandLine = Callable[..., Completed]


SECONDS = {
    name: float(seconds)
    for seconds, name in (
        line.split() for line in (Path(__file__).parent / "seconds.txt").read_text().splitlines()
    )
}
"""Measured, of whole files; one that is not there took less than any that is."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--quick", action="store_true", help="leave out the files of tests/seconds.txt"
    )
    parser.addoption("--shuffle", type=int, metavar="SEED", help="in an order drawn from SEED")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Only what is asked for: None leaves it to the other rules."""
    return True if config.getoption("--quick") and _name(collection_path) in SECONDS else None


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Thousands of tests and the libraries below them are there for the whole run: no garbage, and yet each
    collection of it would walk through them."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The longest file first: the last to start is then a short one. Or any order at all."""
    seed = config.getoption("--shuffle")
    if seed is None:
        items.sort(key=lambda item: -SECONDS.get(_name(item.path), 0.0))
    else:
        Random(seed).shuffle(items)


def _name(path: Path) -> str:
    here = Path(__file__).parent
    return path.relative_to(here).as_posix() if path.is_relative_to(here) else ""


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says that the tests on real images ran: a skip is easily overlooked. And what --quick left out."""
    if terminalreporter.config.getoption("--quick"):
        # Of several processes the one that tells has collected nothing itself.
        terminalreporter.write_line(f"left out by --quick: {', '.join(sorted(SECONDS))}")
    counts = {
        outcome: sum(
            "real_data" in getattr(report, "keywords", ())  # a whole file that is skipped has none
            for report in terminalreporter.getreports(outcome)
        )
        for outcome in ("passed", "failed", "skipped")
    }
    told = ", ".join(f"{count} {outcome}" for outcome, count in counts.items())
    terminalreporter.write_line(f"on the real CIFAR-100: {told}")


@pytest.fixture(scope="session", autouse=True)
def nothing_of_the_user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test may depend on what lies in the cache, the home folder or matplotlib's settings."""
    home = tmp_path_factory.mktemp("home")
    shared = tmp_path_factory.getbasetemp().parent  # of all workers: fonts are looked up once
    pip = _pip_folders()  # of the real home
    with pytest.MonkeyPatch.context() as patch:
        for name in ("HOME", "USERPROFILE", "LOCALAPPDATA"):
            patch.setenv(name, str(home))
        for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "APPDATA", "LTBENCH_CONFIG"):
            patch.delenv(name, raising=False)
        patch.setenv("LTBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("MPLCONFIGDIR", str(shared / "matplotlib"))
        for name, place in pip.items():
            patch.setenv(name, place)
        yield


def assert_foreseen(told: str) -> None:
    """No input may give a traceback, nor an error that nobody wrote a line for."""
    assert "Traceback" not in told, told
    assert "--debug for the traceback" not in told, told


def _pip_folders() -> dict[str, str]:
    """pip's cache and settings stay: where packages come from is the machine's business."""
    home = Path.home()
    found = {"PIP_CACHE_DIR": home / ".cache/pip"}
    for settings in (home / ".config/pip/pip.conf", home / ".pip/pip.conf"):
        if settings.is_file():
            found["PIP_CONFIG_FILE"] = settings
    return {name: str(place) for name, place in found.items() if name not in os.environ}


@pytest.fixture(scope="session")
def environment(nothing_of_the_user: None) -> dict[str, str]:
    """For processes: one cache for all tests, plain output, the ltbench under test."""
    ours = ("LTBENCH_", "PYTEST_")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
    return environment | {
        "LTBENCH_CACHE": os.environ["LTBENCH_CACHE"],
        "PYTHONPATH": str(Path(package.__file__).parent.parent),
        "PYTHONDONTWRITEBYTECODE": "1",
        "NO_COLOR": "1",
        "COLUMNS": "200",
        "TERM": "dumb",
        "MPLBACKEND": "agg",
        "OMP_NUM_THREADS": "1",  # tests run side by side; a worker has the threads that it is told
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
    """``ltbench("run", ...)`` as a process in an empty folder, a fork of the zygote where it can be. No
    input may give a traceback. checked: plugins are checked first, as they are outside of tests."""
    from tests.in_process import unchecked

    nowhere = tmp_path_factory.mktemp("cwd")

    def run(
        *arguments: str | Path,
        cwd: Path = nowhere,
        env: Mapping[str, str] | None = None,
        checked: bool = True,
    ) -> Completed:
        before = None if checked or not available() else unchecked
        words = [*command, *map(str, arguments)]
        with started(
            words, cwd=cwd, env={**environment, **(env or {})}, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            before=before,
        ) as process:  # fmt: skip
            try:
                out, err = process.communicate(timeout=240)
            except BaseException:
                process.kill()
                raise
        assert_foreseen(out + err)
        return subprocess.CompletedProcess(words, process.returncode, out, err)

    return run


@pytest.fixture
def ltbench_here(
    environment: dict[str, str],
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> CommandLine:
    """The same in this process, which saves importing torch; so are its trials, unless the test is marked
    ``workers``."""
    from ltbench.cli import main

    if request.node.get_closest_marker("workers") is None:
        from tests.in_process import without_workers

        without_workers(monkeypatch)
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
        assert_foreseen(out + err)
        assert isinstance(ended.value.code, int)
        return subprocess.CompletedProcess(words, ended.value.code, out, err)

    return run


@pytest.fixture(scope="session")
def ltbench_shared(
    environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> CommandLine:
    """As ``ltbench_here``, for results that tests share: of the session, in an empty folder of its own."""
    from tests.in_process import once

    nowhere = tmp_path_factory.mktemp("cwd")

    def run(*arguments: str | Path) -> Completed:
        done = once(environment, nowhere, *map(str, arguments))
        assert_foreseen(done.stdout + done.stderr)
        return done

    return run


@pytest.fixture(scope="module")
def importable_benchmarks() -> Iterator[None]:
    """The benchmarks stand beside the package and are not installed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parents[1]))
        yield
    for name in [n for n in sys.modules if n == "benchmarks" or n.startswith("benchmarks.")]:
        del sys.modules[name]


@pytest.fixture(scope="session")
def quick() -> list[str]:
    """A protocol that trains in a second: options of ``run`` and ``evaluate``."""
    protocol = ["--protocol", "digits-lt", "--set", "recipe.epochs=2", "--set", "test.draws=2"]
    return [*protocol, "--set", "test.ratios=2,5"]


class StabilityFailure(NamedTuple):
    """Three classes, three experts: ``logits (N, E, C)``, ``views`` (pairs of ``(2, N, E, C)``) and
    ``labels (N,)``."""

    logits: Tensor
    views: list[Tensor]
    labels: Tensor


@pytest.fixture(scope="session")
def stability_failure() -> StabilityFailure:
    """The failure that users of SADE met: the expert that is always sure of one class is the most
    stable of all, and the worst. ``stability`` gives it most weight and loses to the plain mean.

    The first expert is right for 93 % of the images, the second for 84 %, the third for the 21 % that
    are of its class, their mean for 85 %. Published case: issue 9 of Vanint/SADE-AgnosticLT (weight 0.73 on
    the worst expert, 51.8 % where the best expert alone has 89.6 %).
    """
    rng = torch.Generator().manual_seed(0)
    labels = torch.multinomial(torch.tensor([0.44, 0.35, 0.21]), 4000, True, generator=rng)
    truth = torch.eye(3)[labels]
    noise = torch.randn(4000, 2, 3, generator=rng)
    skilled = torch.tensor([3.0, 2.2])[:, None] * truth[:, None] + 1.2 * noise
    stubborn = torch.tensor([0.0, 0.0, 3.0]).expand(4000, 1, 3)
    logits = torch.cat([skilled, stubborn], dim=1)
    moved = torch.tensor([2.0, 2.0, 0.05])[:, None]
    views = [logits + moved * torch.randn(2, 4000, 3, 3, generator=rng) for _ in range(5)]
    return StabilityFailure(logits, views, labels)
