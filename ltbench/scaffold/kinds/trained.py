"""The test of a method whose idea is more than a loss of logits: the contract, and a short training."""

TEST = '''"""@TITLE@ keeps the contract, and a short training learns."""

from pathlib import Path

import pytest

import ltbench
from ltbench.contract.check import checks_of

FILE = Path(__file__).with_name("@MODULE@.py")


@pytest.mark.parametrize("check", checks_of(FILE, advice=False), ids=str)
def test_contract(check):
    check()


def test_a_short_training_learns(tmp_path):
    """A tenth of the epochs of digits-lt; ten classes, of which a guess hits one in ten."""
    short = {"recipe.epochs": 4, "test.draws": 1, "test.ratios": [2]}
    where = {"plugins": [str(FILE)], "results": tmp_path / "results"}
    ltbench.run("@NAME@+none", "digits-lt", seeds=1, quiet=True, **where, **short)
    found = ltbench.load_results(tmp_path / "results")
    mine = found[(found["method"] == "@NAME@") & (found["strategy"] == "none")]
    assert (mine["top1"] > 20).all()
    assert set(mine["kind"]) >= {"forward", "uniform", "backward"}


# Worth adding: @WORTH@
'''
