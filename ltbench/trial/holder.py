"""Who holds a claim, as its file tells, and whether that process still lives.

A process is looked up where it can be seen: on this machine, in this process namespace. Elsewhere only
its signs of life count: it touches the file every :data:`HEARTBEAT` seconds.
"""

from __future__ import annotations

import datetime
import json
import os
import secrets
import socket
import sys
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

from ltbench.errors import InputError
from ltbench.files import read_whole


def _silence() -> float:
    text = os.environ.get("LTBENCH_CLAIM_SECONDS", "120")
    try:
        if 1 <= float(text) <= 86_400:
            return float(text)
    except ValueError:
        pass
    raise InputError(f"LTBENCH_CLAIM_SECONDS = {text!r} must be a number from 1 to 86400")


SILENCE = _silence()
"""Seconds without a sign of life after which a holder that cannot be looked up counts as gone; by
default above what network file systems take (60 s) to show another host's times. All hosts that share
a results folder need the same: ``LTBENCH_CLAIM_SECONDS``."""
HEARTBEAT = SILENCE / 6
"""Seconds between two signs of life."""


@dataclass(frozen=True)
class Holder:
    """machine: one running kernel; space: its process namespace; start: tells a process from a later
    one of the same number, empty where the system does not say; since: UTC; token: of this one claim;
    mount: as which the file's folder is mounted there, empty in files of an earlier ltbench."""

    host: str
    pid: int
    machine: str
    space: str
    start: str
    since: str
    token: str
    mount: str = ""

    @classmethod
    def here(cls) -> Holder:
        """This process, with a token of its own."""
        machine, space = _place()
        return cls(
            host=socket.gethostname(),
            pid=os.getpid(),
            machine=machine,
            space=space,
            start=_start_of(os.getpid()) or "",
            since=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            token=secrets.token_hex(8),
        )

    def to_bytes(self) -> bytes:
        return (json.dumps(asdict(self)) + "\n").encode()

    @classmethod
    def from_bytes(cls, content: bytes) -> Holder | None:
        """None for anything else, half a record too."""
        try:
            value = json.loads(content)
            return cls(**{**value, "pid": int(value["pid"])})
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
            return None

    def shares_locks(self, mount: str) -> bool:
        """Whether its lock would be seen from here: on this machine, through the same mount. Two mounts
        of one network folder do not see each other's."""
        return self.machine == _place()[0] and self.mount in ("", mount)

    def lives(self) -> bool | None:
        """Whether the process is still there; None where it cannot be seen from here."""
        if (self.machine, self.space) != _place():
            return None
        start = _start_of(self.pid)
        return start if start is None else bool(start) and start == self.start

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, since {self.since}"


def read_holder(path: Path) -> Holder | None:
    """Who is named in the claim file; None where nobody is, or where there is no such file."""
    try:
        return Holder.from_bytes(read_whole(path))
    except OSError:
        return None


@lru_cache(maxsize=1)
def _place() -> tuple[str, str]:
    """Machine and process namespace, in which a process number means something."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return boot, os.readlink("/proc/self/ns/pid")
    except OSError:
        return socket.gethostname(), ""


def _start_of(pid: int) -> str | None:
    """When process ``pid`` started; empty where there is none, None where that cannot be told."""
    if Path("/proc/self/stat").exists():
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return ""
        return "" if fields[0] in "ZX" else fields[19]  # a zombie holds nothing any more
    if sys.platform == "win32":  # there a signal of 0 ends the process
        return None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return ""
    except OSError:
        return "alive"
    return "alive"
