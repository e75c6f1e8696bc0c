"""A method that is not known here, while trials of it lie in the results."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from ltbench import load_model
from ltbench.errors import InputError
from ltbench.execute.plugin_hint import plugin_hint

CommandLine = Callable[..., CompletedProcess[str]]
SETTINGS = ["--protocol", "digits-lt", "--set", "recipe.epochs=1", "--seeds", "1"]
OWN = """
from torch.nn import functional as F
from ltbench import Method

class Own(Method):
    name, title = "own", "a method of one's own"
    def loss(self, logits, targets, *, progress, rng=None):
        return F.cross_entropy(logits[:, 0], targets)
    def bias(self):
        return (self.counts / self.counts.sum()).log()[None] * 0
"""


def test_the_hint_names_the_file_that_trained_it(ltbench_here: CommandLine, tmp_path: Path) -> None:
    plugin, results = tmp_path / "my own.py", tmp_path / "results"
    plugin.write_text(OWN)
    trained = ["run", "--methods", "own+none", *SETTINGS, "--plugin", plugin]
    assert ltbench_here(*trained, "--results", results).returncode == 0
    asked = ["evaluate", "--methods", "own+tilt", *SETTINGS, "--results", results]
    done = ltbench_here(*asked)
    assert done.returncode == 2
    assert done.stderr == (
        f"Error: unknown method 'own': trials of it lie in {results}/digits-lt/own; "
        f"add --plugin '{plugin}'\n"
    )
    assert ltbench_here(*asked, "--plugin", plugin).returncode == 0
    moved = plugin.rename(tmp_path / "elsewhere.py")
    done = ltbench_here("run", *asked[1:])
    assert done.returncode == 2
    assert f"add --plugin '{plugin}' (not there now: name the file where it lies)" in done.stderr
    other = ltbench_here("evaluate", "--methods", "owm", *SETTINGS, "--results", results)
    assert "unknown method 'owm' (known: " in other.stderr  # no trial of that name
    (trial,) = results.glob("digits-lt/own/*")
    with pytest.raises(InputError, match=r"comes from .*my own\.py; load_model\(\.\.\., plugins="):
        _ = load_model(trial).method
    assert load_model(trial, plugins=[str(moved)]).method.name == "own"


def test_a_method_of_a_package_is_not_a_file() -> None:
    hint = plugin_hint("own", "lt-extra 1.0 (lt_extra.own:Own)")
    assert re.search(r"comes from lt-extra 1\.0 .*not installed here", hint)
