"""The published line of each method comes from a run of the code as it is."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import ltbench
from ltbench.errors import InputError
from ltbench.registry import load_registries

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "results/published/all-methods/digits-lt.md"
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


def test_the_page_shows_the_numbers_beside_it(page: ModuleType) -> None:
    data = json.loads(PAGE.with_suffix(".json").read_text(encoding="utf-8"))
    del data["title"]
    assert page.rendered(data).markdown() == PAGE.read_text(encoding="utf-8"), AGAIN
    assert len(data["rows"]) >= 17


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


def test_a_run_gives_the_published_numbers(page: ModuleType, tmp_path: Path) -> None:
    """``ce`` once more, seed 0; other machines and versions differ in a few of 500 images."""
    ltbench.run("ce", "digits-lt", seeds=1, results=tmp_path, quiet=True)
    (row,) = page.measure(tmp_path, "digits-lt").data["rows"]
    frame = ltbench.load_results(tmp_path)
    of_run = frame[frame["label"] == "ce"].set_index("distribution")["top1"]
    assert row["top1"] == {name: round(value, 4) for name, value in of_run.items()}
    assert row["top1"]["uniform"] == pytest.approx(published()["ce"]["top1"]["uniform"], abs=2)
    assert row["trial"] == published()["ce"]["trial"]
    ltbench.run("ce", "digits-lt", seeds=[1], results=tmp_path, quiet=True)
    with pytest.raises(InputError, match="more than one trial of ce"):
        page.measure(tmp_path, "digits-lt")
    with pytest.raises(InputError, match="has no method of cifar100-lt"):
        page.measure(tmp_path, "cifar100-lt")
