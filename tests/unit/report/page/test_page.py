"""The HTML page: what its scripts compute, in a real browser; and that it is one safe file."""

from __future__ import annotations

import base64
import json
import math
import re
from pathlib import Path

import pytest

from ltbench.report.build import build_report

from ..browser import MISSING, browser
from ..builder import Results

HEAD = [95.0, 80.0, 40.0, 10.0]
TAIL = [50.0, 60.0, 70.0, 65.0]
NASTY = '</script><img src=x onerror="alert(1)"> & "é" 中'


def page_of(root: Path) -> Path:
    results = Results(root, images=40)
    for seed in range(3):
        for name, recalls in (("head", HEAD), ("tail", TAIL)):
            results.add(
                name,
                seed,
                lambda n, s, d: 60.0 + s,
                recall=lambda c, s, recalls=recalls: recalls[c] + s - 1,  # type: ignore[misc]
            )
        results.add(
            "sade",
            seed,
            lambda n, s, d: {"forward10": 70.0, "forward2": 64.0, "uniform": 60.0}.get(n, 58.0),
            strategy="stability",
            label="sade",
            experts=2,
        )
        results.add("x", seed, lambda n, s, d: 1.0, label=NASTY)
    results.fail("ride", 0)
    return build_report(root, figures=False).output / "report.html"


def expected(recalls: list[float], x: float) -> float:
    """Slow transcription: class c of C weighs ratio^(-c/(C-1)), the order reversed for backward."""
    last = len(recalls) - 1
    ratio = math.exp(abs(x))
    weights = [ratio ** (-(c if x <= 0 else last - c) / last) for c in range(last + 1)]
    return sum(w * r for w, r in zip(weights, recalls, strict=True)) / sum(weights)


def test_one_file_that_fetches_nothing_and_runs_no_name(tmp_path: Path) -> None:
    text = page_of(tmp_path).read_text(encoding="utf-8")
    assert "<img" not in text
    assert "default-src 'none'" in text
    assert not re.search(r'(src|href)="(?!#)', text.replace("img-src", ""))
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    rows = json.loads(found[1])["toy-lt"]["shift"]["rows"]
    assert [row["label"] for row in rows] == [NASTY, "head", "sade", "tail"]
    assert [row["recalls"] is not None for row in rows] == [True, True, False, True]


SET = """
  const range = document.querySelector('.shift input[type=range]');
  range.value = arguments[0];
  range.dispatchEvent(new Event('input'));
  return [...document.querySelectorAll('.ranking tbody tr')].map(
    (row) => [row.cells[1].textContent, row.cells[2].textContent, row.cells[4].textContent]);
"""


@pytest.mark.skipif(bool(MISSING), reason=MISSING)
def test_page_in_a_browser_at_phone_width(tmp_path: Path) -> None:
    page = page_of(tmp_path / "r")
    with browser(tmp_path, 390, 844) as tab:
        tab.open(page)
        assert tab.run("return document.documentElement.dataset.ready") == "yes"
        assert tab.run("return performance.getEntriesByType('resource').length") == 0
        assert tab.run("return document.documentElement.scrollWidth") <= 390
        # Fixed predictors: re-weighted to the ideal prior, anywhere on the line.
        for x in (-2.3, -1.0, 0.0, 0.5, 2.3):
            shown = {name: (score, how) for name, score, how in tab.run(SET, x)}
            for name, recalls in (("head", HEAD), ("tail", TAIL)):
                assert shown[name][1] == "ideal prior"
                assert float(shown[name][0]) == pytest.approx(expected(recalls, x), abs=0.051)
        # The order turns between forward and backward.
        order = [name for name, _, _ in tab.run(SET, -2.3)]
        assert order.index("head") < order.index("tail")
        order = [name for name, _, _ in tab.run(SET, 2.3)]
        assert order.index("tail") < order.index("head")
        # Rows that adapt: stored values at the stored places, linear between, and marked.
        x = -(math.log(10) + math.log(2)) / 2
        shown = {name: (score, how) for name, score, how in tab.run(SET, round(x, 2))}
        assert shown["sade"][1] == "interpolated"
        assert float(shown["sade"][0]) == pytest.approx(67.0, abs=0.06)
        tab.run("document.querySelectorAll('.stops button')[0].click()")
        assert tab.run("return document.querySelector('.shift output').textContent").startswith(
            "forward, imbalance ratio 10"
        )
        # The arrow keys move the control.
        before = tab.run("return document.querySelector('.shift output').textContent")
        element = tab.call(
            "/element", {"using": "css selector", "value": ".shift input[type=range]"}
        )
        key = next(iter(element.values()))
        tab.call(f"/element/{key}/value", {"text": "\ue014" * 30})  # arrow right
        assert tab.run("return document.querySelector('.shift output').textContent") != before
        # Sorting, filtering, details.
        names = """
          return [...document.querySelectorAll('table[data-name=main] tbody tr:not(.block)')]
            .filter((row) => !row.hidden).map((row) => row.cells[0].textContent)"""
        tab.run("document.querySelectorAll('table[data-name=main] th button')[0].click()")
        assert tab.run(names)[-2:] == ["tail", "sade"]  # each block for itself
        tab.run("document.querySelectorAll('table[data-name=main] th button')[0].click()")
        assert tab.run(names)[0] == "tail"
        tab.run(
            """const box = document.querySelector('input[type=search]');
            box.value = 'SADE'; box.dispatchEvent(new Event('input'));"""
        )
        assert tab.run(names) == ["sade"]
        tab.run(
            "document.querySelector('table[data-name=main] tr:not([hidden]) td button').click()"
        )
        details = tab.run("return document.querySelector('.trials details[open]').textContent")
        assert details.startswith("sade: 3 trials")
        assert "Seed 2" in details
        assert "1 without result" in tab.run("return document.querySelector('.trials').textContent")
        picture = base64.b64decode(tab.call("/screenshot"))
        (tmp_path / "phone.png").write_bytes(picture)
        assert len(picture) > 10_000
