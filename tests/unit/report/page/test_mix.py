"""The page's control for a mix of one's own: what it computes with, and what it computes."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ltbench.report.build import build_report
from ltbench.report.records.read import read_records
from ltbench.report.rows.sections import build_sections
from ltbench.report.statistics.mix import accuracy, fixed_rows

from ..browser import Browser
from ..builder import Results, flat

NASTY = 'x"><script>alert(1)</script>'
NAMES = ["benign", 'nevus, "blue"', "<b>malignant</b>", "other"]
NODE = shutil.which("node")
MIXES = ([0.95, 0.0, 0.05, 0.0], [1.0, 2.0, 3.0, 4.0], [0.0, 0.0, 0.0, 5.0])


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows of three seeds, of one and of one that knows no images; rows that adapt."""
    root = tmp_path_factory.mktemp("mix")
    made = Results(root, images=8)
    hits = np.random.default_rng(0).integers(1, 9, size=(3, 3, 4))
    for m, method in enumerate(("ce", "ride", "sade")):
        for seed in range(1 if method == "ride" else 3):
            made.add(
                method, seed, flat(50), class_names=NAMES,
                recall=lambda c, s, m=m: float(100 * hits[m, s, c] / 8),
            )  # fmt: skip
    made.add("ce", 0, flat(60), strategy="em", class_names=NAMES)
    made.images = 0
    made.add(NASTY, 0, flat(100 / 3), class_names=NAMES)
    return root


def embedded(page: Path) -> dict[str, Any]:
    text = page.read_text(encoding="utf-8")
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    data: dict[str, Any] = json.loads(found[1])["toy-lt"]["mix"]
    return data


@pytest.fixture(scope="module")
def page(results: Path) -> Path:
    return build_report(results, figures=False).output / "report.html"


def test_the_page_holds_whole_hits_that_give_the_recalls_exactly(results: Path, page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert NASTY not in text
    assert "<b>malignant" not in text
    data = embedded(page)
    assert data["names"] == NAMES
    (section,), _ = build_sections(read_records(results))
    rows = fixed_rows(section)
    assert [one["label"] for one in data["rows"]] == [one.row.label for one in rows]
    for one, shown in zip(rows, data["rows"], strict=True):
        hits = np.array(shown["hits"])
        if one.row.label == NASTY:
            assert shown["sizes"] is None
            assert hits.tolist() == one.recalls.tolist()
        else:
            assert shown["sizes"] == [8] * 4
            assert hits.dtype.kind == "i"
            assert (hits / 8).tolist() == one.recalls.tolist()
        for weights in MIXES:
            shares = np.array(weights) / sum(weights)
            scale = np.array(shown["sizes"] or [1] * 4)
            brute = np.mean(
                [100 * sum(q * h for q, h in zip(shares, own / scale, strict=True)) for own in hits]
            )
            assert accuracy(one, shares).mean == pytest.approx(brute, abs=1e-9)


def run_node(script: str, value: object) -> Any:
    """What ``script`` gives for ``value``, with the functions of the page."""
    functions = files("ltbench.report.page").joinpath("mix.js").read_text(encoding="utf-8")
    end = "process.stdout.write(JSON.stringify(compute(JSON.parse(process.argv[1]))));"
    program = f"{functions}\nconst compute = (value) => {{ {script} }};\n{end}"
    done = subprocess.run(
        [str(NODE), "-e", program, json.dumps(value)], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


@pytest.mark.skipif(NODE is None, reason="node is not installed")
def test_the_script_ranks_as_the_report_computes(results: Path, page: Path) -> None:
    script = """return value.mixes.map((weights) => mixing.rank(value.rows, mixing.shares(weights))
      .map(({ row, mean, half, over }) => [row.label, mean, half, over]));"""
    ranked = run_node(script, {"rows": embedded(page)["rows"], "mixes": MIXES})
    (section,), _ = build_sections(read_records(results))
    rows = fixed_rows(section)
    for weights, shown in zip(MIXES, ranked, strict=True):
        shares = np.array(weights) / sum(weights)
        found = {one.row.label: accuracy(one, shares) for one in rows}
        order = sorted(found, key=lambda label: (-round(found[label].mean, 9), label))
        assert [label for label, *_ in shown] == order
        for label, mean, half, over in shown:
            assert mean == pytest.approx(found[label].mean, abs=1e-9)
            assert over == found[label].over
            assert (half is None) == (found[label].half_width is None)
            assert half is None or half == pytest.approx(found[label].half_width, abs=1e-4)


@pytest.mark.skipif(NODE is None, reason="node is not installed")
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("class,share\nbenign,95\nother,5", [95, 0, 0, 5]),
        ("benign;1\r\n\r\n<b>malignant</b>;3\n", [1, 0, 3, 0]),
        ('"nevus, ""blue""",2\nother\t1', [0, 2, 0, 1]),
        ("", "no class has a share above 0"),
        ("benign,0", "no class has a share above 0"),
        ("benign", "line 1: expected class,share"),
        ("benign,1\nother,x", 'line 2: "x" is no number of at least 0'),
        ("benign,1\nother,-1", 'line 2: "-1" is no number of at least 0'),
        ("benign,1\nbenign,1", 'line 2: class "benign" is given twice'),
        ("benign,1\nbenin,1", 'line 2: no class is called "benin"'),
    ],
)
def test_a_pasted_list(text: str, expected: object) -> None:
    script = "const f = mixing.parse(value.text, value.names); return f.error ?? f.weights;"
    assert run_node(script, {"text": text, "names": NAMES}) == expected


SHOWN = """return [...document.querySelectorAll('.mix tbody tr')].map(
  (row) => [row.cells[1].textContent, row.cells[2].textContent]);"""


def test_the_control_in_a_browser(results: Path, page: Path, tab: Browser) -> None:
    (section,), _ = build_sections(read_records(results))
    tab.open(page)
    assert tab.run("return document.querySelectorAll('.mix input').length") == 4
    assert tab.run("return document.documentElement.scrollWidth") <= 390
    tab.run(
        """const list = document.querySelector('.mix textarea');
        list.value = 'benign,95\\nother,5'; list.dispatchEvent(new Event('input'));"""
    )
    shown = dict(tab.run(SHOWN))
    for one in fixed_rows(section):
        found = accuracy(one, np.array([0.95, 0, 0, 0.05]))
        assert shown[one.row.label].split(" ±")[0] == f"{found.mean:.1f}"
    tab.run("document.querySelector('.mix .presets button').click()")
    assert dict(tab.run(SHOWN)) != shown
