"""Writing and reading files so that a crash never leaves half of one under its final name."""

from __future__ import annotations

import errno
import json
import os
import re
import stat
import tempfile
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from ltbench.errors import InputError, LtbenchError

_HALF = re.compile(r"\\u[dD][89a-fA-F]")  # of a pair; json.dumps writes whole ones so, too
_GUARDS: list[tuple[Path, Callable[[], None]]] = []


@contextmanager
def guarded(folder: Path, check: Callable[[], None]) -> Iterator[None]:
    """Within, ``check`` is called before any file in ``folder`` gets its name; it raises where this
    process may no longer write there."""
    guard = (folder.absolute(), check)
    _GUARDS.append(guard)
    try:
        yield
    finally:
        _GUARDS.remove(guard)


def ask_guards(path: Path) -> None:
    """Raises what the guard of a folder above ``path`` raises, where this process lost its right."""
    whole = path.absolute()
    for folder, check in list(_GUARDS):
        if folder == whole or folder in whole.parents:
            check()


def path_from(path: Path, folder: Path) -> str:
    """``path`` as a file in ``folder`` names it, with ``/``, so that both can move together; in full on
    another drive. Links stay as they are."""
    whole = os.path.abspath(path)
    try:
        found = os.path.relpath(whole, os.path.abspath(folder))
    except ValueError:
        found = whole
    return Path(found).as_posix()


def write_atomically(
    path: Path, write: Callable[[Path], None], *, durable: bool = True, needed: int = 0
) -> None:
    """Calls ``write`` on a temporary name in the same folder, syncs it and renames it to ``path``, where
    :func:`guarded` lets it.

    Not ``durable``: without waiting for the disk, for files that are easily made again.
    needed: the bytes that will be written, where they are known before. Raises :class:`LtbenchError`
    naming the file and these bytes where the disk is full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        write(temporary)
        if durable:
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())
        ask_guards(path)
        temporary.replace(path)
        if durable:
            _sync_folder(path.parent)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if _is_disk_full(error):
            told = f"; {needed:,} bytes are needed" if needed else ""
            raise LtbenchError(f"no space left on the disk while writing {path}{told}") from error
        raise


_PIECE = 1 << 24  # bytes read together


def crc32_of(file: IO[bytes], length: int | None = None) -> int:
    """CRC-32 of the next ``length`` bytes of ``file``, or of all that follow; read in pieces."""
    found, left = 0, length
    while left is None or left > 0:
        part = file.read(_PIECE if left is None else min(left, _PIECE))
        if not part:
            break
        found = zlib.crc32(part, found)
        left = None if left is None else left - len(part)
    return found


ABANDONED = 3600.0
"""Seconds without a write after which a temporary file can only be a dead process's."""


def sweep_abandoned(paths: Iterable[Path]) -> None:
    """Removes temporary files that killed writers of ``paths`` left, where several processes may write:
    one that was touched within :data:`ABANDONED` may be another's, and stays."""
    names: dict[Path, set[str]] = {}
    for path in paths:
        names.setdefault(path.parent, set()).add(path.name)
    for folder, known in names.items():
        for stray in folder.glob(".*.tmp"):
            if stray.name[1:].rsplit(".", 2)[0] not in known:
                continue
            with suppress(OSError):  # its owner finished in this moment
                if time.time() - stray.stat().st_mtime > ABANDONED:
                    stray.unlink()


def _is_disk_full(error: BaseException) -> bool:
    """safetensors reports it in an error of its own, by the system's text alone."""
    code = errno.ENOSPC
    return getattr(error, "errno", None) == code or os.strerror(code) in str(error)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # a folder cannot be opened for syncing there
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_bytes(path: Path, content: bytes, *, durable: bool = True) -> None:
    write_atomically(
        path, lambda temporary: _write(temporary, content), durable=durable, needed=len(content)
    )


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def write_text(path: Path, content: str, *, durable: bool = True) -> None:
    write_bytes(path, content.encode("utf-8"), durable=durable)


def write_json(path: Path, value: Any) -> None:
    """For files that people read by eye: indented."""
    write_text(path, json_text(value, indent=1))


def json_text(value: Any, *, indent: int | None) -> str:
    """Standard JSON: NaN and infinities are refused, so that any reader can read it.

    indent None: one line without spaces, for files that programs read.
    """
    separators = (",", ":") if indent is None else None
    text = json.dumps(
        value, indent=indent, separators=separators, ensure_ascii=False, allow_nan=False
    )
    return f"{text}\n"


LARGEST_TEXT = 1 << 26
"""Bytes of the largest record or table that is read: no record of thousands of classes comes near it."""


def read_whole(path: Path, most: int | None = LARGEST_TEXT) -> bytes:
    """All bytes of a file that a stranger may have put there.

    Raises :class:`OSError`, whose ``strerror`` says why, also for a pipe or a device, of which there may
    be no end, and for more than ``most`` bytes.
    """
    refuse_endless(path)
    size = path.stat().st_size
    if most is not None and size > most:
        raise OSError(errno.EFBIG, f"it has {size:,} bytes; at most {most:,} are read", str(path))
    return path.read_bytes()


def refuse_endless(path: Path) -> None:
    """Raises :class:`OSError` where ``path`` is neither a file nor a folder: a pipe, a socket, a device."""
    mode = path.stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise OSError(errno.EINVAL, "it is a pipe, a socket or a device, and no file", str(path))


def parse_json(text: str | bytes) -> Any:
    """As :func:`json.loads`; raises :class:`ValueError` where an object has a key twice, of which other
    readers may take the other one."""
    return json.loads(text, object_pairs_hook=_once)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {twice[:60]!r} is there twice")
    return found


def check_header(path: Path) -> None:
    """Raises :class:`ValueError` where the header of a safetensors file, which was read, names a tensor
    twice: the library takes one of them without a word."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        parse_json(file.read(length))


def read_json(path: Path) -> Any:
    """Raises :class:`InputError` with path and reason where the file is not readable JSON."""
    try:
        text = read_whole(path).decode("utf-8")
        value = parse_json(text)
        if _HALF.search(text):  # json.loads takes it, and no file could be written with it
            json.dumps(value, ensure_ascii=False).encode()
        return value
    except RecursionError:
        raise InputError(f"{path} is not readable: nested too deeply") from None
    except UnicodeEncodeError as error:
        half = error.object[error.start].encode("unicode_escape").decode()
        raise InputError(f"{path} is not readable: {half} is half a character") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise InputError(f"{path} is not readable: {reason.splitlines()[0]}") from error
