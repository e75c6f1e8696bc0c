"""What lists and pages say of a method is read from its class."""

from __future__ import annotations

from pathlib import Path

import pytest

from ltbench.contract.facts import Facts, carried_powers, facts, prior_kind
from ltbench.registry import load_registries

PLUGIN = """
import torch
from ltbench import Architecture, Method, Phase
from ltbench.method import Parent, log_prior


class Much(Method):
    name, title = "much", "Much"

    def parent(self):
        return Parent("crt", role="teacher")

    def phases(self):
        return (
            Phase(share=1.0, views=("strong",)),
            Phase(share=1.0, views=("recipe", "strong", "strong"), second=0.0),
        )

    def loss(self, logits, targets, *, progress, rng=None):
        return logits.sum()

    def advance(self, descend, optimizer):
        for _ in range(3):
            loss = descend()
        optimizer.step()
        return loss

    def bias(self):
        return 0.5 * log_prior(self.counts)[None] + 7


class Bent(Much):
    name, title = "bent", "Bent"

    def bias(self):
        return log_prior(self.counts)[None] ** 2


class Referred(Much):
    name, title = "referred", "Referred"

    def bias(self):
        return None

    def reference_bias(self):
        return log_prior(self.counts)[None]
"""


def test_needs_and_cost(tmp_path: Path) -> None:
    file = tmp_path / "much.py"
    file.write_text(PLUGIN)
    registries = load_registries([str(file)])
    found = facts("much", registries)
    assert found.needs == "crt as teacher, 3 views (2 strong), 2 streams, 3 passes"
    # half the epochs one view, half three, each with three passes and the teacher's forward one, a third
    # of a pass; then cRT, which stands on ce
    assert found.cost == pytest.approx((3 + 1 / 3) * (1 + 3) / 2)
    crt = facts("crt", registries)
    assert found.with_parent == pytest.approx(found.cost + crt.cost + 1)
    assert (found.experts, found.stages) == (1, 2)
    plain = facts("logit-adjustment", registries)
    assert plain == Facts(1, 1, 0, 1, None, 1, 1, cost=1.0, with_parent=1.0)
    assert plain.needs == ""


def test_priors(tmp_path: Path) -> None:
    file = tmp_path / "much.py"
    file.write_text(PLUGIN)
    registries = load_registries([str(file)])
    kinds = {"ce": "exact", "vs": "posterior", "ride": "reference", "tau-norm": "none"}
    assert {name: prior_kind(name, registries) for name in kinds} == kinds
    assert prior_kind("referred", registries) == "reference"
    assert carried_powers("much", registries) == pytest.approx((0.5,), abs=1e-6)
    assert carried_powers("bent", registries) is None
    assert carried_powers("referred", registries) is None
    assert carried_powers("sade", registries) == pytest.approx((1, 0, -2), abs=0.05)
