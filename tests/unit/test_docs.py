"""What the documents show must exist and work."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from ltbench.protocol_file import load_protocol_config
from ltbench.registry import load_registries

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "results/published/README.md"]
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_relative_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)\)", page.read_text(encoding="utf-8"))
    lost = [t for t in targets if "://" not in t and not (page.parent / t).exists()]
    assert not lost


def block(page: str, language: str) -> str:
    """The first fenced block of ``language``."""
    found = re.search(
        rf"^```{language}\n(.*?)^```", (ROOT / page).read_text(), re.DOTALL | re.MULTILINE
    )
    assert found is not None
    return found[1]


def test_the_method_of_contributing_works(tmp_path: Path) -> None:
    plugin = tmp_path / "focal.py"
    plugin.write_text(block("CONTRIBUTING.md", "python"))
    focal = load_registries([str(plugin)]).methods.get("focal").cls
    method = focal(torch.tensor([5, 3, 1]), focal.hyper_type(gamma=2.0))
    logits = torch.tensor([[[2.0, 0.0, -1.0]], [[0.0, 1.0, 0.5]]])
    p = F.softmax(logits[:, 0].double(), dim=1)[torch.arange(2), torch.tensor([0, 2])]
    expected = (-((1 - p) ** 2) * p.log()).mean()
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


def test_commands_named_in_the_readme_exist() -> None:
    from ltbench.cli import COMMANDS

    named = set(re.findall(r"ltbench ([a-z]+)", (ROOT / "README.md").read_text()))
    assert named <= set(COMMANDS)
    assert set(COMMANDS) <= named
