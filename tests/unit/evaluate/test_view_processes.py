"""Views from several processes: the same bytes, in order, and nobody left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from ltbench.data.dataset import ArrayDataset
from ltbench.evaluate import view_processes
from ltbench.evaluate.view_images import missing_pairs, view_pair
from ltbench.evaluate.view_processes import render_missing
from ltbench.execute import early_views
from ltbench.execute.early_views import rendered_early
from ltbench.protocol.protocol import ViewsConfig
from tests.zygote import available, started

VIEWS = ViewsConfig(pairs=2)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LTBENCH_CACHE", str(tmp_path / "cache"))


def dataset(n: int) -> ArrayDataset:
    images = np.random.default_rng(0).integers(0, 256, (n, 3, 8, 8), dtype=np.uint8)
    return ArrayDataset(images, np.zeros(n, dtype=np.int64), ("only",))


FORKING = """
import json, multiprocessing
from types import SimpleNamespace
from ltbench.evaluate import view_processes
from tests.unit.evaluate.test_view_processes import VIEWS, dataset
view_processes._WORTH, view_processes._FEWEST = 0, 2
view_processes.multiprocessing = SimpleNamespace(
    get_context=lambda kind: multiprocessing.get_context("fork"),
    parent_process=multiprocessing.parent_process,
)
told = []
view_processes.render_missing(dataset(1203), VIEWS, 2, progress=lambda *pair: told.append(pair))
print(json.dumps(told))
"""


def begun(code: str, environment: Mapping[str, str]) -> subprocess.Popen[str]:
    return started(
        [sys.executable, "-c", code],
        env={**environment, "LTBENCH_CACHE": os.environ["LTBENCH_CACHE"]},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )


@pytest.mark.skipif(not available(), reason="forks, which no other test of views needs")
def test_the_bytes_are_those_of_one_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]
) -> None:
    """In forks: that they can be started afresh is seen below."""
    test = dataset(1203)  # chunks of 500: the last of each view is a part
    alone = [np.array(view_pair(test, VIEWS, k)) for k in range(2)]
    monkeypatch.setenv("LTBENCH_CACHE", str(tmp_path / "other"))
    with begun(FORKING, environment) as process:
        told = json.loads(process.communicate(timeout=240)[0])
    assert missing_pairs(test, VIEWS) == []
    for k in range(2):
        assert np.array_equal(view_pair(test, VIEWS, k), alone[k])
    assert told == sorted(told)
    assert told[-1] == [4 * 1203, 4 * 1203]


def test_few_views_start_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a pool was started")

    monkeypatch.setattr(view_processes, "ProcessPoolExecutor", refuse)
    render_missing(dataset(100), VIEWS, 8)
    render_missing(dataset(30_000), VIEWS, 3)
    with pytest.raises(AssertionError):
        render_missing(dataset(30_000), VIEWS, 4)


AFRESH = """
from ltbench.evaluate import view_processes
from tests.unit.evaluate.test_view_processes import VIEWS, dataset
view_processes._FEWEST = 1
told = lambda done, total: print(done, flush=True)
view_processes.render_missing(dataset(100_000), VIEWS, 1, progress=told)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_a_killed_parent_leaves_no_process(environment: dict[str, str]) -> None:
    """Each watches it for itself, so that one will do: its start takes most of the time."""
    with begun(AFRESH, environment) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline()  # it is at work
        parent.kill()
    end = time.monotonic() + 20
    while time.monotonic() < end:
        try:
            os.killpg(parent.pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    os.killpg(parent.pid, signal.SIGKILL)
    pytest.fail("processes outlived their parent by 20 s")


TEST = dataset(10)


def context(device: str, needs: set[str], *, stop: bool = False) -> Any:
    return SimpleNamespace(
        registries=None,
        device=torch.device(device),
        should_stop=lambda: stop,
        task=SimpleNamespace(splits=SimpleNamespace(test=TEST)),
        job=SimpleNamespace(
            protocol=SimpleNamespace(views=VIEWS),
            resolve_rows=lambda _: [SimpleNamespace(needs=needs)],
        ),
    )


def test_while_an_accelerator_trains_views_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def made(test: object, views: object, processes: int, progress: Any) -> None:
        asked.append(test)
        for _ in range(200):
            progress(0, 1)
            time.sleep(0.001)
        asked.append("to the end")

    monkeypatch.setattr(early_views, "render_missing", made)
    for device, needs in (("cpu", {"views"}), ("cuda", {"bias"})):
        with rendered_early(context(device, needs)):
            pass
    assert asked == []
    with rendered_early(context("cuda", {"views"})):
        pass
    assert asked == [TEST, "to the end"]
    with pytest.raises(KeyError), rendered_early(context("cuda", {"views"})):
        raise KeyError  # a training that fails does not wait
    with rendered_early(context("cuda", {"views"}, stop=True)):
        pass
    assert asked.count("to the end") == 1
