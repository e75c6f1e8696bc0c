"""How often the kernel ended a process for lack of memory, as far as it tells (Linux)."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path


def oom_kills(root: Path = Path("/")) -> int | None:
    """Since some time in the past: of this process's control group where that is told, else of the whole
    machine; None where the kernel does not tell."""
    for path in (*_groups(root), root / "proc/vmstat"):
        with suppress(OSError, UnicodeDecodeError):
            found = re.search(r"^oom_kill (\d+)$", path.read_text(), re.MULTILINE)
            if found:
                return int(found.group(1))
    return None


def _groups(root: Path) -> list[Path]:
    """Files of the control group, of either version of the interface."""
    found = []
    with suppress(OSError, UnicodeDecodeError):
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            _, controllers, place = line.split(":", 2)
            if not controllers:
                found.append(root / "sys/fs/cgroup" / place.lstrip("/") / "memory.events")
            elif "memory" in controllers.split(","):
                folder = root / "sys/fs/cgroup/memory" / place.lstrip("/")
                found.append(folder / "memory.oom_control")
    return found


def likely_reason(code: int, before: int | None, now: int | None) -> str:
    """What to add to the line of a worker that ended with ``code``; empty where nothing points at memory."""
    if code != -9:
        return ""
    if before is None or now is None:
        return "; lack of memory is one reason for that, and this system does not tell"
    if now > before:
        return (
            "; lack of memory is the likely reason: meanwhile the kernel ended "
            f"{_processes(now - before)} for it"
        )
    return ""


def _processes(number: int) -> str:
    return "a process" if number == 1 else f"{number} processes"
