"""What the documents show must exist and work."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from ltbench import Architecture, Phase
from ltbench.contract.check import checks_of
from ltbench.data.sources import open_data
from ltbench.protocol.file import load_protocol_config
from ltbench.protocol.protocol import DataConfig
from ltbench.registry import load_registries
from ltbench.report.build import build_report
from ltbench.report.rows.rows import Row
from ltbench.report.rows.sections import Section, SectionKey, TestSet
from ltbench.report.rows.summary import Summary
from ltbench.report.tables.table import Block, Column, Table
from ltbench.scaffold.write import METHOD_KINDS
from ltbench.strategy import Need

ROOT = Path(__file__).resolve().parents[2]


def blocks(page: str, language: str) -> list[str]:
    """The fenced blocks of ``language``."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert found
    return found


def block(page: str, language: str) -> str:
    return blocks(page, language)[0]


def test_the_method_of_contributing_works(tmp_path: Path) -> None:
    plugin = tmp_path / "poly.py"
    plugin.write_text(block("CONTRIBUTING.md", "python"))
    poly = load_registries([str(plugin)]).methods.get("poly").cls
    method = poly(torch.tensor([5, 3, 1]), poly.hyper_type(epsilon=2.0))
    logits = torch.tensor([[[2.0, 0.0, -1.0]], [[0.0, 1.0, 0.5]]])
    p = F.softmax(logits[:, 0].double(), dim=1)[torch.arange(2), torch.tensor([0, 2])]
    expected = (2 * (1 - p) - p.log()).mean()
    loss = method.loss(logits, torch.tensor([0, 2]), progress=0.0)
    torch.testing.assert_close(loss.double(), expected, rtol=1e-6, atol=0)


def test_adding_a_method_takes_no_more_than_40_lines_of_text() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    section = text.split("## Add a method in one file")[1].split("\n## ")[0]
    assert len(section.splitlines()) <= 40


def test_the_protocol_of_own_images_is_valid(tmp_path: Path) -> None:
    file = tmp_path / "birds.toml"
    file.write_text(block("docs/own-images.md", "toml"))
    protocol = load_protocol_config(str(file))
    assert protocol.data.path == str(tmp_path / "birds")
    assert protocol.train.profile == "all"


def test_the_protocol_of_the_page_for_authors_keeps_the_contract(tmp_path: Path) -> None:
    file = tmp_path / "digits_mild.toml"
    file.write_text(block("docs/plugins/protocol.md", "toml"))
    assert load_protocol_config(str(file)).recipe_for("sade").lr == 0.02
    for check in checks_of(file, advice=False):
        check()


def test_commands_named_in_the_readme_exist() -> None:
    from ltbench.cli import COMMANDS

    named = set(re.findall(r"ltbench ([a-z]+)", (ROOT / "README.md").read_text()))
    assert named <= set(COMMANDS)
    assert set(COMMANDS) <= named


KINDS = "docs/plugins/kinds.md"
METHOD, STRATEGY = "docs/plugins/method.md", "docs/plugins/strategy.md"
STEP = "docs/plugins/training.md"
TEMPLATE = "docs/plugins/template.md"
SOURCE = "docs/plugins/source.md"
BACKBONE = "docs/plugins/backbone.md"


@pytest.mark.parametrize(
    ("page", "i"),
    [
        *((METHOD, 0), (METHOD, 1), (STEP, 0), (STEP, 1), (STRATEGY, 0)),
        *((KINDS, i) for i in range(len(METHOD_KINDS))),
    ],
)
def test_the_plugins_of_the_pages_for_authors_keep_the_contract(
    tmp_path: Path, page: str, i: int
) -> None:
    """All but advice: an example has no reference."""
    examples = blocks(page, "python")
    assert len(examples) == {METHOD: 2, STEP: 2, STRATEGY: 1, KINDS: 5}[page]
    plugin = tmp_path / "mine.py"
    plugin.write_text(examples[i])
    checks = checks_of(plugin, advice=False)
    assert len(checks) > 10
    for check in checks:
        check()


