"""Figures that further processes draw are those that one process draws, also where a helper fails."""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
from pathlib import Path

import pytest

from ltbench.errors import InputError
from ltbench.report import build, helpers, kept
from ltbench.report.figures import all as figures
from ltbench.report.helpers import MOST, PER_HELPER, Task, affordable, drawn_beside
from ltbench.report.page.picture import Picture

from .builder import Results, flat

forks = pytest.mark.skipif(sys.platform != "linux", reason="helpers are forks on Linux alone")
FIRST = os.getpid()


def picture(name: str) -> Picture:
    files = {".pdf": b"\n{" + name.encode(), ".png": bytes(range(256)) * 500, ".csv": b""}
    return Picture(name, f"caption of {name}, 中", files, f"<svg>{name}\n</svg>")


def task(name: str | None) -> Task:
    return lambda: None if name is None else picture(name)


def drawn(tasks: list[Task], number: int) -> list[Picture | None]:
    with drawn_beside(tasks, number) as pictures:
        return pictures.all()


def test_a_report_with_helpers_is_the_same_byte_by_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for protocol in ("toy-lt", "other-lt"):
        for seed in range(2):
            Results(tmp_path / "r", protocol=protocol).add("ce", seed, flat(50 + seed))
            Results(tmp_path / "r", protocol=protocol).add("ride", seed, flat(40))
    found = []
    by_helper: list[int] = []
    delivered = helpers._delivered

    def counted(*args: object) -> dict[int, Picture | None]:
        answer = delivered(*args)  # type: ignore[arg-type]
        by_helper.append(len(answer))
        return answer

    monkeypatch.setattr(helpers, "_delivered", counted)
    kinds = figures.figure_kinds()[:2]
    monkeypatch.setattr(figures, "figure_kinds", lambda: kinds)
    for number in (0, 2) if sys.platform == "linux" else (0, 0):
        monkeypatch.setattr(kept, "affordable", lambda tasks, number=number: number)
        monkeypatch.setenv("LTBENCH_CACHE", str(tmp_path / f"cache{number}"))
        outcome = build.build_report(tmp_path / "r", tmp_path / str(number))
        files = {p.relative_to(outcome.output): p.read_bytes() for p in outcome.files}
        found.append(files)
    assert found[0] == found[1]
    assert Path("toy-lt/figures/accuracy-over-shift.pdf") in found[0]
    if sys.platform == "linux":
        assert sum(by_helper) > 0
    ids = re.findall(r'\sid="([^"]+)"', found[0][Path("report.html")].decode())
    assert len(ids) == len(set(ids))
    assert any(re.match(r"_\d+_", name) for name in ids)


@forks
def test_pictures_come_in_the_order_of_the_tasks() -> None:
    names = ["a", None, *(f"f{k}" for k in range(40)), None]
    tasks = [task(name) for name in names]
    assert drawn(tasks, 3) == [None if name is None else picture(name) for name in names]


@forks
@pytest.mark.parametrize("end", ["raise", "exit", "kill"])
def test_what_a_dead_helper_left_is_drawn_here(end: str) -> None:
    def fails() -> Picture:
        if os.getpid() != FIRST:
            if end == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if end == "exit":
                os._exit(0)
            raise RuntimeError("only in a helper")
        return picture("x")

    assert drawn([fails] * 20, 2) == [picture("x")] * 20


@forks
@pytest.mark.parametrize("number", [0, 2])
def test_an_error_is_that_of_a_report_without_helpers(
    number: int, capfd: pytest.CaptureFixture[str]
) -> None:
    def fails() -> Picture:
        raise InputError("no such colour")

    with pytest.raises(InputError, match=r"^no such colour$"):
        drawn([task("a"), fails, task("b")], number)
    assert capfd.readouterr() == ("", "")


@forks
def test_helpers_end_with_the_report_also_after_an_error() -> None:
    def waits() -> Picture:
        signal.pause()
        raise AssertionError

    pids: list[int] = []

    def refused() -> None:
        with drawn_beside([waits] * 8, 2) as pictures:
            pids.extend(helper.pid for helper in pictures._helpers)
            raise InputError("no such column")

    with pytest.raises(InputError, match="no such column"):
        refused()
    assert len(pids) == 2
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


@forks
def test_half_a_picture_is_not_taken() -> None:
    with os.fdopen(os.memfd_create("x"), "r+b") as file:
        queue = os.fdopen(os.memfd_create("q"), "r+b")
        queue.write((0).to_bytes(4, "big") + (1).to_bytes(4, "big"))
        queue.seek(0)
        helpers._draw([task("x"), task("x")], queue, file)
        queue.close()
        assert helpers._delivered(file) == {0: picture("x"), 1: picture("x")}
        file.truncate(file.tell() - 1)
        assert helpers._delivered(file) == {0: picture("x")}


def test_helpers_start_only_where_a_fork_is_safe_and_worth_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    monkeypatch.setattr(threading, "active_count", lambda: 1)
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    assert affordable(1000) == MOST
    assert affordable(2 * PER_HELPER) == 2
    assert affordable(PER_HELPER - 1) == 0
    for target, name, value in (
        (sys, "platform", "darwin"),
        (os, "sched_getaffinity", lambda pid: {0}),
        (threading, "active_count", lambda: 2),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(target, name, value)
            assert affordable(1000) == 0
    monkeypatch.setitem(sys.modules, "torch", os)
    assert affordable(1000) == 0
