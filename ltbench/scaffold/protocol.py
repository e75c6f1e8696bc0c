"""The file that ``ltbench new protocol`` writes, and its test."""

PLUGIN = """# @NAME@: one line on what it is for.
#
#   ltbench run --methods ce,sade --protocol @MODULE@.toml
#
# States what differs from the protocol it extends; without `extends` every section is your own
# (docs/own-images.md has one for a folder of images). `ltbench show @MODULE@.toml` prints the rest.

extends = "digits-lt"
name = "@NAME@"
version = "1.0"          # raise it when its rules change: scores of one version are comparable
title = "@TITLE@"
seeds = [0]

[train]
imbalance = 20           # largest over smallest training class

[groups]                 # many-shot classes have more, few-shot fewer training images
many_above = 40
few_below = 15

[test]
ratios = [2, 10]         # imbalance of the forward and backward test sets
draws = 5                # of each; uniform is always there

[recipe]
epochs = 40

# [methods.sade]         # hyper-parameters of one method under this protocol
# tau = 1.0
# [methods.sade.recipe]  # and its recipe
# lr = 0.02
"""

TEST = '''"""@TITLE@ keeps the contract, and its training set is the one that was meant."""

from pathlib import Path

import pytest

from ltbench import load_protocol
from ltbench.contract.check import checks_of
from ltbench.data.sources import open_data
from ltbench.task import build_task

FILE = Path(__file__).with_name("@MODULE@.toml")


@pytest.mark.parametrize("check", checks_of(FILE, advice=False), ids=str)
def test_contract(check):
    check()


def test_the_training_set_is_the_one_that_was_meant():
    protocol = load_protocol(str(FILE))
    task = build_task(protocol, open_data(protocol.data))
    assert task.train.counts.tolist() == [100, 71, 51, 36, 26, 18, 13, 9, 6, 5]
    assert {test_set.name for test_set in task.test_sets if test_set.ratio} == {
        *("forward10", "forward2", "backward2", "backward10")
    }
'''
