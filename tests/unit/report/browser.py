"""A headless Chromium, driven by chromedriver over plain HTTP; no package is needed."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

MISSING = next(
    (
        f"{what} is not installed (apt-get install chromium chromium-driver)"
        for what, names in {
            "chromium": ("chromium", "chromium-browser", "google-chrome"),
            "chromedriver": ("chromedriver",),
        }.items()
        if not any(shutil.which(name) for name in names)
    ),
    "",
)


class Browser:
    """One session; ``run`` evaluates a function body in the page."""

    def __init__(self, base: str) -> None:
        self._base = base

    def call(self, path: str, body: dict[str, Any] | None = None, method: str = "") -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._base + path, data, method=method or None)
        with urllib.request.urlopen(request, timeout=180) as answer:
            return json.load(answer)["value"]

    def open(self, path: Path) -> None:
        self.call("/url", {"url": path.resolve().as_uri()})

    def resize(self, width: int, height: int) -> None:
        """The screen of a phone or of a desk, at one pixel a point."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": True}
        command = {"cmd": "Emulation.setDeviceMetricsOverride", "params": size}
        self.call("/goog/cdp/execute", command)

    def run(self, script: str, *values: object) -> Any:
        return self.call("/execute/sync", {"script": script, "args": list(values)})


@contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """``folder`` takes the profile; nothing of the user's own browser is touched."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    driver = subprocess.Popen(
        ["chromedriver", f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    base = f"http://127.0.0.1:{port}"
    try:
        _wait(base)
        options = {
            "args": [
                *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"),
                *("--disable-background-networking", f"--user-data-dir={folder / 'profile'}"),
            ],
        }
        wanted = {"capabilities": {"alwaysMatch": {"goog:chromeOptions": options}}}
        session = Browser(base).call("/session", wanted)["sessionId"]
        found = Browser(f"{base}/session/{session}")
        try:
            yield found
        finally:
            with suppress(OSError):
                found.call("", method="DELETE")
    finally:
        driver.terminate()
        driver.wait(timeout=60)


def _wait(base: str) -> None:
    for _ in range(600):
        with suppress(OSError):
            Browser(base).call("/status")
            return
        time.sleep(0.1)
    raise TimeoutError("chromedriver does not answer")
