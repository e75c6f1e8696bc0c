"""Trainings that start from or learn from another one: trained once, in order, named in the identity."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from ltbench import load_model, plan_trials, run
from ltbench.errors import InputError
from tests.in_process import without_workers

SHORT = {
    "recipe": {"epochs": 1},
    "test": {"ratios": [2], "draws": 1, "partial": False},
    "views": {"pairs": 1},
}
PLUGINS = '''
import torch
from torch import nn
from torch.nn import functional as F
from ltbench import Method, Phase
from ltbench.method import Images, Parent

class Scaled(nn.Module):
    def __init__(self, head, classes):
        super().__init__()
        self.head, self.scales = head, nn.Parameter(torch.ones(classes))

    def forward(self, x):
        return self.scales * self.head(x)

class Scales(Method):
    """CE of s_j (W f + b)_j, s alone learning."""
    name, title = "scales", "Scales"

    def parent(self):
        return Parent("crt", {"lr": 0.5})

    def build(self, network):
        head = next(network.heads())
        head.requires_grad_(False)
        network.set_head(0, Scaled(head, len(self.counts)))

    def phases(self):
        return (Phase(train="heads", batchnorm="adapted", sampler=0.0),)

    def loss(self, logits, targets, *, progress, rng=None):
        return F.cross_entropy(logits[:, 0], targets)

class Pupil(Method):
    """CE, and the teacher's probabilities."""
    name, title = "pupil", "Pupil"

    def parent(self):
        return Parent("ce", role="teacher")

    def mix(self, first, second, draws):
        with torch.no_grad():
            taught = self.teacher(first.pixels).mean(1)
        return Images(first.pixels, first.targets, (taught,))

    def objective(self, seen):
        own = seen.logits[0, :, 0]
        return F.cross_entropy(own, seen.targets) + F.cross_entropy(own, seen.notes[0].softmax(1))
'''


@pytest.fixture(scope="module", autouse=True)
def here() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        without_workers(patch)
        yield


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("plugins") / "family.py"
    file.write_text(PLUGINS)
    return file


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory, plugin: Path) -> Path:
    folder = tmp_path_factory.mktemp("results")
    outcome = run(
        "tau-norm,scales,pupil", "digits-lt", seeds=1, results=folder, plugins=plugin, jobs=1, **SHORT
    )  # fmt: skip
    assert not outcome.failures
    return folder


def record(results: Path, name: str) -> dict[str, Any]:
    (path,) = results.glob(f"digits-lt/{name}/0-*/trial.json")
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def test_parents_are_trained_first_and_once(results: Path) -> None:
    assert {p.parent.parent.name for p in results.glob("digits-lt/*/*/trial.json")} == {
        "ce", "crt", "scales", "tau-norm", "pupil",
    }  # fmt: skip
    ce, crt = record(results, "ce"), record(results, "crt")
    assert "parent" not in ce
    assert "parent" not in ce["identity"]
    assert crt["identity"]["parent"] == {"role": "start", "trial": ce["trial"]}
    scales = record(results, "scales")
    assert scales["parent"]["trial"] == crt["trial"]
    assert scales["parent"]["parent"]["trial"] == ce["trial"]
    assert ce["created"] < crt["created"] < scales["created"]
    assert record(results, "pupil")["identity"]["parent"]["role"] == "teacher"


def test_a_head_that_follows_from_features_costs_no_training(results: Path) -> None:
    found = record(results, "tau-norm")
    assert found["cost"]["epochs"] == 0
    assert "final_loss" not in found
    (folder,) = results.glob("digits-lt/tau-norm/0-*")
    (parent,) = results.glob("digits-lt/ce/0-*")
    one, other = (load_model(f).network.state_dict() for f in (folder, parent))
    for name, value in other.items():
        if ".head." not in name:
            assert torch.equal(one[name], value), name
    weight = other["experts.0.head.weight"]
    expected = weight / weight.norm(dim=1, keepdim=True) ** 0.7
    torch.testing.assert_close(one["experts.0.head.weight"], expected)
    assert not one["experts.0.head.bias"].any()


def test_what_was_built_is_loaded_again(results: Path, plugin: Path) -> None:
    (folder,) = results.glob("digits-lt/scales/0-*")
    model = load_model(folder, plugins=plugin)
    images = torch.randint(256, (5, 3, 8, 8), dtype=torch.uint8)
    assert model(images).shape == (5, 1, 10)
    assert not torch.equal(model.network.state_dict()["experts.0.head.scales"], torch.ones(10))
    (parent,) = results.glob("digits-lt/crt/0-*")
    before = load_model(parent).network.state_dict()
    after = model.network.state_dict()
    assert torch.equal(before["experts.0.head.weight"], after["experts.0.head.head.weight"])
    assert torch.equal(before["conv.weight"], after["conv.weight"])
    assert not torch.equal(before["bn.running_mean"], after["bn.running_mean"])
    with pytest.raises(InputError, match="unknown method 'scales', which made modules"):
        load_model(folder)


def test_a_finished_child_needs_its_parent_no_more(
    results: Path, plugin: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "results"
    shutil.copytree(results, copy)
    shutil.rmtree(copy / "digits-lt" / "ce")
    shutil.rmtree(copy / "digits-lt" / "scales")
    plan = plan_trials("scales", "digits-lt", seeds=1, results=copy, plugins=plugin, **SHORT)
    assert list(plan.training) == ["scales"]
    shutil.rmtree(copy / "digits-lt" / "crt")
    plan = plan_trials("scales", "digits-lt", seeds=1, results=copy, plugins=plugin, **SHORT)
    assert list(plan.training) == ["ce", "crt[lr=0.5]", "scales"]
    assert list(plan["rows"]) == [0, 0, 1]


def test_a_child_whose_parent_lacks_its_weights_says_so(
    results: Path, plugin: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "results"
    shutil.copytree(results, copy)
    shutil.rmtree(copy / "digits-lt" / "tau-norm")
    (weights,) = copy.glob("digits-lt/ce/0-*/weights.safetensors")
    weights.unlink()
    outcome = run("tau-norm", "digits-lt", seeds=1, results=copy, jobs=1, **SHORT)
    (failure,) = outcome.failures
    assert failure.error.startswith("tau-norm starts from ce seed 0, and ")
    assert "is missing" in failure.error
    assert "\n" not in failure.error


def test_a_child_whose_parent_failed_says_so(tmp_path: Path) -> None:
    outcome = run(
        "crt", "digits-lt", seeds=1, results=tmp_path, jobs=1, recipe={"epochs": 2, "lr": 1e30}
    )
    parent, child = outcome.failures
    assert parent.label == "ce seed 0"
    assert child.error.startswith(
        "crt starts from ce seed 0, which failed: method 'ce': loss is nan"
    )
    assert "\n" not in child.error
