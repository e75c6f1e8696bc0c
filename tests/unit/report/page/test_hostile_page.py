"""Names, titles, notes and errors of records are text on the page, whatever they look like."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from xml.etree.ElementTree import Element

import html5lib
import pytest

from ltbench.report.build import build_report

from ..builder import Results, flat

HOSTILE = {
    "a script": "<script>alert(1)</script>",
    "the end of a script": "</script><script>alert(1)</script>",
    "a comment in a script": "<!--<script>",
    "an attribute": '" onload="alert(1)" x="',
    "an attribute, single quotes": "' onclick='alert(1)",
    "a picture": "<img src=x onerror=alert(1)>",
    "the end of the style": "</style></svg></table><iframe src=//x.y>",
    "the end of a comment": "--><script>alert(1)</script>",
    "the end of CDATA": "]]><svg/onload=alert(1)>",
    "line ends of scripts": "a\u2028b\u2029c",
    "a template": "{{ 7 * 7 }}{% raw %}",
    "mathematics": r"$\frac{$ \undefined_{x}^",
    "an entity": "&lt;script&gt;&#x27;&quot;",
    "control characters": "a\x00b\x01c\x1b[2Jd\x7f\x9b1m\ufffe\U0001ffff",
    "right to left": "a\u202eb\u2066c",
    "space alone": " ",
}
PLAIN = {name: f"plain {number}" for number, name in enumerate(HOSTILE)}


def page_with(root: Path, texts: Mapping[str, str]) -> Path:
    """A report in which everything that may be any text is one of ``texts``, or all of them."""
    every = "".join(texts.values())
    results = Results(root, images=10)
    results.protocol["title"] = every
    names = [every, *list(texts.values())[:3]]
    for number, text in enumerate(texts.values()):
        more = {"class_names": names, "left_out": {"tent": text}, "hyper": {text: text}}
        weigh = {"experts": 2, "weights": lambda n, s, d: [0.4, 0.6]} if number % 2 else {}
        results.add(
            *(f"m{number}", 0, flat(40 + number)),
            label=text, title=text, method_params=text, **weigh, **more,
        )  # fmt: skip
    for protocol in ("toy-lt", "other"):
        failed = Results(root, protocol=protocol).fail("ride", 0)
        failed.write_text(json.dumps(json.loads(failed.read_text()) | {"error": every}))
    folder = os.fsdecode(b"\xff\x1b[2J<script>" if texts is HOSTILE else b"x")
    damaged = root / "toy-lt" / folder / "0-ab" / "failed.json"
    damaged.parent.mkdir(parents=True)
    damaged.write_text(json.dumps({"schema": 1, "status": every}))
    return build_report(root).output / "report.html"


@cache
def parsed(page: Path) -> Element:
    parser = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False)
    tree: Element = parser.parse(page.read_text(encoding="utf-8"))
    return tree


def tag(e: Element) -> str:
    return str(e.tag).rpartition("}")[2]


def skeleton(tree: Element) -> Counter[tuple[str, tuple[str, ...]]]:
    """How many elements there are of what attributes, outside of figures."""
    within = {id(e) for svg in tree.iter() if tag(svg) == "svg" for e in svg.iter()}
    return Counter((tag(e), tuple(sorted(e.attrib))) for e in tree.iter() if id(e) not in within)


@pytest.fixture(scope="module")
def hostile(svg_alone: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return page_with(tmp_path_factory.mktemp("hostile"), HOSTILE)


@pytest.fixture(scope="module")
def plain(svg_alone: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return page_with(tmp_path_factory.mktemp("plain"), PLAIN)


IN_FIGURES = {"svg", "g", "defs", "path", "use", "clipPath", "rect", "marker", "pattern", "image"}


def test_hostile_texts_add_no_element_and_no_attribute(hostile: Path, plain: Path) -> None:
    tree = parsed(hostile)
    assert skeleton(tree) == skeleton(parsed(plain))
    figures = [e for e in tree.iter() if tag(e) == "svg"]
    assert len(figures) > 3
    for svg in figures:
        assert {tag(e) for e in svg.iter()} <= IN_FIGURES
    for e in tree.iter():
        assert not [key for key in e.attrib if key.lower().startswith("on") or key == "style"]
        assert (e.get("href") or "#").startswith(("#", "data:image/png;base64,"))


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_texts_are_read_as_they_are(name: str, hostile: Path) -> None:
    """In the tables and in the data: what is meant as a name stays one. Control characters, ends of lines
    and marks of direction are told."""
    tree = parsed(hostile)
    (data,) = (e for e in tree.iter() if e.get("id") == "data")
    labels = [row["label"] for row in json.loads(data.text or "")["toy-lt"]["trials"]]
    told = {
        "control characters": r"a\x00b\x01c\x1b[2Jd\x7f\x9b1m\ufffe\U0001ffff",
        "line ends of scripts": r"a\u2028b\u2029c",
        "right to left": r"a\u202eb\u2066c",
    }
    text = told.get(name, HOSTILE[name])
    assert text in labels
    assert text in {e.get("data-row") for e in tree.iter("tr")}


def test_the_policy_lets_in_the_pages_own_script_and_style_and_nothing_else(hostile: Path) -> None:
    """The hashes are computed from the page's bytes, as a browser computes them."""
    text = hostile.read_bytes()
    assert b"\r" not in text  # a browser hashes line feeds
    scripts = re.findall(rb"<script>(.*?)</script>", text, re.DOTALL)
    styles = re.findall(rb"<style>(.*?)</style>", text, re.DOTALL)
    assert (len(scripts), len(styles)) == (1, 1)
    assert text.count(b"<script") == 2  # the other one is the data
    hashed = [base64.b64encode(hashlib.sha256(each).digest()).decode() for each in scripts + styles]
    tree = parsed(hostile)
    (meta,) = (e for e in tree.iter("meta") if e.get("http-equiv"))
    assert meta.get("http-equiv") == "Content-Security-Policy"
    rules = dict(rule.strip().split(" ", 1) for rule in (meta.get("content") or "").split(";"))
    assert rules == {
        "default-src": "'none'",
        "script-src": f"'sha256-{hashed[0]}'",
        "style-src": f"'sha256-{hashed[1]}'",
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    before = text[: text.index(b"Content-Security-Policy")]
    assert b"<style" not in before  # a policy speaks only for what follows it
    assert b"<script" not in before


def test_the_script_is_the_same_whatever_the_records_are(hostile: Path, plain: Path) -> None:
    """No script is made of data: else a policy by hash would let it in."""
    found = {
        re.findall(rb"<script>(.*?)</script>", page.read_bytes(), re.DOTALL)[0]
        for page in (hostile, plain)
    }
    assert len(found) == 1


def test_the_script_makes_no_markup_of_texts() -> None:
    """Nothing in it parses text as HTML or as code, and no attribute ``style`` is set."""
    for file in files("ltbench.report.page").iterdir():
        if file.name.endswith(".js"):
            text = file.read_text(encoding="utf-8")
            for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
                assert word not in text
            assert not re.search(r"new Function|setAttribute\(\"style|\bstyle:|srcdoc", text)
