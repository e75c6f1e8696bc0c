"""The HTML page: what its scripts compute, in a real browser; and that it is one safe file."""

from __future__ import annotations

import base64
import json
import math
import re
from importlib.resources import files
from pathlib import Path

import pytest

from ltbench.report.build import build_report
from ltbench.report.figures.style import MARKERS, looks

from ..browser import Browser
from ..builder import Results

HEAD = [95.0, 80.0, 40.0, 10.0]
TAIL = [50.0, 60.0, 70.0, 65.0]
NASTY = '</script><img src=x onerror="alert(1)"> & "é" 中'


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("page")
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


def test_one_file_that_fetches_nothing_and_runs_no_name(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert "<img" not in text
    assert "default-src 'none'" in text
    assert not re.search(r'(src|href)="(?!#)', text.replace("img-src", ""))
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    rows = json.loads(found[1])["toy-lt"]["shift"]["rows"]
    assert [row["label"] for row in rows] == [NASTY, "head", "sade", "tail"]
    assert [row["recalls"] is not None for row in rows] == [True, True, False, True]


PRESS = """
  const range = document.querySelector('.shift input[type=range]');
  range.dispatchEvent(new PointerEvent('pointerdown'));
  range.value = arguments[0];
  range.dispatchEvent(new Event('input'));
  range.dispatchEvent(new PointerEvent('pointerup'));
  return Number(range.value);
"""
SHOWN = """
  return Object.fromEntries([...document.querySelectorAll('.ranking tbody tr')].map((row) =>
    [row.cells[1].textContent, [row.cells[2].textContent, row.cells[4].textContent]]));
"""
NAME = "return document.querySelector('.shift output').textContent"


def test_at_the_stored_places_the_numbers_are_those_of_the_records(
    tmp_path: Path, tab: Browser
) -> None:
    """Draws that lack 0.3 of the ideal prior: the footing of what is between must not show."""
    root = tmp_path / "r"
    results = Results(root, images=40)
    stored = {"forward10": 70.0, "forward2": 64.0, "uniform": 60.0, "backward2": 51.0}
    for seed in range(2):
        more = {"recall": lambda c, s: HEAD[c]}
        for strategy, gain in (("none", 0.0), ("em", 3.0)):
            results.add(
                "ce", seed, lambda n, s, d, gain=gain: stored.get(n, 40.0) + gain + s + d / 2,
                strategy=strategy, **more,
            )  # fmt: skip
    page = build_report(root, figures=False).output / "report.html"
    tab.open(page)
    for place, name in enumerate(("forward10", "forward2", "uniform", "backward2", "backward10")):
        tab.run("document.querySelectorAll('.stops button')[arguments[0]].click()", place)
        top1 = stored.get(name, 40.0) + 0.5 + (0.0 if name == "uniform" else 0.25)
        expected = {"ce": [f"{top1:.1f}", "stored"], "ce+em": [f"{top1 + 3:.1f}", "stored"]}
        shown = tab.run(SHOWN)
        for row, (score, how) in expected.items():
            assert shown[row][1] == how
            assert float(shown[row][0]) == pytest.approx(float(score), abs=0.051)
        # The table below shows the same in the column that is lit.
        lit = tab.run(
            """const table = document.querySelector('table[data-name=main]');
            return Object.fromEntries([...table.querySelectorAll('tbody tr:not(.block)')].map(
              (row) => [row.cells[0].textContent,
                        row.querySelector('.chosen').firstChild.textContent]));"""
        )
        assert lit == {row: score for row, (score, _) in shown.items()}
    # Only between them: re-weighted, interpolated, and nothing is lit.
    tab.run(SET, -1.5)
    assert {how for _, how in tab.run(SHOWN).values()} == {"ideal prior", "interpolated"}
    assert tab.run("return document.querySelectorAll('.chosen').length") == 0


def test_the_control_stops_at_the_stored_places(page: Path, tab: Browser) -> None:
    tab.open(page)
    assert tab.run("return document.querySelectorAll('.ticks span').length") == 5
    # A tick stands where the control's knob does, half its width from the ends.
    ends = tab.run(
        """const bar = document.querySelector('.shift input[type=range]').getBoundingClientRect();
        return [...document.querySelectorAll('.ticks span')].map((tick) => {
          const { left, width } = tick.getBoundingClientRect();
          return (left + width / 2 - bar.left - 8) / (bar.width - 16); });"""
    )
    places = [(x / math.log(10) + 1) / 2 for x in (-math.log(10), -math.log(2), 0.0)]
    assert ends[:3] == pytest.approx(places, abs=0.01)
    # Near a place a pointer falls onto it, far from all it does not.
    assert tab.run(PRESS, -0.66) == pytest.approx(-math.log(2), abs=1e-5)
    assert tab.run(NAME) == "forward, imbalance ratio 2.0 (F2)"
    assert tab.run(PRESS, -1.4) == pytest.approx(-1.4, abs=0.01)
    # Keys: no step passes a place, and Page Up and Page Down go from one to the next.
    tab.run("document.querySelectorAll('.stops button')[2].click()")
    found = tab.call("/element", {"using": "css selector", "value": ".shift input[type=range]"})
    element = f"/element/{next(iter(found.values()))}/value"
    seen = []
    for _ in range(25):
        tab.call(element, {"text": "\ue014"})
        seen.append(
            tab.run("return document.querySelector('.stops [aria-pressed=true]')?.textContent")
        )
    assert "B2" in seen
    for key, name in (("\ue00e", "B10"), ("\ue00f", "B2"), ("\ue00f", "U"), ("\ue00f", "F2")):
        tab.call(element, {"text": key})
        assert name in tab.run(
            "return document.querySelector('.stops [aria-pressed=true]').textContent"
        )


def test_rows_have_the_colours_and_markers_of_the_figures(page: Path, tab: Browser) -> None:
    methods = {"head": "head", "tail": "tail", "sade": "sade", NASTY: "x", "ride": "ride"}
    known = looks(methods.items())
    del known["ride"]  # without a result
    tab.resize(1280, 900)
    tab.open(page)
    shown = tab.run(
        """return Object.fromEntries([...document.querySelectorAll('.ranking tbody tr')].map((row) =>
          [row.cells[1].textContent, [row.querySelector('.look path').getAttribute('stroke'),
           row.querySelector('.bar').style.getPropertyValue('--colour')]]));"""
    )
    assert shown == {label: [look.colour, look.colour] for label, look in known.items()}
    assert len({colour for colour, _ in shown.values()}) == 4


def test_every_marker_of_the_figures_is_drawn() -> None:
    script = files("ltbench.report.page").joinpath("page.js").read_text(encoding="utf-8")
    drawn = script[script.index("const MARKERS") : script.index("const draw")]
    found = re.findall(r'(?:^|[\s,{])"?([^\s",{]+)"?: "M', drawn)
    assert set(found) == set(MARKERS)


SET = """
  const range = document.querySelector('.shift input[type=range]');
  range.value = arguments[0];
  range.dispatchEvent(new Event('input'));
  return [...document.querySelectorAll('.ranking tbody tr')].map(
    (row) => [row.cells[1].textContent, row.cells[2].textContent, row.cells[4].textContent]);
"""


def test_page_in_a_browser_at_phone_width(page: Path, tmp_path: Path, tab: Browser) -> None:
    tab.open(page)
    assert tab.run("return document.documentElement.dataset.ready") == "yes"
    assert tab.run("return performance.getEntriesByType('resource').length") == 0
    assert tab.run("return document.documentElement.scrollWidth") <= 390
    # Fixed predictors: re-weighted to the ideal prior, anywhere on the line.
    for x in (-2.3, -1.0, 0.1, 0.5, 2.3):
        shown = {name: (score, how) for name, score, how in tab.run(SET, x)}
        for name, recalls in (("head", HEAD), ("tail", TAIL)):
            assert shown[name][1] == "ideal prior"
            assert float(shown[name][0]) == pytest.approx(expected(recalls, x), abs=0.051)
    # The order turns between forward and backward.
    order = [name for name, _, _ in tab.run(SET, -2.3)]
    assert order.index("head") < order.index("tail")
    order = [name for name, _, _ in tab.run(SET, 2.3)]
    assert order.index("tail") < order.index("head")
    # Rows that adapt: linear between the stored places, and marked.
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
    element = tab.call("/element", {"using": "css selector", "value": ".shift input[type=range]"})
    key = next(iter(element.values()))
    tab.call(f"/element/{key}/value", {"text": "\ue014" * 30})  # arrow right
    assert tab.run("return document.querySelector('.shift output').textContent") != before
    # What a phone shows needs no scrolling to the side: rank, method, accuracy and how.
    assert tab.run(
        """const box = document.querySelector('.whole');
        const cells = [...box.querySelectorAll('td')].filter((cell) => cell.offsetWidth);
        return box.scrollWidth <= box.clientWidth
          && cells.every((cell) => cell.getBoundingClientRect().right <= innerWidth);"""
    )
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
    tab.run("document.querySelector('table[data-name=main] tr:not([hidden]) td a').click()")
    details = tab.run("return document.querySelector('.trials details[open]').textContent")
    assert details.startswith("sade: 3 trials")
    assert "Seed 2" in details
    assert "1 without result" in tab.run("return document.querySelector('.trials').textContent")
    picture = base64.b64decode(tab.call("/screenshot"))
    (tmp_path / "phone.png").write_bytes(picture)
    assert len(picture) > 10_000
