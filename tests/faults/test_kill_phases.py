"""A training of every kind, killed in each of its phases, ends in the bits of one that nothing disturbed."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests.faults.test_kill_resume import (
    EVERY_EPOCH,
    Start,
    check_clean,
    folder_of,
    outcome,
    preemptions,
    wait_for,
)
from tests.faults.test_kill_resume import pytestmark as pytestmark
from tests.faults.test_kill_resume import start as start  # a fixture

CommandLine = Callable[..., CompletedProcess[str]]
EPOCHS = 4
ASKED = ["run", "--protocol", "digits-lt", "--set", f"recipe.epochs={EPOCHS}", "--jobs", "1"]
ASKED += ["--set", "test.draws=1", "--set", "test.ratios=2"]

PHASED = '''
from torch import nn
from torch.nn import functional as F
from ltbench import Method, Phase

class Phased(Method):
    """L = CE(z, y) + 0.1 CE(P f, y), the trunk frozen in the second half."""

    name, title = "phased", "Two phases of its own"

    def phases(self):
        second = Phase("heads", train=("heads", "extra"), sampler=0.5, schedule="cosine")
        return (Phase("all", views=("recipe", "strong")), second)

    def build(self, network):
        return nn.Linear(network.feature_width, len(self.counts))

    def objective(self, seen):
        other = F.cross_entropy(self.extra(seen.features[0, :, 0]), seen.targets)
        return F.cross_entropy(seen.logits[0, :, 0], seen.targets) + 0.1 * other
'''

KILLER = '''
import os, signal, sys
from ltbench import Method

class Killer(Method):
    """L = sum z."""

    name, title = "killer", "not used: this file is here to be imported by the worker"

    def loss(self, logits, targets, *, progress, rng=None):
        return logits.sum()

if "ltbench.execute.run_trial" in sys.modules:
    from ltbench.train import loop
    epoch_of = loop._Loop._epoch
    name, number = os.environ["DIE_IN"].split(":")

    def deadly(self, span, epoch, lr):
        if (self.job.method.name, epoch) == (name, int(number)):
            step, taken = self.step, []

            def one_more(*arguments):
                if len(taken) == 2:  # in the middle of an epoch
                    os.kill(os.getppid(), signal.SIGKILL)
                    os.kill(os.getpid(), signal.SIGKILL)
                taken.append(1)
                return step(*arguments)

            self.step = one_more
        return epoch_of(self, span, epoch, lr)

    loop._Loop._epoch = deadly
'''

DEATHS = {
    "ce": ("ce:0", "ce:2"),
    "balpoe": ("balpoe:2",),
    "crt": ("ce:2", "crt:2"),
    "phased": ("phased:1", "phased:2", "phased:3"),
    "mdcs": ("mdcs:2",),
    "paco": ("paco:2",),
    "sam": ("sam:2",),
}
"""Plain, mixing, two stages with a parent, with phases of its own, experts, contrastive, sharpness:
method and epoch, counted from 0, of each death of a training."""


@pytest.fixture(scope="module")
def plugins(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("plugins")
    (folder / "phased.py").write_text(PHASED)
    (folder / "killer.py").write_text(KILLER)
    return folder / "phased.py", folder / "killer.py"


@pytest.fixture(scope="module")
def calm(
    ltbench: CommandLine, plugins: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Results of a run that nothing disturbs."""
    results = tmp_path_factory.mktemp("calm") / "results"
    words = [*ASKED, "--methods", ",".join(DEATHS), "--plugin", plugins[0], "--results", results]
    done = ltbench(*words)
    assert done.returncode == 0, done.stdout + done.stderr
    return results


@pytest.mark.parametrize("name", DEATHS)
def test_f01_killed_in_each_phase(
    name: str,
    calm: Path,
    plugins: tuple[Path, Path],
    start: Start,
    ltbench_here: CommandLine,
    tmp_path: Path,
) -> None:
    from ltbench.trial import store

    results = tmp_path / "results"
    words = [*ASKED, "--methods", name, "--plugin", plugins[0], "--results", results]
    for death in DEATHS[name]:
        trained, _, epoch = death.partition(":")
        run = start(*words, "--plugin", plugins[1], env={**EVERY_EPOCH, "DIE_IN": death})
        assert run.process.wait(600) == -signal.SIGKILL, run.text()
        folder = folder_of(results, trained)
        wait_for(lambda claimed=folder: not store.is_claimed(claimed), seconds=300)
        assert (folder / "checkpoint.safetensors").exists() == (epoch != "0")
        assert not (folder / "trial.json").exists()
    done = ltbench_here(*words)
    assert done.returncode == 0, done.stdout + done.stderr
    assert outcome(results, name) == outcome(calm, name)
    trained_here = [death for death in DEATHS[name] if death.startswith(f"{name}:")]
    assert preemptions(results, name) == len(trained_here)
    check_clean(results)
