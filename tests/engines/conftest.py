"""A run that stands still in the middle of its training, on whichever engine, until it is told to go on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from tests.engines.hosts import hurry
from tests.in_process import once, unchecked
from tests.zygote import Before, available, started

CommandLine = Callable[..., CompletedProcess[str]]

HELD = """
import os, pathlib, time
from torch.nn import functional as F
from ltbench import Method

class Held(Method):
    name, title = "held", "waits after two of four epochs until a file is there"
    def loss(self, logits, targets, *, progress, rng=None):
        real = len(targets) >= 15  # not one of the small batches of the contract
        while real and progress >= 0.5 and not pathlib.Path(os.environ["GO"]).exists():
            pathlib.Path(os.environ["GO"] + ".waits").touch()
            time.sleep(0.05)
        return F.cross_entropy(logits[:, 0], targets)
"""

QUICK = ["--protocol", "digits-lt", "--set", "test.draws=2", "--set", "test.ratios=2,5"]
ENGINES = {
    "local": [],
    "slurm": [
        *("--engine", "slurm", "--engine-set", "cluster=local", "--engine-set", "watch=0.1"),
    ],
}


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    if request.param == "slurm":
        pytest.importorskip("submitit", reason="ltbench[slurm] is not installed")
    return str(request.param)


class Scene:
    """A plugin, a results folder, and the words that train ``held`` there."""

    def __init__(self, folder: Path, words: list[str], environment: dict[str, str]) -> None:
        self.folder, self.results = folder, folder / "results"
        self.plugin, self.go = folder / "held.py", folder / "go"
        self.plugin.write_text(HELD)
        self.env = {**environment, "GO": str(self.go), "LTBENCH_CHECKPOINT_SECONDS": "0"}
        self.command = words
        self.started: list[subprocess.Popen[bytes]] = []
        self.cli: CommandLine | None = None
        self.patience = 600.0  # seconds: on a busy machine importing torch alone takes a minute

    def words(self, methods: str = "held", *more: str) -> list[str]:
        asked = [*self.command, "run", "--methods", methods, *QUICK, "--set", "recipe.epochs=4"]
        asked += ["--seeds", "1", "--jobs", "1", "--results", str(self.results)]
        return [*asked, "--plugin", str(self.plugin), *more]

    def start(self, *words: str, before: Before | None = None) -> subprocess.Popen[bytes]:
        """Where it can be a fork, its plugins are not checked first, and it looks often at what another
        one holds."""
        if available():
            before = partial(hurry, before)
        with self.output.open("ab") as file:
            process = started(
                words, env=self.env, stdout=file, stderr=file, cwd=self.folder, before=before
            )
        self.started.append(process)
        return process

    def here(self, *words: str) -> int:
        """The same words in this process, trials of the local engine included: what follows on a test's
        subject, or has it in a job."""
        assert self.cli is not None
        done = self.cli(*words[len(self.command) :])
        with self.output.open("a") as file:
            file.write(done.stdout + done.stderr)
        return done.returncode

    @property
    def output(self) -> Path:
        return self.folder / "output"

    def text(self) -> str:
        return self.output.read_text()

    def until_held(self) -> None:
        """Two epochs are done and kept."""
        wait_for(Path(f"{self.go}.waits").exists, self)
        wait_for(lambda: list(self.results.rglob("checkpoint.safetensors")), self)

    def holder(self) -> int:
        """The process that trains."""
        (path,) = self.results.rglob(".claim.lock")
        return int(json.loads(path.read_bytes())["pid"])

    def record(self, method: str = "held") -> dict[str, Any]:
        (path,) = (self.results / "digits-lt" / method).glob("0-*/trial.json")
        record: dict[str, Any] = json.loads(path.read_text())
        return record

    def bits(self) -> dict[str, bytes]:
        found = sorted(self.results.rglob("*.safetensors"))
        return {str(path.relative_to(self.results)): path.read_bytes() for path in found}


def wait_for(condition: Callable[[], Any], scene: Scene | None = None, seconds: float = 600) -> Any:
    end = time.monotonic() + max(seconds, scene.patience if scene else 0)
    while not (found := condition()):
        assert time.monotonic() < end, scene.text() if scene else "waited in vain"
        time.sleep(0.05)
    return found


def ended(process: subprocess.Popen[bytes], scene: Scene, seconds: float = 180) -> int:
    try:
        return process.wait(max(seconds, scene.patience))
    except subprocess.TimeoutExpired:
        pytest.fail(scene.text())


@pytest.fixture
def scene(
    command: list[str],
    environment: dict[str, str],
    tmp_path: Path,
    ltbench_here: CommandLine,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Scene]:
    made = Scene(tmp_path, command, environment)
    made.cli = ltbench_here
    unchecked(monkeypatch)
    for name, value in made.env.items():
        monkeypatch.setenv(name, value)
    yield made
    made.go.touch()  # what still waits goes on, and ends
    for process in made.started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture(scope="session")
def undisturbed(
    command: list[str], environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, bytes]:
    """Weights and logits of a local run that nothing disturbs, within the process of the tests."""
    scene = Scene(tmp_path_factory.mktemp("undisturbed"), command, environment)
    scene.go.touch()
    done = once(scene.env, scene.folder, *scene.words()[len(command) :])
    assert done.returncode == 0, done.stdout + done.stderr
    return scene.bits()
