"""F15, F22: names and values that are refused before any work; F16, F24: what a report sets apart."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from ltbench.errors import InputError
from ltbench.report.build import build_report
from tests.unit.report.builder import Results, flat

CommandLine = Callable[..., CompletedProcess[str]]
METHOD = """
from ltbench import Method
class Mine(Method):
    name, title = {name!r}, "mine"
    def loss(self, logits, targets, *, progress, rng=None):
        return logits.sum()
"""


def files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


def refused(done: CompletedProcess[str], expected: str) -> None:
    assert done.returncode == 2, done.stdout
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert re.search(expected, line), line


@pytest.mark.parametrize("name", ["../x", "a/b", "CON", "x" * 300, "gr\u00f6\u00dfe", "..", "a\\b"])
def test_f15_names_that_are_no_names_of_folders(
    name: str, ltbench_here: CommandLine, tmp_path: Path
) -> None:
    plugin = tmp_path / "mine.py"
    plugin.write_text(METHOD.format(name=name), encoding="utf-8")
    before = files(tmp_path)
    words = ["run", "--methods", name, "--protocol", "digits-lt", "--plugin", plugin]
    done = ltbench_here(*words, "--results", tmp_path / "deep" / "results")
    refused(done, r"mine\.py.* is not usable")
    assert files(tmp_path) == before


WRONG = {
    "--set recipe.epoch=3": r"recipe has no 'epoch' .*did you mean 'epochs'\?",
    "--set recipe.epochs=many": r"recipe\.epochs = 'many' must be a whole number",
    "--imbalance 0": r"imbalance = 0.* must be at least 1",
    "--test-ratios 0": r"ratios = 0.* must be greater than 1",
    "--set recipe.epochs=0": r"epochs = 0 must be at least 1",
    "--seeds 0,0": r"must differ from one another",
}


@pytest.mark.parametrize("options", WRONG)
def test_f22_wrong_values(options: str, ltbench_here: CommandLine, tmp_path: Path) -> None:
    words = ["run", "--methods", "ce", "--protocol", "digits-lt", *options.split()]
    refused(ltbench_here(*words, "--results", tmp_path / "results"), WRONG[options])
    assert not files(tmp_path)


@pytest.mark.parametrize(
    ("methods", "protocol", "expected"),
    [
        ("", "digits-lt", "the list is empty"),
        ("sad", "digits-lt", r"did you mean 'sade'\?"),
        ("ce", "digit-lt", r"did you mean 'digits-lt'\?"),
    ],
)
def test_f22_wrong_names(
    methods: str, protocol: str, expected: str, ltbench_here: CommandLine, tmp_path: Path
) -> None:
    words = ["run", "--methods", methods, "--protocol", protocol, "--results", tmp_path / "results"]
    refused(ltbench_here(*words), expected)
    assert not files(tmp_path)


def test_f16_diverged_seeds_are_counted_in_the_table_and_not_averaged(tmp_path: Path) -> None:
    results = Results(tmp_path)
    for seed in range(3):
        results.add("ce", seed, flat(50))
    for seed in (3, 4):
        results.fail("ce", seed)
    (section,) = build_report(tmp_path, figures=False).sections
    text = (section / "tables" / "main.md").read_text(encoding="utf-8")
    assert "2/5 diverged" in text
    assert "50.0" in text


MIXED = {
    "variant": {"variant": "recipe.epochs=40"},
    "version": {"version": "2.0"},
    "training data": {"data": "cccccc"},
    "test data": {"test_data": "dddddd"},
    "precision": {"precision": "bf16"},
}


@pytest.mark.parametrize("what", MIXED)
def test_f24_other_conditions_are_apart_footnoted_and_refused_by_strict(
    what: str, tmp_path: Path
) -> None:
    Results(tmp_path).add("ce", 0, flat(50))
    Results(tmp_path, **MIXED[what]).add("ce", 1, flat(90))  # type: ignore[arg-type]
    outcome = build_report(tmp_path, figures=False)
    texts = [(s / "tables" / "main.md").read_text(encoding="utf-8") for s in outcome.sections]
    assert len(texts) == 2
    assert not any("70.0" in text for text in texts)  # the mean of both
    assert all("not merged with" in text and what in text for text in texts)
    with pytest.raises(InputError, match=f"--strict: .* differ in .*{what}"):
        build_report(tmp_path, figures=False, strict=True)
