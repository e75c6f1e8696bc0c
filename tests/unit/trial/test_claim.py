"""A claim has one holder at a time, names it and ends with it; with file locks, without, elsewhere."""

from __future__ import annotations

import dataclasses
import errno
import fcntl
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from ltbench.errors import LtbenchError
from ltbench.files import write_json
from ltbench.trial import claim as claims
from ltbench.trial import holder as holders
from ltbench.trial import store
from ltbench.trial.claim import BusyError, ClaimLostError, claim
from ltbench.trial.claim_file import CLAIM
from ltbench.trial.holder import SILENCE, Holder
from ltbench.trial.standing import holder_of, is_claimed

CODES = [None, errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP]


@pytest.fixture(params=CODES, ids=lambda code: errno.errorcode[code] if code else "flock")
def locks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int | None:
    """File systems whose locks work, and such whose answer an error."""
    code: int | None = request.param

    def flock(descriptor: int, operation: int) -> None:
        assert code is not None
        raise OSError(code, os.strerror(code))

    if code is not None:
        monkeypatch.setattr(fcntl, "flock", flock)
    return code


@pytest.fixture(params=["links", "no links"])
def links(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    def link(source: Path, target: Path) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    if request.param == "no links":
        monkeypatch.setattr(claims.os, "link", link)


def leave(folder: Path, holder: Holder | None, seconds_ago: float = 0.0) -> Path:
    """What a holder that was killed leaves behind."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / CLAIM
    new = folder / "new"
    new.write_bytes(holder.to_bytes() if holder else b"")
    then = time.time() - seconds_ago
    os.utime(new, (then, then))
    return new.replace(path)


def dead() -> Holder:
    done = subprocess.Popen([sys.executable, "-S", "-E", "-c", ""])
    done.wait()
    return dataclasses.replace(Holder.here(), pid=done.pid, token="dead")


def elsewhere() -> Holder:
    return dataclasses.replace(Holder.here(), host="node7", machine="another", token="far")


def test_one_holder_at_a_time_and_nothing_is_left(
    locks: int | None, links: None, tmp_path: Path
) -> None:
    folder = tmp_path / "trial"
    assert not is_claimed(folder)
    with claim(folder) as held:
        assert is_claimed(folder)
        assert held.holder == holder_of(folder)
        assert str(held.holder).startswith(f"process {os.getpid()} on ")
        assert held.no_locks == (os.strerror(locks) if locks else "")
        with pytest.raises(BusyError) as busy, claim(folder):
            pass
        assert busy.value.holder == held.holder
        assert not held.lost
    assert list(folder.iterdir()) == []
    assert not is_claimed(folder)
    with claim(folder):
        pass


def test_a_dead_holder_on_this_machine_is_noticed_at_once(
    locks: int | None, links: None, tmp_path: Path
) -> None:
    leave(tmp_path, dead())
    assert not is_claimed(tmp_path)
    assert holder_of(tmp_path) is None
    with claim(tmp_path) as held:
        assert holder_of(tmp_path) == held.holder
    assert list(tmp_path.iterdir()) == []


def test_a_later_process_of_the_same_number_is_another(locks: int | None, tmp_path: Path) -> None:
    leave(tmp_path, dataclasses.replace(Holder.here(), start="1", token="before"))
    assert not is_claimed(tmp_path)
    with claim(tmp_path):
        pass


def test_a_holder_elsewhere_counts_until_it_was_silent_for_long(
    locks: int | None, tmp_path: Path
) -> None:
    path = leave(tmp_path, elsewhere(), SILENCE - 30)
    assert is_claimed(tmp_path)
    with pytest.raises(BusyError) as busy, claim(tmp_path):
        pass
    assert str(busy.value.holder).startswith(f"process {os.getpid()} on node7, since 20")
    assert holders.read_holder(path) == elsewhere_as(path)
    assert [p.name for p in tmp_path.iterdir()] == [CLAIM]
    leave(tmp_path, elsewhere(), SILENCE + 1)
    assert not is_claimed(tmp_path)
    with claim(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def elsewhere_as(path: Path) -> Holder:
    return Holder(**json.loads(path.read_text()))


def test_the_file_of_an_earlier_ltbench_blocks_nobody(locks: int | None, tmp_path: Path) -> None:
    """It was empty, stayed behind after every run and meant nothing without its lock."""
    leave(tmp_path, None, seconds_ago=60)
    assert not is_claimed(tmp_path)
    with claim(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_an_earlier_ltbench_at_work_is_respected(tmp_path: Path) -> None:
    path = leave(tmp_path, None, seconds_ago=60)
    with path.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert is_claimed(tmp_path)
        with pytest.raises(BusyError), claim(tmp_path):
            pass


def test_a_claim_of_a_process_that_died_while_taking_over_blocks_nobody_for_long(
    locks: int | None, tmp_path: Path
) -> None:
    leave(tmp_path, dead())
    guard = tmp_path / ".claim.lock.guard.tmp"
    guard.touch()
    with pytest.raises(BusyError), claim(tmp_path):
        pass
    os.utime(guard, (1, 1))
    with claim(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"\xff\xfe", b"[]", b"{}", b'{"pid": "x"}', b'{"host": "a"'])
def test_a_damaged_file_blocks_nobody_for_long(content: bytes, tmp_path: Path) -> None:
    path = leave(tmp_path, None)
    path.write_bytes(content)
    os.utime(path, (1, 1))
    with claim(tmp_path):
        pass


def test_a_holder_that_was_replaced_hears_of_it_and_removes_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A process that was frozen for long: another host took the trial over."""
    monkeypatch.setattr(claims, "HEARTBEAT", 0.01)
    with claim(tmp_path) as held:
        path = tmp_path / CLAIM
        os.utime(path, (1, 1))
        for _ in range(500):
            if path.stat().st_mtime > 1:
                break
            time.sleep(0.01)
        assert path.stat().st_mtime > 1  # a sign of life
        leave(tmp_path, elsewhere())
        for _ in range(500):
            if held.lost:
                break
            time.sleep(0.01)
        assert held.lost
    assert (tmp_path / CLAIM).exists()


@pytest.mark.parametrize("stale", [False, True])
def test_of_many_at_once_one_gets_it(locks: int | None, stale: bool, tmp_path: Path) -> None:
    if stale:
        leave(tmp_path, dead())
    inside, most, got = 0, 0, 0
    guard, barrier = threading.Lock(), threading.Barrier(6)

    def contend() -> None:
        nonlocal inside, most, got
        barrier.wait()
        try:
            with claim(tmp_path):
                with guard:
                    inside += 1
                    got += 1
                    most = max(most, inside)
                time.sleep(0.1)
                with guard:
                    inside -= 1
        except BusyError:
            return

    threads = [threading.Thread(target=contend) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got >= 1
    assert most == 1
    assert list(tmp_path.iterdir()) == []


def test_a_turn_waits_for_the_one_before(
    locks: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = []

    def second() -> None:
        with claims.turn(tmp_path / ".x.lock", "x"):
            order.append("second")

    with claims.turn(tmp_path / ".x.lock", "x"):
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.1)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(claims, "_PATIENCE", 0.0)
    (tmp_path / ".x.lock").write_bytes(elsewhere().to_bytes())
    told = r"^x is being written by process \d+ on node7, since .*; try again later$"
    with pytest.raises(LtbenchError, match=told), claims.turn(tmp_path / ".x.lock", "x"):
        pass


def test_another_error_of_the_lock_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def flock(descriptor: int, operation: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(OSError, match="Input/output"), claim(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("off", [600.0, -600.0])
def test_a_clock_that_is_minutes_off_misleads_nobody(
    off: float, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Ages are by the clock that stamps the files, not by that of whoever looks."""
    now = time.time()
    monkeypatch.setattr(claims.time, "time", lambda: now + off)
    path = leave(tmp_path, elsewhere())
    then = now - SILENCE / 2
    os.utime(path, (then, then))
    assert is_claimed(tmp_path)
    with pytest.raises(BusyError), claim(tmp_path):
        pass
    then = now - SILENCE - 30
    os.utime(path, (then, then))
    assert not is_claimed(tmp_path)
    assert [found.name for found in tmp_path.iterdir()] == [CLAIM]
    with claim(tmp_path):
        pass


def test_a_lock_through_another_mount_says_nothing(tmp_path: Path) -> None:
    """Two containers of one machine, each with a mount of its own: locks of neither reach the other."""
    here = Holder.here()
    hidden = dataclasses.replace(here, space="another", mount="another")
    leave(tmp_path, hidden)
    assert is_claimed(tmp_path)
    with pytest.raises(BusyError), claim(tmp_path):
        pass
    leave(tmp_path, dataclasses.replace(hidden, mount=str(tmp_path.stat().st_dev)))
    assert not is_claimed(tmp_path)  # through the same one the lock would be seen


@pytest.mark.parametrize("finished", [False, True], ids=["at work", "done with it"])
def test_who_lost_the_claim_writes_nothing_more(finished: bool, tmp_path: Path) -> None:
    """It finds out before the file gets its name, not at its next sign of life."""
    folder = tmp_path / "trial"
    with claim(folder) as held:
        write_json(folder / "deep" / "mine.json", 1)
        if finished:
            (folder / CLAIM).unlink()
        else:
            leave(folder, elsewhere())
        before = sorted(folder.rglob("*"))
        for write in (
            lambda: write_json(folder / "deep" / "mine.json", 2),
            lambda: write_json(folder / "new.json", 2),
            lambda: store.clear_attempt(folder),
        ):
            with pytest.raises(ClaimLostError, match="was taken over by another process"):
                write()
        assert held.lost
        write_json(tmp_path / "other.json", 3)
    assert (folder / "deep" / "mine.json").read_text() == "1\n"
    assert sorted(folder.rglob("*")) == before
    write_json(folder / "new.json", 4)  # the right is asked for only within a claim


def test_a_network_that_fails_for_a_moment_loses_no_claim(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with claim(tmp_path) as held:

        def unreachable(path: Path) -> bytes:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        with monkeypatch.context() as patch:
            patch.setattr(Path, "read_bytes", unreachable)
            held.check()
        held.check()
        assert not held.lost
    assert list(tmp_path.iterdir()) == []
