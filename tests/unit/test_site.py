"""The site of the documents: links and anchors, navigation, what is made at build time, the build."""

from __future__ import annotations

import dataclasses
import gc
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.zygote import available, started

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    page
    for folder in ("*.md", "docs/**/*.md", "benchmarks/*.md", "results/published/*.md")
    for page in ROOT.glob(folder)
)
_FOREIGN = re.compile(
    r'<(?:script|img|iframe)[^>]*src="(?:https?:)?//'
    r'|<link[^>]*rel="(?:stylesheet|preconnect|icon)"[^>]*href="(?:https?:)?//'
)
"""What a browser would fetch from elsewhere."""


@pytest.fixture
def gen(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Imports modules of docs/gen as the build does, from their own folder."""
    monkeypatch.syspath_prepend(str(ROOT / "docs/gen"))
    return importlib.import_module("assemble")


def without_code(text: str) -> str:
    return re.sub(r"^(```|~~~).*?^\1[ \t]*$", "", text, flags=re.DOTALL | re.MULTILINE)


def anchors_of(page: Path) -> set[str]:
    """Of headings, as GitHub and the site name them, and those written out in HTML."""
    text = without_code(page.read_text(encoding="utf-8"))
    named = set(re.findall(r'<a (?:id|name)="([^"]+)"', text))
    for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower().strip()
        slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        n = 0
        while slug + (f"-{n}" if n else "") in named:
            n += 1
        named.add(slug + (f"-{n}" if n else ""))
    return named


def lost_links(page: Path) -> list[str]:
    text = re.sub(r"`[^`\n]*`", "", without_code(page.read_text(encoding="utf-8")))
    lost = []
    for target in re.findall(r"\]\(([^)\s]+)[^)]*\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        if not file.is_file() or (anchor and anchor not in anchors_of(file)):
            lost.append(target)
    return lost


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_relative_links_lead_to_a_file_and_a_heading(page: Path) -> None:
    """A folder is no page of a site: its README is."""
    assert not lost_links(page)


def test_lost_files_folders_and_headings_are_noticed(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "b.md").write_text("# One thing: `x`\n\n```\n# no heading\n```\n")
    page = tmp_path / "a.md"
    good = "[1](b.md#one-thing-x) [2](#here) [3](https://x.y/z) `[4](code.md)`\n\n# Here\n"
    page.write_text(good + "[5](c.md) [6](folder) [7](b.md#two) [8](b.md#no-heading) [9](#there)")
    assert lost_links(page) == ["c.md", "folder", "b.md#two", "b.md#no-heading", "#there"]


def navigation() -> list[str]:
    """Pages of mkdocs.yml; read as text, since YAML is no dependency of ours."""
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:\n")[2]
    block = text.partition("\n\n")[0]
    return re.findall(r"^ +- [^#\n]*: (\S+\.md)$", block, re.MULTILINE)


def test_every_page_is_in_the_navigation_once_and_every_entry_is_a_page(gen: ModuleType) -> None:
    listed = navigation()
    assert len(listed) == len(set(listed))
    docs = {page.relative_to(ROOT / "docs").as_posix() for page in ROOT.glob("docs/**/*.md")}
    assert docs <= set(listed)
    parts = set(gen.split_readme((ROOT / "README.md").read_text(encoding="utf-8")))
    elsewhere = set(listed) - docs - parts
    assert parts <= set(listed)
    assert all((ROOT / page).is_file() for page in elsewhere)


def test_links_are_the_same_on_the_site(gen: ModuleType) -> None:
    """Whatever a page links to in the repository is there, where its link on the site leads."""
    site = gen.assemble(dict.fromkeys(made_parts(), lambda: ""))
    assert site.pages.keys().isdisjoint(site.copied)
    there = site.pages.keys() | site.copied.keys()
    beside = (*ROOT.glob("docs/*.*"), *ROOT.glob("docs/studies/*.*"))
    there |= {file.relative_to(ROOT / "docs").as_posix() for file in beside}
    for place, text in site.pages.items():
        for target in gen.relative_links(text):
            found = os.path.normpath(Path(place).parent / target.partition("#")[0])
            assert Path(found).as_posix() in there or target.startswith("#"), (place, target)
    assert "results/published/README.md" in site.pages
    assert "protocols/digits_lt.toml" in site.copied


def test_a_link_is_moved_with_its_page(gen: ModuleType) -> None:
    moved = gen.moved("docs/plugins/method.md", "plugins/method.md", "../../README.md#start")
    assert moved == "../index.md#start"
    assert gen.moved("README.md", "index.md", "docs/tilt.md") == "tilt.md"
    text = "[a](x.md) `[b](x.md)` ![c](x.png) [d](https://x.y)\n```\n[e](x.md)\n```\n[f](x.md#y)"
    changed = gen.rewrite_links(text, lambda target: "../" + target)
    expected = text.replace("[a](x", "[a](../x").replace("[c](x", "[c](../x")
    assert changed == expected.replace("[f](x", "[f](../x")


def test_the_readme_is_whole_on_its_two_pages(gen: ModuleType) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    pages = gen.split_readme(readme)
    together = "".join(pages.values())
    assert all(line in together for line in readme.splitlines())
    assert "make demo" in pages["first-hour.md"]
    assert "make demo" not in pages["index.md"]
    with pytest.raises(ValueError, match="no heading 'Start'"):
        gen.split_readme(readme.replace("## Start\n", "## Begin\n"))


def made_parts() -> set[str]:
    pages = [*ROOT.glob("docs/**/*.md"), ROOT / "README.md"]
    texts = [page.read_text(encoding="utf-8") for page in pages]
    return {name for text in texts for name in re.findall(r"<!-- made: (.+?) -->", text)}


def test_every_method_strategy_and_setting_is_on_its_page(gen: ModuleType) -> None:
    from ltbench.registry import load_registries

    page = importlib.import_module("registry_page").registry_page()
    found = load_registries()
    for kind, registry in (("method", found.methods), ("strategy", found.strategies)):
        for plugin in registry.plugins.values():
            if not plugin.origin.startswith("ltbench."):
                continue
            text = page.split(f"{{ #{kind}-{plugin.name} }}")[1].split("\n### ")[0]
            assert plugin.cls.reference is None or plugin.cls.reference.url in text
            for field in dataclasses.fields(plugin.cls.hyper_type):
                assert re.search(rf"^\| `{field.name}` \|.*\| [^|]+ \|$", text, re.MULTILINE)


def test_every_key_of_a_protocol_has_one_meaning(gen: ModuleType) -> None:
    """Of the field's own help and the list beside the page, one and not both."""
    keys = importlib.import_module("protocol_keys")
    meanings = importlib.import_module("protocol_meanings").MEANINGS
    tables = {"": keys.protocol.Protocol, **keys.TABLES}
    assert meanings.keys() <= tables.keys()
    for name, kind in tables.items():
        fields = {field.name: field for field in dataclasses.fields(kind)}
        if not name:
            fields = {
                k: f for k, f in fields.items() if k not in (*keys.TABLES, *keys.OF_THE_PROGRAM)
            }
        without_help = {k for k, field in fields.items() if not field.metadata.get("help")}
        assert without_help == meanings.get(name, {}).keys(), name
    page = keys.protocol_keys()
    assert "| `lr` | number | required | above 0 | highest learning rate of SGD |" in page


@pytest.mark.skipif(
    importlib.util.find_spec("mkdocs") is None or importlib.util.find_spec("mkdocstrings") is None,
    reason="mkdocs is not installed; `make docs` installs it and builds the site",
)
def test_the_site_builds_without_a_warning_and_asks_nobody_else(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    with started(
        words, cwd=ROOT, env={**environment, "NO_MKDOCS_2_WARNING": "1"}, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True, before=gc.disable if available() else None,
    ) as process:  # fmt: skip
        _, told = process.communicate(timeout=300)
    assert process.returncode == 0, told
    for page in tmp_path.rglob("*.html"):
        assert not _FOREIGN.search(page.read_text(encoding="utf-8")), page
    assert 'id="strategy-tilt"' in (tmp_path / "methods.html").read_text(encoding="utf-8")
    assert 'id="ltbench.strategy.Strategy.adapt"' in (tmp_path / "api.html").read_text(
        encoding="utf-8"
    )


def test_the_readme_lists_every_method_as_it_is_now(gen: ModuleType) -> None:
    """`make lists` writes it."""
    families = importlib.import_module("families")
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert families.with_list(text) == text, "README.md: `make lists` writes the list anew"
    for plugin in families.by_family():
        assert f"| `{plugin.name}` |" in text
    with pytest.raises(ValueError, match="one block <!-- made: list of methods -->"):
        families.with_list("# No list")


def test_tables_of_methods_have_a_line_for_each(gen: ModuleType) -> None:
    families = importlib.import_module("families")
    names = [plugin.name for plugin in families.by_family()]
    for made in (families.needs_table, families.priors_table):
        assert re.findall(r"^\| \[`(.+?)`\]", made(), re.MULTILINE) == names
    needs, priors = families.needs_table(), families.priors_table()
    assert "| two-stage | 1 | ce first | 0.33 | 1.33 |" in needs
    assert "| experts | 3 | 2 views (1 strong) | 2.91 |" in needs
    assert "[`balpoe`](#method-balpoe) | known exactly | 1, 0, -1 |" in priors
    assert "[`vs`](#method-vs) | no bias; the posterior is known |" in priors
    assert "[`tau-norm`](#method-tau-norm) | fitted on a hold-out, from nothing |" in priors
