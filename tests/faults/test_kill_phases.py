"""A training of every kind, killed in each of its phases, ends in the bits of one that nothing disturbed."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from tests.faults.test_kill_resume import (
    EVERY_EPOCH,
    check_clean,
    folder_of,
    outcome,
    preemptions,
)
from tests.in_process import unchecked, without_workers
from tests.zygote import available, started

CommandLine = Callable[..., CompletedProcess[str]]
pytestmark = pytest.mark.skipif(not available(), reason="kills forks that one thread makes")
EPOCHS = 4
ASKED = ["run", "--protocol", "digits-lt", "--set", f"recipe.epochs={EPOCHS}", "--jobs", "1"]
ASKED += ["--set", "test.draws=1", "--set", "test.ratios=2"]
ASKED += ["--set", "train.max_count=30", "--set", "train.imbalance=30"]  # three steps an epoch

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


def die_in(name: str, number: int) -> None:
    """From now on this process, command and worker in one, ends in the middle of an epoch of ``name``."""
    from ltbench.train import loop

    unchecked()
    without_workers(pytest.MonkeyPatch())
    epoch_of = loop._Loop._epoch

    def deadly(self: Any, span: Any, epoch: int, lr: Any) -> Any:
        if (self.job.method.name, epoch) == (name, number):
            step, taken = self.step, []

            def one_more(*arguments: Any) -> Any:
                if len(taken) == 2:
                    os.kill(os.getpid(), signal.SIGKILL)
                taken.append(1)
                return step(*arguments)

            self.step = one_more
        return epoch_of(self, span, epoch, lr)

    loop._Loop._epoch = deadly  # type: ignore[method-assign]


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
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("plugins") / "phased.py"
    path.write_text(PHASED)
    return path


@pytest.fixture(scope="module")
def calm(
    ltbench_shared: CommandLine, plugin: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Results of a run that nothing disturbs; the one that checks the plugin."""
    results = tmp_path_factory.mktemp("calm") / "results"
    words = [*ASKED, "--methods", ",".join(DEATHS), "--plugin", plugin, "--results", results]
    done = ltbench_shared(*words)
    assert done.returncode == 0, done.stdout + done.stderr
    return results


@pytest.mark.parametrize("name", DEATHS)
def test_f01_killed_in_each_phase(
    name: str,
    calm: Path,
    plugin: Path,
    command: list[str],
    environment: dict[str, str],
    ltbench_here: CommandLine,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    from ltbench.trial import store

    unchecked(monkeypatch)
    results = tmp_path / "results"
    words = [*ASKED, "--methods", name, "--plugin", str(plugin), "--results", str(results)]
    for death in DEATHS[name]:
        trained, _, epoch = death.partition(":")
        with (tmp_path / "output").open("wb") as file:
            run = started(
                [*command, *words], env=environment | EVERY_EPOCH, cwd=tmp_path, stdout=file,
                stderr=file, before=partial(die_in, trained, int(epoch)),
            )  # fmt: skip
        assert run.wait(600) == -signal.SIGKILL, (tmp_path / "output").read_text()
        folder = folder_of(results, trained)
        assert not store.is_claimed(folder)
        assert (folder / "checkpoint.safetensors").exists() == (epoch != "0")
        assert not (folder / "trial.json").exists()
    done = ltbench_here(*words)
    assert done.returncode == 0, done.stdout + done.stderr
    assert outcome(results, name) == outcome(calm, name)
    trained_here = [death for death in DEATHS[name] if death.startswith(f"{name}:")]
    assert preemptions(results, name) == len(trained_here)
    check_clean(results)
