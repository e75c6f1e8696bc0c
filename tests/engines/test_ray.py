"""Trials as tasks of Ray: whatever dies, the results are the bits of a quiet run on this machine.

``make test-ray`` installs Ray. One cluster of two nodes serves all tests but those of a private one; its
head takes no trials, so that the node which trains can be removed.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from .conftest import Scene, ended, wait_for

pytest.importorskip("ray", reason="ltbench[ray] is not installed")

CLUSTER = """
import os, sys
from ray.cluster_utils import Cluster

few = {"include_dashboard": False, "object_store_memory": 80_000_000}
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **few})
node = cluster.add_node(num_cpus=2, object_store_memory=80_000_000)
print(cluster.address, flush=True)
for line in sys.stdin:
    cluster.remove_node(node, allow_graceful=False)
    node = cluster.add_node(num_cpus=2, object_store_memory=80_000_000)
    print("another", flush=True)
cluster.shutdown()
"""
"""A process of its own: Ray warns of much, and warnings are errors here."""


PROMPT = {"RAY_worker_niceness": "0"}
"""Trials of Ray are niced, and would wait for all else on a machine that is busy."""


class RayCluster:
    def __init__(self, environment: dict[str, str], log: Path) -> None:
        with log.open("wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-c", CLUSTER], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=errors, env={**environment, **PROMPT, "RAY_USAGE_STATS_ENABLED": "0"},
                text=True, start_new_session=True,
            )  # fmt: skip
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.told, self.tell = self.process.stdout, self.process.stdin
        self.address = self._line(lambda line: ":" in line and line[0].isdigit(), log)

    def _line(self, wanted: Callable[[str], Any], log: Path | None = None) -> str:
        for line in self.told:
            if wanted(line):
                return line.strip()
        pytest.fail(log.read_text() if log else "the cluster ended")

    def replace_the_node(self) -> None:
        """The one that trains is gone without a word, another one comes."""
        self.tell.write("remove\n")
        self.tell.flush()
        self._line(lambda line: line == "another\n")

    def close(self) -> None:
        self.tell.close()
        try:
            self.process.wait(30)
        finally:
            self.told.close()
            if self.process.poll() is None:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()

    @property
    def words(self) -> list[str]:
        return ["--engine", f"ray={self.address}", "--engine-set", "environment=GO"]


@pytest.fixture(scope="module")
def cluster(
    environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RayCluster]:
    made = RayCluster(environment, tmp_path_factory.mktemp("ray") / "log")
    yield made
    made.close()


def test_trials_are_those_of_this_machine(
    cluster: RayCluster, scene: Scene, undisturbed: dict[str, bytes]
) -> None:
    scene.go.touch()
    words = scene.words("held,ce", *cluster.words)
    words[words.index("--jobs") + 1] = words[words.index("--seeds") + 1] = "2"
    assert ended(scene.start(*words), scene) == 0
    assert "4 of 4 trials done" in scene.text()
    bits = {name: found for name, found in scene.bits().items() if "/held/0-" in name}
    assert bits == undisturbed
    assert scene.record()["preemptions"] == 0


def test_a_killed_process_is_tried_again(
    cluster: RayCluster, scene: Scene, undisturbed: dict[str, bytes]
) -> None:
    run = scene.start(*scene.words("held", *cluster.words))
    scene.until_held()
    scene.go.touch()
    os.kill(scene.holder(), signal.SIGKILL)
    assert ended(run, scene) == 0
    assert "held seed 0: the task of Ray ended: WorkerCrashedError" in scene.text()
    assert "tried again" in scene.text()
    assert scene.record()["preemptions"] == 1
    assert scene.bits() == undisturbed
    assert "Traceback" not in scene.text(), scene.text()


def test_a_node_that_is_gone(
    cluster: RayCluster, scene: Scene, undisturbed: dict[str, bytes]
) -> None:
    run = scene.start(*scene.words("held", *cluster.words))
    scene.until_held()
    first = scene.holder()
    cluster.replace_the_node()
    scene.go.touch()
    assert ended(run, scene) == 0
    assert "tried again" in scene.text()
    assert not _alive(first)
    assert scene.record()["preemptions"] == 1
    assert scene.bits() == undisturbed


def test_the_driver_is_killed(
    cluster: RayCluster, scene: Scene, undisturbed: dict[str, bytes]
) -> None:
    words = scene.words("held", *cluster.words)
    run = scene.start(*words)
    scene.until_held()
    first = scene.holder()
    run.kill()
    run.wait()
    wait_for(lambda: not _alive(first), scene)
    scene.go.touch()
    assert ended(scene.start(*words), scene) == 0
    assert scene.record()["preemptions"] == 1
    assert scene.bits() == undisturbed


def test_ctrl_c_keeps_a_checkpoint_where_no_folder_is_shared(
    cluster: RayCluster, scene: Scene, undisturbed: dict[str, bytes]
) -> None:
    """The second run goes on from files that travelled, with a plugin that does, to equal bits."""
    words = scene.words("held", *cluster.words, "--engine-set", "results=collect")
    run = scene.start(*words)
    wait_for(Path(f"{scene.go}.waits").exists, scene)
    assert scene.holder() == run.pid  # nobody else may train it meanwhile
    assert not list(scene.results.rglob("checkpoint.safetensors"))
    run.send_signal(signal.SIGINT)
    wait_for(lambda: "held seed 0: stopping, it writes a checkpoint" in scene.text(), scene)
    scene.go.touch()
    assert ended(run, scene) == 130
    assert "interrupted; the same command continues: ltbench run" in scene.text()
    assert list(scene.results.rglob("checkpoint.safetensors"))
    assert not list(scene.results.rglob("trial.json"))
    assert ended(scene.start(*words), scene) == 0
    assert scene.record()["preemptions"] == 1
    assert scene.bits() == undisturbed
    assert not list(scene.results.rglob("checkpoint.safetensors"))  # removed there, hence here
    assert not list(scene.results.rglob(".claim.lock"))


def test_a_private_cluster_leaves_nothing(scene: Scene, undisturbed: dict[str, bytes]) -> None:
    """Ctrl-C as a terminal sends it: to the whole process group. RAY_ADDRESS does not lead elsewhere."""
    scene.env |= {"RAY_ADDRESS": "127.0.0.1:9", **PROMPT}
    words = scene.words("held", "--engine", "ray")
    run = scene.start(*words)
    scene.until_held()
    os.killpg(run.pid, signal.SIGINT)
    wait_for(lambda: "held seed 0: stopping, it writes a checkpoint" in scene.text(), scene)
    scene.go.touch()
    assert ended(run, scene) == 130
    assert "Traceback" not in scene.text(), scene.text()
    assert list(scene.results.rglob("checkpoint.safetensors"))
    wait_for(lambda: not _of_scene(scene), scene)
    assert ended(scene.start(*scene.words("held")), scene) == 0
    assert scene.record()["preemptions"] == 1
    assert scene.bits() == undisturbed


def _of_scene(scene: Scene) -> list[int]:
    """Processes that were started by a run of the scene, by what stands in their environment."""
    mark, found = f"GO={scene.go}".encode(), []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
        except OSError:  # it ended, or is another user's
            continue
    return found


def _alive(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
