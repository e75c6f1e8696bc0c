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

TEST = '''"""@TITLE@ keeps the contract, and its sets are those that it asks for."""

from pathlib import Path

import pytest

from ltbench import load_protocol
from ltbench.contract.check import checks_of
from ltbench.data.sources import is_ready, open_data
from ltbench.task import build_task

FILE = Path(__file__).with_name("@MODULE@.toml")


@pytest.mark.parametrize("check", checks_of(FILE, advice=False), ids=str)
def test_contract(check):
    check()


def test_every_class_is_trained_on_and_every_test_set_has_images():
    protocol = load_protocol(str(FILE))
    if not is_ready(protocol.data):
        pytest.skip("`ltbench data prepare @MODULE@.toml` gets the images")
    task = build_task(protocol, open_data(protocol.data))
    assert len(task.train.counts) == protocol.data.classes
    assert task.train.counts.min() >= 1
    for test_set in task.test_sets:
        assert len(test_set.indices(task.splits.test.labels, 0)) > 0


# Worth adding: the counts that you mean, so that a change of a number does not go unseen.
'''
