"""Processes that pass for those of another host, and a folder that two hosts see over a network."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ltbench.execute import run
from tests.in_process import unchecked
from tests.zygote import Before

LEASE = 3
"""Seconds of silence after which a holder counts as gone."""


def hurry(before: Before | None) -> None:
    """From now on this process runs plugins without checking them, and looks often at what another holds."""
    unchecked()
    run._BUSY_WAIT = 0.1
    if before is not None:
        before()


def become_host(host: str, locks: bool, clock: float) -> None:
    """From now on this process, and its forks, pass for those of ``host``, which others cannot look up.
    locks: whether file locks work. clock: seconds that its clock is ahead."""
    link, now = os.readlink, time.time

    def readlink(path: Any, **more: Any) -> Any:
        return host if str(path) == "/proc/self/ns/pid" else link(path, **more)

    def flock(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    for name, module in [*sys.modules.items()]:
        if name.startswith("ltbench.") and hasattr(module, "SILENCE"):
            module.SILENCE = LEASE
        if name.startswith("ltbench.") and hasattr(module, "HEARTBEAT"):
            module.HEARTBEAT = LEASE / 6
    socket.gethostname = lambda: host
    os.readlink = readlink
    time.time = lambda: now() + clock
    if not locks:
        fcntl.flock = flock


@dataclass
class Network:
    """One folder on a server, as two hosts mount it. one, other: the mounts."""

    one: Path
    other: Path
    servers: dict[Path, int]

    @contextmanager
    def gone(self, mount: Path) -> Iterator[None]:
        """Its server does not answer."""
        os.kill(self.servers[mount], signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.servers[mount], signal.SIGCONT)


def why_no_network() -> str:
    """Empty where a network folder can be mounted."""
    missing = [name for name in ("sshfs", "ssh-keygen", "fusermount") if not shutil.which(name)]
    if _sshd() is None:
        missing.append("sshd")
    if missing:
        return f"no network folder without {', '.join(missing)}"
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "no network folder without /dev/fuse"
    return "" if os.geteuid() == 0 else "a network folder needs root here, for sshd"


def _sshd() -> str | None:
    return shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin")


@contextmanager
def network_folder(folder: Path) -> Iterator[Network]:
    """sshfs over the loopback: nothing leaves the machine, and locks of neither mount reach the other."""
    for name in ("share", "one", "other", "keys"):
        (folder / name).mkdir(parents=True)
    keys = folder / "keys"
    keys.chmod(0o700)
    for name in ("host", "user"):
        told = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(keys / name)]
        subprocess.run(told, check=True, stdin=subprocess.DEVNULL)
    Path("/run/sshd").mkdir(exist_ok=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = (
        "ListenAddress=127.0.0.1", f"AuthorizedKeysFile={keys}/user.pub", "StrictModes=no",
        "PermitRootLogin=prohibit-password", "PasswordAuthentication=no", "UsePAM=no",
        "PidFile=none", "Subsystem=sftp internal-sftp",
    )  # fmt: skip
    words = [str(_sshd()), "-D", "-f", "/dev/null", "-p", str(port), "-h", str(keys / "host")]
    server = subprocess.Popen([*words, *(word for o in options for word in ("-o", o))])
    mounted: list[Path] = []
    try:
        _until_open(port)
        servers: dict[Path, int] = {}
        for mount in (folder / "one", folder / "other"):
            before = _descendants(server.pid)
            _mount(folder, mount, port)
            mounted.append(mount)
            servers[mount] = max(_descendants(server.pid) - before)  # the one that serves files
        yield Network(folder / "one", folder / "other", servers)
    finally:
        for mount in mounted:
            subprocess.run(["fusermount", "-u", "-z", str(mount)], check=False)
        for child in _descendants(server.pid):
            os.kill(child, signal.SIGKILL)
        server.kill()
        server.wait()


def _mount(folder: Path, mount: Path, port: int) -> None:
    # Caches shorter than the lease, as they are with the lease that is the default.
    options = (
        f"IdentityFile={folder}/keys/user,StrictHostKeyChecking=no,UserKnownHostsFile=/dev/null"
    )
    options += ",LogLevel=ERROR,dcache_timeout=1"
    subprocess.run(
        ["sshfs", "-p", str(port), "-o", options, f"root@127.0.0.1:{folder / 'share'}", str(mount)],
        check=True,
        timeout=30,
    )


def _until_open(port: int) -> None:
    end = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            assert time.monotonic() < end, "sshd does not answer"
            time.sleep(0.1)


def _descendants(parent: int) -> set[int]:
    found: set[int] = set()
    for child in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
        found |= {int(child), *_descendants(int(child))}
    return found
