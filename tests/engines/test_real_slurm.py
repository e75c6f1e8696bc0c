"""On a real SLURM: what a cluster does to jobs. Found by ``sbatch``; SLURM_CONF may lead to a private one.

``make test-slurm`` installs Debian's packages where it may. A partition that preempts the default one is
named by LTBENCH_TEST_SLURM_HIGH, a folder with the process ids of nodes that run on this machine (NODE.pid)
by LTBENCH_TEST_SLURM_PIDS; without them their tests are skipped.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from .conftest import Scene, ended, wait_for


def _why_not() -> str:
    if shutil.which("sbatch") is None:
        return "no sbatch here: no SLURM"
    done = subprocess.run(["sinfo", "-h"], capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 and done.stdout else "SLURM does not answer (sinfo)"


pytestmark = pytest.mark.skipif(bool(_why_not()), reason=_why_not() or "it is here")
ENGINE = ["--engine", "slurm", "--engine-set", "time=5", "--engine-set", "watch=1"]


def slurm(*words: str) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


def job_of(scene: Scene) -> str:
    found = re.findall(r"held seed 0: SLURM job (\S+),", scene.text())
    return str(found[-1])


def release(job: str) -> None:
    """SLURM holds a requeued job for two minutes."""

    def waits() -> bool:
        return slurm("squeue", "-h", "-j", job, "-o", "%T").strip() == "PENDING"

    wait_for(waits, seconds=90)
    for _ in range(20):
        told = ["scontrol", "update", f"jobid={job}", "starttime=now"]
        if subprocess.run(told, capture_output=True, check=False).returncode == 0 and not waits():
            return
        time.sleep(1)


@pytest.fixture
def held(scene: Scene) -> Scene:
    pytest.importorskip("submitit", reason="ltbench[slurm] is not installed")
    scene.start(*scene.words("held", *ENGINE))
    scene.until_held()
    return scene


def test_the_signal_before_the_end_of_the_time(held: Scene, undisturbed: dict[str, bytes]) -> None:
    job = job_of(held)
    slurm("scancel", "--signal=USR2", job)  # as SLURM sends it
    held.go.touch()
    release(job)
    assert ended(held.started[0], held, 180) == 0
    assert "requeued, it goes on from its checkpoint" in held.text()
    assert held.record()["preemptions"] == 1
    assert held.bits() == undisturbed


def test_a_job_that_its_user_cancels_is_not_tried_again(held: Scene) -> None:
    slurm("scancel", job_of(held))
    assert ended(held.started[0], held, 120) == 1
    assert "ended as CANCELLED" in held.text()
    assert "tried again" not in held.text()
    assert "Traceback" not in held.text()
    assert not list(held.results.rglob("failed.json"))


def test_preemption(held: Scene, undisturbed: dict[str, bytes]) -> None:
    high = os.environ.get("LTBENCH_TEST_SLURM_HIGH")
    if not high:
        pytest.skip("LTBENCH_TEST_SLURM_HIGH names no partition that preempts")
    job = job_of(held)
    nodes = slurm("sinfo", "-h", "-o", "%D", "-p", high).split()[0]
    slurm("sbatch", "-p", high, "-N", nodes, "-o", "/dev/null", "--wrap", "sleep 5")
    wait_for(lambda: not list(held.results.rglob(".claim.lock")) or _pending(job), held, 90)
    held.go.touch()
    release(job)
    assert ended(held.started[0], held, 180) == 0
    assert held.record()["preemptions"] == 1
    assert held.bits() == undisturbed


def _pending(job: str) -> bool:
    return "PENDING" in slurm("squeue", "-h", "-j", job, "-o", "%T")


def test_a_job_over_its_time_goes_on_from_the_last_checkpoint(
    scene: Scene, undisturbed: dict[str, bytes]
) -> None:
    """SLURM sends the signal while a step takes longer than the job has left."""
    pytest.importorskip("submitit", reason="ltbench[slurm] is not installed")
    limit = ["--engine-set", "time=2", "--engine-set", "signal_delay=15"]
    scene.start(*scene.words("held", *ENGINE[:2], *limit, *ENGINE[4:]))
    scene.until_held()
    job = job_of(scene)
    wait_for(lambda: _pending(job), scene, 240)
    scene.go.touch()
    release(job)
    assert ended(scene.started[0], scene, 240) == 0
    assert scene.record()["preemptions"] == 1
    assert scene.bits() == undisturbed
    assert "tried again" not in scene.text()
    assert "Traceback" not in scene.text(), scene.text()


def test_a_node_dies(held: Scene, undisturbed: dict[str, bytes]) -> None:
    """Its daemon, the job's shepherd and the job itself are gone at once: SLURM requeues the job."""
    folder = os.environ.get("LTBENCH_TEST_SLURM_PIDS")
    if not folder:
        pytest.skip(
            "LTBENCH_TEST_SLURM_PIDS names no folder with the process ids of nodes, NODE.pid"
        )
    job = job_of(held)
    node = slurm("squeue", "-h", "-j", job, "-o", "%N").strip()
    daemon = int((Path(folder) / f"{node}.pid").read_text())
    command = Path(f"/proc/{daemon}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")
    family = _family(held.holder())
    os.kill(daemon, signal.SIGKILL)
    for process in family:
        os.kill(process, signal.SIGKILL)
    try:
        wait_for(lambda: _pending(job) or _elsewhere(job, node), held, 180)
        held.go.touch()
        if _pending(job):
            release(job)
        assert ended(held.started[0], held, 240) == 0
        assert held.record()["preemptions"] == 1
        assert held.bits() == undisturbed
        assert "Traceback" not in held.text()
    finally:
        subprocess.run(command, check=False)  # the node is back for the next test


def _family(process: int) -> list[int]:
    """A job's process and those above it, up to SLURM's shepherd of the job, which comes first."""
    found = [process]
    while Path(f"/proc/{found[0]}/comm").read_text().strip() != "slurmstepd":
        parent = Path(f"/proc/{found[0]}/stat").read_text().rpartition(")")[2].split()[1]
        assert int(parent) > 1, "no slurmstepd above the job"
        found.insert(0, int(parent))
    return found


def _elsewhere(job: str, node: str) -> bool:
    return slurm("squeue", "-h", "-j", job, "-o", "%N").strip() not in ("", node)


def test_ctrl_c_ends_the_jobs(held: Scene, undisturbed: dict[str, bytes]) -> None:
    job = job_of(held)
    held.started[0].send_signal(2)
    held.go.touch()
    assert ended(held.started[0], held, 120) == 130
    wait_for(lambda: not slurm("squeue", "-h", "-o", "%i").split().count(job), held)
    assert ended(held.start(*held.words("held", *ENGINE)), held, 120) == 0
    assert held.bits() == undisturbed


def test_a_partition_that_is_not_there_is_one_line(scene: Scene) -> None:
    pytest.importorskip("submitit", reason="ltbench[slurm] is not installed")
    words = scene.words("ce", *ENGINE, "--engine-set", "partition=nosuch")
    assert ended(scene.start(*words), scene) == 2
    *_, last = scene.text().splitlines()
    assert last.startswith("Error: SLURM refused the jobs: ")
    assert "partition" in last
    assert "Traceback" not in scene.text(), scene.text()
