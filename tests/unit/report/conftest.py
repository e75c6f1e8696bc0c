"""Reports whose figures are drawn faster; a browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ltbench.report.page import picture
from ltbench.report.page.picture import Kind

from .browser import MISSING, Browser, browser


def drawn_as(kinds: tuple[Kind, ...], cache: Path) -> Iterator[None]:
    """With a cache of their own, so that other tests do not find these figures."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(picture, "KINDS", kinds)
        patch.setenv("LTBENCH_CACHE", str(cache))
        yield


@pytest.fixture(scope="module")
def no_pdf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """For tests that look at no PDF: its fonts take most of the time of a figure."""
    yield from drawn_as(("png",), tmp_path_factory.mktemp("no-pdf"))


@pytest.fixture(scope="module")
def svg_alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """For tests that look at the page, and at no file of a figure but its CSV."""
    yield from drawn_as((), tmp_path_factory.mktemp("svg-alone"))


@pytest.fixture(scope="session")
def started_browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if MISSING:
        pytest.skip(MISSING)
    with browser(tmp_path_factory.mktemp("browser")) as found:
        yield found


@pytest.fixture
def tab(started_browser: Browser) -> Browser:
    """An empty page in the one browser of all tests, the size of a phone: its start takes two seconds."""
    started_browser.resize(390, 844)
    started_browser.call("/url", {"url": "about:blank"})
    return started_browser
