"""The published line of each method comes from a run of the code as it is."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest

import ltbench
from ltbench.errors import InputError
from ltbench.registry import load_registries
from tests.in_process import without_workers

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "results/published/all-methods/digits-lt.md"
FROZEN = ROOT / "results/published/all-methods/cifar100-lt-frozen.md"
AGAIN = "`make all-methods` makes it again"


@pytest.fixture(autouse=True)
def page(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The benchmarks stand beside the package and are not installed."""
    monkeypatch.syspath_prepend(str(ROOT))
    from benchmarks import all_methods

    yield all_methods
    for name in [n for n in sys.modules if n == "benchmarks" or n.startswith("benchmarks.")]:
        del sys.modules[name]


def published() -> dict[str, dict[str, object]]:
    data = json.loads(PAGE.with_suffix(".json").read_text(encoding="utf-8"))
    return {row["method"]: row for row in data["rows"]}


@pytest.mark.parametrize("file", [PAGE, FROZEN], ids=["digits-lt", "cifar100-lt-frozen"])
def test_a_page_shows_the_numbers_beside_it(page: ModuleType, file: Path) -> None:
    data = json.loads(file.with_suffix(".json").read_text(encoding="utf-8"))
    del data["title"]
    assert page.rendered(data).markdown() == file.read_text(encoding="utf-8"), AGAIN
    assert len(data["rows"]) >= 17


def test_a_page_has_the_test_sets_that_all_rows_share(page: ModuleType) -> None:
    """The sentence about the run stands below, and in the numbers beside the page."""
    rows = [
        {"method": "a", "strategy": "none", "seed": 0, "top1": {"forward50": 1.0, "uniform": 2.0}},
        {"method": "b", "strategy": "none", "seed": 0, "top1": {"uniform": 3.0, "forward20": 4.0}},
    ]
    found = page.rendered({"protocol": "p", "about": "Of one encoder.", "rows": rows})
    assert found.columns == ("method (strategy)", "uniform")
    assert found.rows == (("a", "2.0"), ("b", "3.0"))
    assert found.notes[-1] == "Of one encoder."


def test_the_trials_are_those_of_the_methods_as_they_are(tmp_path: Path) -> None:
    """Methods that came later may lack a line; a line must be of the present code and settings."""
    planned = ltbench.plan_trials("all", "digits-lt", seeds=1, results=tmp_path)
    hashes = {
        label: trial
        for labels, trial in zip(planned["labels"], planned["trial"], strict=True)
        for label in labels.split(",")
    }
    methods = load_registries().methods.plugins
    for name, row in published().items():
        assert name in methods, AGAIN
        assert row["trial"] == hashes[name], (name, AGAIN)
        assert row["strategy"] == methods[name].cls.strategy, AGAIN


def test_a_run_gives_the_published_numbers(
    page: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``ce`` once more, seed 0; other machines and versions differ in a few of 500 images."""
    without_workers(monkeypatch)
    ltbench.run("ce", "digits-lt", seeds=1, results=tmp_path, quiet=True)
    (row,) = page.measure(tmp_path, "digits-lt").data["rows"]
    frame = ltbench.load_results(tmp_path)
    of_run = frame[frame["label"] == "ce"].set_index("distribution")["top1"]
    assert row["top1"] == {name: round(value, 4) for name, value in of_run.items()}
    assert row["top1"]["uniform"] == pytest.approx(published()["ce"]["top1"]["uniform"], abs=2)
    assert row["trial"] == published()["ce"]["trial"]
    twice = pd.concat([frame, frame.assign(trial="another", seed=1)])
    monkeypatch.setattr(page, "load_results", lambda results: twice)
    with pytest.raises(InputError, match="more than one trial of ce"):
        page.measure(tmp_path, "digits-lt")
    with pytest.raises(InputError, match="has no method of cifar100-lt"):
        page.measure(tmp_path, "cifar100-lt")
