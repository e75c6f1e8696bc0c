"""The page is valid HTML: strictly parsed, ids stand once, references meet something."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

import html5lib
import pytest

from ltbench.report.build import build_report
from ltbench.report.page.svg import with_own_ids

from ..browser import Browser
from ..builder import Results, flat

REFERENCES = ("for", "aria-labelledby", "aria-describedby", "aria-controls", "headers")
REFERENCE = {"kind": "reference", "value": [[0.0] * 4] * 2, "error": None}


@pytest.fixture(scope="module")
def page(svg_alone: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two data sets, named like ids of the page; rows with every mark; a name full of markup."""
    root = tmp_path_factory.mktemp("page")
    for protocol, test_data in (("data", "11"), ("main", "22")):
        results = Results(root, protocol=protocol, test_data=test_data, images=10)
        for seed in range(3):
            results.add("ce", seed, flat(50 + seed))
            results.add('a"--><b id="x">§', seed, flat(40 + seed), experts=3)
            results.add("ce", seed, flat(45), strategy="tent", first_draw_only=True)
            results.add(
                *("sade", seed, flat(60 + seed)), strategy="stability", label="sade", experts=3,
                weights=lambda n, s, d: [0.2, 0.3, 0.5], agreement=lambda e, g: 0.5,
                prior=lambda n, s, d: [0.25] * 4,
            )  # fmt: skip
            more = {"oracle": True, "bias": REFERENCE, "experts": 2}
            results.add("ride", seed, flat(60), strategy="oracle", **more)
        results.fail("ce", 7)
    return build_report(root).output / "report.html"


@cache
def elements(page: Path) -> list[Element]:
    """Strict: the first parse error is raised."""
    parser = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False)
    return list(parser.parse(page.read_text(encoding="utf-8")).iter())


def references(tree: Element) -> list[str]:
    """The ids that attributes of the element and of those within it name."""
    found: list[str] = []
    for e in tree.iter():
        for key, value in e.attrib.items():
            found += re.findall(r"url\(['\"]?#([^)'\"]+)", value)
            if key in REFERENCES:
                found += value.split()
            elif key.rpartition("}")[2].rpartition(":")[2] == "href" and value.startswith("#"):
                found.append(value[1:])
    return found


def ids(tree: Element) -> list[str]:
    return [name for e in tree.iter() if (name := e.get("id")) is not None]


def test_ids_stand_once_and_references_meet_something(page: Path) -> None:
    tree = elements(page)[0]
    assert [name for name, times in Counter(ids(tree)).items() if times > 1] == []
    assert {"data", "main", "data_part", "main_part", "overall"} <= set(ids(tree))
    assert set(references(tree)) <= set(ids(tree))


def test_a_reference_within_a_figure_stays_within_it(page: Path) -> None:
    figures = [e for e in elements(page) if e.tag == "figure"]
    assert len(figures) > 8
    for figure in figures:
        assert len(references(figure)) > 10
        assert set(references(figure)) <= set(ids(figure))


def test_rules_that_no_parser_knows(page: Path) -> None:
    """From the W3C checker's list: roles, and what a label may hold."""
    for e in elements(page):
        if e.tag == "figure":
            assert any(child.tag == "figcaption" for child in e)
            assert e.get("role") is None
            assert e.get("aria-label") is None
        if e.tag == "label" and (target := e.get("for")) is not None:
            assert [x for x in e.iter() if x.tag in ("output", "input")] == [], target


@pytest.mark.skipif(
    not (shutil.which("vnu") and shutil.which("java")),
    reason="the W3C checker is not installed (npm install --global vnu-jar; it needs Java)",
)
def test_the_w3c_checker_finds_nothing(page: Path) -> None:
    done = subprocess.run(["vnu", page], capture_output=True, check=False, text=True, timeout=300)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("svg", "expected"),
    [
        ('<g id="axes_1"><path id="m"/></g>', "<g><path/></g>"),
        ('<a id="m"/><use xlink:href="#m"/>', '<a id="p_m"/><use xlink:href="#p_m"/>'),
        ('<a id="m"/><use href="#m"/>', '<a id="p_m"/><use href="#p_m"/>'),
        ('<c id="c"/><g clip-path="url(#c)"/>', '<c id="p_c"/><g clip-path="url(#p_c)"/>'),
        ("<c id=\"c\"/><g style=\"fill: url('#c')\"/>", "<c id=\"p_c\"/><g style=\"fill: url('#p_c')\"/>"),
        (
            '<t id="t"/><d id="d"/><svg aria-labelledby="t d"/>',
            '<t id="p_t"/><d id="p_d"/><svg aria-labelledby="p_t p_d"/>',
        ),
        ('<a href="https://x.y/#m"/>', '<a href="https://x.y/#m"/>'),
    ],
)  # fmt: skip
def test_ids_and_references_of_a_figure(svg: str, expected: str) -> None:
    assert with_own_ids(svg, "p_") == expected


