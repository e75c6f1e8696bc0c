"""Two hosts on one results folder: each trial has one holder at a time, whatever happens to it.

Where locks do not work, and on a network folder whose locks reach no other host.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.engines.hosts import Network, become_host, network_folder, why_no_network

from .conftest import Scene, ended, wait_for


class Hosts:
    """The same words on two hosts. results: the folder as each sees it."""

    def __init__(self, scene: Scene, results: tuple[Path, Path], locks: bool) -> None:
        self.scene, self.results, self.locks = scene, results, locks
        scene.results = results[0]

    def start(
        self, which: int, *words: str, methods: str = "held", clock: float = 0.0
    ) -> subprocess.Popen[bytes]:
        scene = self.scene
        scene.results = self.results[which]
        before = partial(become_host, f"host{which}", self.locks, clock)
        begun = scene.start(*scene.words(methods, *words), before=before)
        scene.results = self.results[0]
        return begun

    def told_to_wait(self) -> bool:
        return "another process holds this trial, waiting for it (process " in self.scene.text()


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    if why_no_network():
        pytest.skip(why_no_network())
    with network_folder(tmp_path_factory.mktemp("network")) as found:
        yield found


@pytest.fixture(params=["no locks", "network"])
def hosts(request: pytest.FixtureRequest, scene: Scene, tmp_path: Path) -> Hosts:
    if request.param == "no locks":
        return Hosts(scene, (tmp_path / "results", tmp_path / "results"), locks=False)
    found: Network = request.getfixturevalue("network")
    name = tmp_path.name
    return Hosts(scene, (found.one / name, found.other / name), locks=True)


def files(results: Path) -> dict[str, tuple[bytes, int]]:
    """Everything in the folders of trials, with its time."""
    found = [path for path in sorted(results.rglob("*")) if path.is_file()]
    # What is open when it is replaced keeps a name until it is closed, on such a file system.
    found = [path for path in found if not path.name.startswith(".fuse_hidden")]
    return {str(p.relative_to(results)): (p.read_bytes(), p.stat().st_mtime_ns) for p in found}


def test_each_trial_is_done_once(hosts: Hosts, undisturbed: dict[str, bytes]) -> None:
    """The second host works on the other trial, then waits; both end when both trials are done.

    Its clock is five minutes ahead.
    """
    scene = hosts.scene
    first = hosts.start(0)
    scene.until_held()
    second = hosts.start(1, methods="held,ce", clock=300.0)
    wait_for(hosts.told_to_wait, scene)
    assert "on host0, since 20" in scene.text()
    wait_for(lambda: list((hosts.results[1] / "digits-lt/ce").glob("0-*/trial.json")), scene)
    assert first.poll() is None  # longer than the lease, with signs of life all the time
    assert len(list(hosts.results[1].glob("digits-lt/held/0-*/.claim.lock"))) == 1
    scene.go.touch()
    assert ended(first, scene) == 0
    assert ended(second, scene) == 0
    assert scene.record()["preemptions"] == 0
    bits = {name: found for name, found in scene.bits().items() if "/held/" in name}
    assert bits == undisturbed
    assert not list(hosts.results[0].rglob(".claim*"))


def test_a_holder_that_was_frozen_writes_nothing_when_it_wakes(
    hosts: Hosts, undisturbed: dict[str, bytes]
) -> None:
    scene = hosts.scene
    first = hosts.start(0)
    scene.until_held()
    both = (scene.holder(), first.pid)
    for process in both:
        os.kill(process, signal.SIGSTOP)
    scene.go.touch()
    second = hosts.start(1)
    assert ended(second, scene) == 0  # taken over, and resumed from its checkpoint
    assert scene.record()["preemptions"] == 1
    assert scene.bits() == undisturbed
    before = files(hosts.results[1])
    for process in both:
        os.kill(process, signal.SIGCONT)
    assert ended(first, scene) == 0  # it finds the trial done
    assert "another process holds this trial" in scene.text()
    assert "Traceback" not in scene.text(), scene.text()
    assert files(hosts.results[1]) == before


def test_a_killed_holder_is_followed_after_its_lease(
    hosts: Hosts, undisturbed: dict[str, bytes]
) -> None:
    scene = hosts.scene
    first = hosts.start(0)
    scene.until_held()
    second = hosts.start(1)
    wait_for(hosts.told_to_wait, scene)
    for process in (scene.holder(), first.pid):
        os.kill(process, signal.SIGKILL)
    first.wait()
    scene.go.touch()
    assert ended(second, scene) == 0
    assert scene.record()["preemptions"] == 1
    assert scene.bits() == undisturbed
    assert not list(hosts.results[1].rglob(".claim*"))


def test_the_network_of_the_holder_is_gone_for_longer_than_its_lease(
    network: Network, scene: Scene, tmp_path: Path, undisturbed: dict[str, bytes]
) -> None:
    name = tmp_path.name
    hosts = Hosts(scene, (network.one / name, network.other / name), locks=True)
    first = hosts.start(0)
    scene.until_held()
    with network.gone(network.one):
        scene.go.touch()
        second = hosts.start(1)
        assert ended(second, scene) == 0
        scene.results = hosts.results[1]
        assert scene.bits() == undisturbed
        before = files(hosts.results[1])
    assert ended(first, scene) == 0
    assert files(hosts.results[1]) == before
    assert scene.record()["preemptions"] == 1
    assert "Traceback" not in scene.text(), scene.text()


def test_the_network_is_gone_for_a_moment(
    network: Network, scene: Scene, tmp_path: Path, undisturbed: dict[str, bytes]
) -> None:
    """For both: the holder keeps its trial, the other one goes on waiting."""
    name = tmp_path.name
    hosts = Hosts(scene, (network.one / name, network.other / name), locks=True)
    first = hosts.start(0)
    scene.until_held()
    second = hosts.start(1)
    wait_for(hosts.told_to_wait, scene)
    with network.gone(network.other), network.gone(network.one):
        scene.go.touch()
    assert ended(first, scene) == 0
    assert ended(second, scene) == 0
    assert scene.record()["preemptions"] == 0
    assert scene.bits() == undisturbed
