"""The file that ``ltbench new source`` writes, and its test."""

PLUGIN = '''"""@TITLE@: one line on which images they are.

In a protocol: [data] source = "@NAME@", classes = 3, image_size = 8, and [data.options] as below.
"""

from dataclasses import dataclass

import numpy as np

from ltbench import DataSource, Hyper
from ltbench.data.found import from_arrays  # from_files and from_items are there, too
from ltbench.settings import setting


@dataclass(frozen=True)
class @CLASS@Options(Hyper):
    noise: float = setting(40.0, low=0, help="standard deviation of the grey values")


class @CLASS@(DataSource[@CLASS@Options]):
    """Three classes, each a grey value of its own with noise."""

    name = "@NAME@"
    title = "@TITLE@"
    licence = "CC0"  # of the images, as their authors state it
    # url = "https://..."  # where they come from
    hyper_type = @CLASS@Options
    # requires = ("package",)  # import it in find(); the name is told where it is missing
    # needs_folder = True  # and expects = "what it must hold": the user names it with --data-dir

    # def download(self, folder, report):  # fetch into folder; find() is then given it
    #     ltbench.data.download.download(url, folder / "file", md5, report)

    def find(self, folder, config, options):
        """Where the images are, without reading one; None where they are not here."""

        def draw(rng, each):
            labels = np.repeat(np.arange(3), each)
            grey = 60 + 60 * labels[:, None, None, None]
            pixels = rng.normal(grey, options.noise, (len(labels), 3, 8, 8))
            return pixels.clip(0, 255).astype(np.uint8), labels

        def read():
            """Training and test images uint8 (N, 3, H, W), each with labels (N,)."""
            rng = np.random.default_rng(0)
            return draw(rng, 100), draw(rng, 20)

        return from_arrays(read, ["dark", "grey", "light"], origin="drawn by @MODULE@.py")
'''

TEST = '''"""@TITLE@ keeps the contract, and has the images that a protocol asks for."""

from pathlib import Path

import pytest

from ltbench.contract.check import checks_of
from ltbench.data.sources import is_ready, open_data
from ltbench.protocol.protocol import DataConfig

FILE = Path(__file__).with_name("@MODULE@.py")
CONFIG = DataConfig("@NAME@", classes=3, image_size=8)


@pytest.mark.parametrize("check", checks_of(FILE, advice=False), ids=str)
def test_contract(check):
    check()


def test_it_has_the_classes_and_the_size_that_it_says():
    if not is_ready(CONFIG, plugins=[str(FILE)]):
        pytest.skip("the images are not here")
    splits = open_data(CONFIG, plugins=[str(FILE)])
    assert splits.train.read([0]).shape == (1, 3, 8, 8)
    assert splits.train.labels.max() == splits.test.labels.max() == 2


# Worth adding: the class of an image that you know, so that a shifted label does not go unseen.
'''
