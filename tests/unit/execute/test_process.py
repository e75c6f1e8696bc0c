"""The worker that loads while the plan is made."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ltbench.execute import process
from ltbench.execute.process import Spare


def test_a_spare_worker_is_taken_once_and_then_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process.os, "cpu_count", lambda: 2)
    with Spare(wanted=True) as spare:
        worker = spare.take()
        assert worker is not None
        assert spare.take() is None
    assert worker.popen.poll() is None
    worker.discard()
    assert worker.popen.poll() is not None


def test_a_spare_worker_that_nobody_took_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process.os, "cpu_count", lambda: 2)
    started = []

    def start() -> process.WorkerProcess:
        started.append(start_worker())
        return started[0]

    start_worker = process.start_worker
    monkeypatch.setattr(process, "start_worker", start)
    with pytest.raises(ValueError, match="wrong input"), Spare(wanted=True):
        raise ValueError("wrong input")
    assert started[0].popen.poll() is not None
    assert started[0].errors.closed


@pytest.mark.parametrize(("wanted", "cores"), [(False, 8), (True, 1)])
def test_no_worker_is_started_for_a_dry_run_or_on_one_core(
    wanted: bool, cores: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process.os, "cpu_count", lambda: cores)
    with Spare(wanted=wanted) as spare:
        assert spare.take() is None


def test_a_worker_is_started_without_torch() -> None:
    code = "import sys, ltbench.execute.process; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