def test_there_is_a_short_example_of_each_kind() -> None:
    examples = blocks(KINDS, "python")
    for example in examples:
        assert len(example.splitlines()) <= 20, example
    families = [text.split("family")[1] if "family" in text else "" for text in examples]
    assert families[0] == ""
    for kind, words in zip(METHOD_KINDS[1:], families[1:], strict=True):
        assert f'"{kind}"' in words.partition("\n")[0]
    text = (ROOT / KINDS).read_text(encoding="utf-8")
    assert re.findall(r"`--kind ([\w-]+)`", text) == list(METHOD_KINDS[1:])
    assert f"]({KINDS})" in (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def write_shapes(folder: Path) -> None:
    images = np.arange(6 * 3 * 8 * 8).reshape(6, 3, 8, 8).astype(np.uint8)
    labels = np.arange(6) % 3
    parts = {"x_train": images, "y_train": labels, "x_test": images[:3], "y_test": labels[:3]}
    np.savez(folder / "shapes.npz", **parts)


def write_letters(folder: Path) -> None:
    for letter in "ab":
        (folder / letter).mkdir()
        for i in range(4):
            Image.new("L", (9, 8), 30 * i).save(folder / letter / f"{i}.png")


@pytest.mark.parametrize(
    ("i", "write", "config", "sizes"),
    [
        (0, write_shapes, DataConfig("shapes", 3, 8), (6, 3)),
        (1, write_letters, DataConfig("letters", 2, 8, options={"test_per_class": 1}), (6, 2)),
    ],
)
def test_the_sources_of_the_page_for_authors_keep_the_contract(
    tmp_path: Path,
    i: int,
    write: Callable[[Path], None],
    config: DataConfig,
    sizes: tuple[int, int],
) -> None:
    examples = blocks(SOURCE, "python")
    assert len(examples) == 2
    plugin, folder = tmp_path / "mine.py", tmp_path / "images"
    plugin.write_text(examples[i])
    folder.mkdir()
    write(folder)
    checks = checks_of(plugin, data_dir=folder)
    assert len(checks) > 11  # all: the images are there, and one of their files is damaged
    for check in checks:
        check()
    splits = open_data(config, folder, plugins=[str(plugin)])
    assert (len(splits.train), len(splits.test)) == sizes


def test_a_source_takes_about_15_lines() -> None:
    lines = [line for line in block(SOURCE, "python").splitlines() if line.strip()]
    assert len(lines) <= 15


def test_the_backbone_of_the_page_for_authors_keeps_the_contract(tmp_path: Path) -> None:
    examples = blocks(BACKBONE, "python")
    assert len(examples) == 1
    assert len([line for line in examples[0].splitlines() if line.strip()]) <= 17
    plugin = tmp_path / "tiny.py"
    plugin.write_text(examples[0])
    checks = checks_of(plugin)
    assert len(checks) > 7
    for check in checks:
        check()


@pytest.mark.parametrize("kind", [Architecture, Phase])
def test_every_field_that_a_method_may_ask_for_is_explained(kind: type[Any]) -> None:
    """With its default, in the table under the name of the class."""
    text = (ROOT / METHOD).read_text(encoding="utf-8").split(f"**`{kind.__name__}`**")[1]
    rows = re.findall(r"^\| `(\w+)` \|.*?\|(.*?)\|", text.split("\n\n")[1], re.MULTILINE)
    shown = {name: default.strip().strip("`").strip('"') for name, default in rows}
    expected = {field.name: str(field.default) for field in dataclasses.fields(kind)}
    assert shown == expected


def test_every_need_is_explained() -> None:
    text = (ROOT / STRATEGY).read_text(encoding="utf-8")
    assert set(re.findall(r'^\| `"(\w+)"` \|', text, re.MULTILINE)) == set(get_args(Need))


def test_the_template_of_the_page_for_authors_fills(tmp_path: Path) -> None:
    template = tmp_path / "mine.tex.jinja"
    template.write_text(block(TEMPLATE, "jinja"))
    outcome = build_report(
        ROOT / "results/published/digits-lt",
        figures=False,
        template=template,
        output=tmp_path / "out",
    )
    text = (outcome.output / "mine.tex").read_text(encoding="utf-8")
    assert "% Digits-LT" in text
    assert re.search(r"^sade & .* \\\\$", text, re.MULTILINE), text[:2000]


def test_the_fields_of_a_template_exist() -> None:
    text = (ROOT / TEMPLATE).read_text(encoding="utf-8").split("| name | what it is |")[1]
    named = dict(re.findall(r"^\| `?([^|`]+?)`? \| (.*?) \|$", text, re.MULTILINE))
    for row, kinds in (
        (".section", (Section, SectionKey)),
        (".section.test_sets[i]", (TestSet,)),
        (".section.rows[i]", (Row,)),
        ("a table", (Table,)),
        ("a column", (Column,)),
        ("a block", (Block,)),
        ("a value", (Summary,)),
    ):
        fields = set(re.findall(r"`(\w+)`", named[row]))
        known = {name for kind in kinds for name in (*kind.__dataclass_fields__, *dir(kind))}
        assert fields
        assert fields <= known, (row, fields - known)
