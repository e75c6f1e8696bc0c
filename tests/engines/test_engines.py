"""Whatever happens to a job on whichever engine: the results are the bits of a quiet run on this machine."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from .conftest import ENGINES, Scene, ended, wait_for

# A driver in this process ends without waiting for its jobs, as one of its own does.
pytestmark = pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")

DIES = """
import os
from ltbench import Method

class Dies(Method):
    name, title = "dies", "ends its process"
    def loss(self, logits, targets, *, progress, rng=None):
        if len(targets) < 15:  # the contract's small batches
            return logits.sum()
        os._exit(3)
"""


def test_trials_are_those_of_this_machine(
    engine: str, scene: Scene, undisturbed: dict[str, bytes]
) -> None:
    scene.go.touch()
    words = scene.words("held,ce", *ENGINES[engine])
    if engine == "slurm":
        words += ["--engine-set", "trials_per_job=2"]
    assert ended(scene.start(*words), scene) == 0
    assert "2 of 2 trials done" in scene.text()
    bits = {name: found for name, found in scene.bits().items() if "/held/" in name}
    assert bits == undisturbed
    assert scene.record()["preemptions"] == 0
    jobs = list(scene.results.glob(".slurm/*/*_log.out"))
    assert len(jobs) == (engine == "slurm")  # both in one


def test_a_killed_job_is_tried_again_where_another_machine_may_do_better(
    engine: str, scene: Scene, undisturbed: dict[str, bytes]
) -> None:
    words = scene.words("held", *ENGINES[engine])
    run = scene.start(*words)
    scene.until_held()
    scene.go.touch()
    os.kill(scene.holder(), signal.SIGKILL)
    code = ended(run, scene)
    if engine == "local":  # what killed it here would kill it again
        assert code == 1
        assert "the worker process ended with code -9" in scene.text()
        code = scene.here(*words)
    else:
        assert "ended without a result" in scene.text()
        assert "tried again" in scene.text()
    assert code == 0
    assert scene.record()["preemptions"] == 1  # cut off once, whoever started it again
    assert scene.bits() == undisturbed
    assert "Traceback" not in scene.text(), scene.text()


def test_ctrl_c_keeps_a_checkpoint(
    engine: str, scene: Scene, undisturbed: dict[str, bytes]
) -> None:
    words = scene.words("held", *ENGINES[engine])
    run = scene.start(*words)
    scene.until_held()
    run.send_signal(signal.SIGINT)
    if engine == "slurm":
        wait_for(lambda: list(scene.results.glob(".slurm/stop_*")), scene)
    time.sleep(1)  # two epochs are left, which take less than it takes to hear of it
    scene.go.touch()
    assert ended(run, scene) == 130
    assert "interrupted; the same command continues: ltbench run" in scene.text()
    assert "Traceback" not in scene.text(), scene.text()
    assert not list(scene.results.rglob("trial.json"))
    wait_for(lambda: not list(scene.results.rglob(".claim.lock")))
    assert not list(scene.results.glob(".slurm/stop_*"))
    assert ended(scene.start(*words), scene) == 0
    assert scene.record()["preemptions"] == 1
    assert scene.bits() == undisturbed


def test_the_driver_is_killed(engine: str, scene: Scene, undisturbed: dict[str, bytes]) -> None:
    """Local workers end with it; jobs of a cluster go on, and the same words find them."""
    words = scene.words("held", *ENGINES[engine])
    run = scene.start(*words)
    scene.until_held()
    run.kill()
    run.wait()
    again = scene.start(*words)
    wait_for(lambda: scene.text().count("to do: about") == 2, scene)
    if engine == "slurm":
        wait_for(lambda: scene.text().count("held seed 0: process") == 2, scene)
    scene.go.touch()
    assert ended(again, scene) == 0
    assert scene.record()["preemptions"] == (engine == "local")
    assert scene.bits() == undisturbed
    jobs = list(scene.results.glob(".slurm/*/*_log.out"))
    assert len(jobs) == (engine == "slurm")


def test_a_trial_that_ends_its_process_fails_and_stops_no_other(engine: str, scene: Scene) -> None:
    scene.go.touch()
    plugin = scene.folder / "dies.py"
    plugin.write_text(DIES)
    words = scene.words("dies,held", "--plugin", str(plugin), *ENGINES[engine])
    if engine == "slurm":
        words += ["--engine-set", "trials_per_job=2", "--engine-set", "retries=1"]
    assert ended(scene.start(*words), scene, 240) == 1
    assert "1 of 2 trials done" in scene.text()
    assert scene.record()["status"] == "finished"
    (failed,) = scene.results.rglob("failed.json")
    reason = "the worker process ended with code 3" if engine == "local" else "without a result"
    assert reason in failed.read_text()
    assert scene.text().count("tried again") == (engine == "slurm")
    assert "Traceback" not in scene.text(), scene.text()


@pytest.fixture
def slurm() -> list[str]:
    pytest.importorskip("submitit", reason="ltbench[slurm] is not installed")
    return ENGINES["slurm"]


def test_the_signal_before_the_end_of_its_time_requeues_a_job(
    slurm: list[str], scene: Scene, undisturbed: dict[str, bytes]
) -> None:
    run = scene.start(*scene.words("held", *slurm))
    scene.until_held()
    first = scene.holder()
    os.kill(first, signal.SIGUSR2)
    scene.go.touch()
    assert ended(run, scene) == 0
    assert "requeued, it goes on from its checkpoint" in scene.text()
    assert "tried again" not in scene.text()
    assert scene.record()["preemptions"] == 1
    assert scene.bits() == undisturbed


def test_detach_and_collect(slurm: list[str], scene: Scene, undisturbed: dict[str, bytes]) -> None:
    words = scene.words("held", *slurm)
    assert ended(scene.start(*words, "--detach"), scene) == 0
    assert "left running: process " in scene.text()
    assert "this collects them: ltbench run --methods held" in scene.text()
    assert "--detach" not in scene.text()
    scene.until_held()
    assert not list(scene.results.rglob("trial.json"))
    collect = scene.start(*words)
    wait_for(lambda: scene.text().count("held seed 0: process") == 1, scene)
    scene.go.touch()
    assert ended(collect, scene) == 0
    assert "1 of 1 trials done" in scene.text()
    assert scene.record()["preemptions"] == 0
    assert scene.bits() == undisturbed
    assert len(list(scene.results.glob(".slurm/*/*_log.out"))) == 1


def test_only_its_owner_enters_the_folder_that_submitit_unpickles(
    slurm: list[str], scene: Scene
) -> None:
    from ltbench.execute.engines.slurm_files import SlurmFiles

    SlurmFiles(scene.results)
    assert Path(scene.results / ".slurm").stat().st_mode & 0o777 == 0o700
