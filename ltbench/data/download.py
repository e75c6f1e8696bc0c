"""Downloading one file whose checksum is known. No retries: what to do is the user's choice."""

from __future__ import annotations

import hashlib
import http.client
import os
import urllib.error
import urllib.request
from pathlib import Path

from ltbench.data.raw import Report
from ltbench.errors import DataError
from ltbench.files import write_atomically

_CHUNK = 1 << 18
_TIMEOUT = 30.0  # seconds without a single byte


def source_url(url: str) -> str:
    """``url``, or the same file name below ``LTBENCH_MIRROR`` (a base URL) where that is set."""
    mirror = os.environ.get("LTBENCH_MIRROR")
    return f"{mirror.rstrip('/')}/{url.rsplit('/', 1)[-1]}" if mirror else url


def download(url: str, target: Path, md5: str, report: Report | None = None) -> None:
    """Fetches ``url`` into ``target``, which appears only when complete and with checksum ``md5``.

    Raises :class:`DataError` with the address and the manual route where the server cannot be
    reached, answers with a web page, stops early, or sends other content. Nothing is left behind.
    """
    address = source_url(url)
    route = f"get {url} by hand, put it into a folder and name that folder with --data-dir"
    if not address.startswith(("http://", "https://")):
        raise DataError(f"LTBENCH_MIRROR gives {address}, which is no http or https address")
    try:
        write_atomically(target, lambda path: _fetch(address, path, md5, report))
    except DataError as error:
        raise DataError(f"download of {address} failed: {error}; {route}") from error
    except (OSError, http.client.HTTPException) as error:  # URLError is an OSError
        if isinstance(error, urllib.error.HTTPError):
            error.close()  # it is the server's answer, too, and holds the connection
        raise DataError(f"download of {address} failed: {_reason(error)}; {route}") from error


def _reason(error: Exception) -> str:
    if isinstance(error, http.client.IncompleteRead):
        return "the connection ended early"
    if isinstance(error, urllib.error.URLError) and not isinstance(error, urllib.error.HTTPError):
        return str(error.reason)  # str(error) would wrap it in <urlopen error ...>
    return str(error) or type(error).__name__


def _fetch(address: str, path: Path, md5: str, report: Report | None) -> None:
    request = urllib.request.Request(address, headers={"User-Agent": "ltbench"})
    digest = hashlib.md5(usedforsecurity=False)
    done = 0
    with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer, path.open("wb") as file:
        announced = answer.headers.get("Content-Length", "")
        total = int(announced) if announced.isdigit() else 0
        while block := answer.read(_CHUNK):
            if done == 0 and block.lstrip()[:1] == b"<":
                raise DataError("the server answered with a web page instead of the file")
            file.write(block)
            digest.update(block)
            done += len(block)
            if report is not None:
                report(f"downloading {address.rsplit('/', 1)[-1]}", done, total)
    if total and done != total:
        raise DataError(f"the connection ended early, expected {total} bytes, got {done}")
    if digest.hexdigest() != md5:
        raise DataError(
            f"wrong checksum, expected md5 {md5}, got {digest.hexdigest()} ({done} bytes)"
        )


def file_md5(path: Path) -> str:
    """MD5 (hexadecimal) of a file; raises :class:`DataError` where it cannot be read."""
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False))
            return digest.hexdigest()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