def rows_of(page: Path) -> dict[str, set[str]]:
    """What is printed in the first cell, by the row whose trials it opens."""
    found: dict[str, set[str]] = {}
    for e in elements(page):
        if e.tag == "tr" and (label := e.get("data-row")) is not None:
            found.setdefault(label, set()).add("".join(e[0].itertext()).strip())
    return found


def test_rows_with_footnotes_know_their_trials(page: Path) -> None:
    found = rows_of(page)
    assert found["ce+tent"] == {"ce+tent*§"}
    assert found["ride+oracle"] == {"ride+oracle‡"}
    assert found["ce"] == {"ce*"}
    assert found["sade"] == {"sade"}
    assert found['a"--><b id="x">§'] == {'a"--><b id="x">§'}


def test_marks_lead_to_the_footnotes_that_explain_them(page: Path) -> None:
    tree = elements(page)[0]
    notes = {e.get("id"): "".join(e.itertext()) for e in tree.iter() if e.get("id")}
    found: dict[str, set[str]] = {}
    for row in tree.iter("tr"):
        for e in row.iter("a"):
            if e.get("class") == "mark":
                note = notes[(e.get("href") or "")[1:]]
                assert note.startswith(f"{e.text} ")
                assert str(row.get("data-row")) in note
                found.setdefault(str(row.get("data-row")), set()).add(str(e.text))
    assert found == {"ce+tent": {"*", "§"}, "ride+oracle": {"‡"}, "ce": {"*"}}


def test_rows_of_the_control_lead_to_footnotes_and_trials(page: Path, tab: Browser) -> None:
    tab.open(page)
    click = """const row = [...document.querySelectorAll('#data_part .ranking tbody tr')].find(
          (row) => row.cells[1].textContent.startsWith('ce+tent'));
        const link = row.querySelectorAll('a')[arguments[0]];
        link.focus();  // a link of the page: the keyboard reaches it
        const reached = document.activeElement === link;
        document.querySelectorAll('details.table').forEach((table) => { table.open = false; });
        link.click();
        return [reached, document.querySelector(':target').textContent];"""
    reached, note = tab.run(click, 2)
    assert reached
    assert note.startswith("§ ce+tent: draw 0 only")
    seen = """const { top, bottom } = document.querySelector(':target').getBoundingClientRect();
        return [top >= 0 && bottom <= innerHeight + 1, top < bottom];"""
    assert tab.run(seen) == [True, True]
    _, trials = tab.run(click, 0)
    assert trials.startswith("ce+tent: 3 trials, 1 without result")
    tab.run("return new Promise((done) => setTimeout(done, 50))")
    text = tab.run("return document.querySelector(':target').textContent")
    for fact in ("Seed 2", "trial", "evaluation", "strategytent"):
        assert fact in text


def test_every_row_of_a_method_leads_to_its_trials(page: Path, tab: Browser) -> None:
    tab.resize(1280, 900)
    tab.open(page)
    for part in ("data_part", "main_part"):
        rows: list[list[Any]] = tab.run(
            """const part = document.getElementById(arguments[0]);
            return [...part.querySelectorAll('table[data-name=main] tbody tr:not(.block)')].map(
              (row) => {
                const link = row.querySelector('td a');
                if (!link) return [row.cells[0].textContent, null];
                link.click();
                const opened = document.activeElement.textContent;
                return [row.cells[0].textContent, opened, part.contains(document.activeElement)];
              });""",
            part,
        )
        opened = {row[0]: row[1:] for row in rows}
        assert opened["ce+tent*§"] == ["ce+tent: 3 trials, 1 without result", True]
        assert opened["ride+oracle‡"] == ["ride+oracle: 3 trials", True]
        assert opened["ce*"] == ["ce: 3 trials, 1 without result", True]
        assert opened["sade"] == ["sade: 3 trials", True]
        assert None not in [row[1] for row in rows]
