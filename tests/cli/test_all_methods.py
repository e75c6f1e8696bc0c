"""``--methods all`` from end to end: every method that ltbench ships trains and is evaluated."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

import ltbench as package
from ltbench import load_results
from ltbench.errors import InputError
from ltbench.registry import load_registries
from tests.in_process import without_workers

CommandLine = Callable[..., CompletedProcess[str]]

FEW = {"train.max_count": 30, "train.imbalance": 15, "views.pairs": 1}
"""Three steps an epoch, one view for strategies that take views."""


@pytest.fixture(autouse=True)
def trials_here(monkeypatch: pytest.MonkeyPatch) -> None:
    without_workers(monkeypatch)


def test_all_methods_run_and_all_that_are_trained_are_evaluated(
    ltbench_here: CommandLine, tmp_path: Path
) -> None:
    quick = ["--protocol", "digits-lt", "--set", "recipe.epochs=2", "--set", "test.draws=1"]
    quick += ["--set", "test.ratios=2", "--set", "test.partial=false"]
    quick += [word for key, value in FEW.items() for word in ("--set", f"{key}={value}")]
    results = tmp_path / "results"
    folder = ["--results", results]
    done = ltbench_here("run", "--methods", "ce,sade", *quick, "--seeds", "1", *folder)
    assert done.returncode == 0, done.stdout + done.stderr
    some = ltbench_here("evaluate", "--methods", "all+em", *quick, "--seeds", "1", *folder)
    assert some.returncode == 0, some.stdout + some.stderr
    assert "left out: ride with seed 0 is not trained yet" in some.stdout
    assert {"ce+em", "sade+em"} <= set(load_results(results)["label"])
    done = ltbench_here("run", "--methods", "all", *quick, "--seeds", "1", *folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("left out") == 1
    assert "zero-shot is left out: method 'zero-shot' needs features of the class" in done.stdout
    names = load_registries().methods.plugins.keys() - {"zero-shot"}
    assert names <= set(load_results(results)["label"])
    named = ltbench_here("evaluate", "--methods", "all,ride", *quick, "--seeds", "2", *folder)
    assert named.returncode == 2  # seed 1 of what is named is missing
    assert "ride with seed 1 is not trained yet" in named.stderr


def test_python_says_what_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    short = {"recipe.epochs": 1, "test.draws": 1, "test.ratios": [2], **FEW}
    where = {"results": tmp_path, "seeds": 1, **short}
    package.run("ce", "digits-lt", quiet=True, **where)
    with pytest.raises(InputError, match="nothing is left under digits-lt: balanced-softmax"):
        package.evaluate_trials("all+stability", "digits-lt", quiet=True, **where)
    package.evaluate_trials("all+em", "digits-lt", quiet=False, **where)
    assert "note: tau-norm+em is left out: " in capsys.readouterr().out
    package.evaluate_trials("all+em", "digits-lt", quiet=True, **where)
    assert capsys.readouterr().out == ""
