"""The tables of docs/ensembles.md are those of the published records."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

import pandas as pd
import pytest

from ltbench import load_results

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "ensembles.md").read_text(encoding="utf-8")
LINE = re.compile(r"^\| `([^`]+)`(?: \(`stability`\))? \| (.+) \|$", re.MULTILINE)


@lru_cache(maxsize=1)
def results() -> pd.DataFrame:
    return load_results(ROOT / "results" / "published")


def mean(protocol: str, label: str, kinds: tuple[str, ...]) -> float:
    frame = results()
    chosen = frame[
        (frame["protocol"] == protocol) & (frame["label"] == label) & frame["kind"].isin(kinds)
    ]
    assert len(chosen), label
    return float(chosen.groupby("seed")["top1"].mean().mean())


SHIFTS = ("forward", "uniform", "backward")
FULL, DIGITS = PAGE.split("## Digits-LT")


def lines(text: str) -> list[tuple[str, list[str]]]:
    return [(name, cells.split(" | ")) for name, cells in LINE.findall(text)]


@pytest.mark.parametrize(("label", "cells"), lines(FULL))
def test_the_full_budget(label: str, cells: list[str]) -> None:
    _, whole, partial = cells
    assert whole == f"{mean('cifar100-lt', label, SHIFTS):.1f}"
    assert partial == f"{mean('cifar100-lt', label, ('partial',)):.1f}"


@pytest.mark.parametrize(("label", "cells"), lines(DIGITS))
def test_digits(label: str, cells: list[str]) -> None:
    rows = [label, f"3*{label}", f"3*{label}+em", f"3*{label}+tilt", f"3*{label}+oracle"]
    for row, cell in zip(rows, cells, strict=True):
        assert cell == "–" or cell == f"{mean('digits-lt', row, SHIFTS):.1f}"


def test_the_tables_are_found() -> None:
    assert len(lines(FULL)) == 10
    assert len(lines(DIGITS)) == 3
    frame = results()
    replicates = frame[(frame["protocol"] == "digits-lt") & (frame["label"] == "3*ce+tilt")]
    assert sorted(replicates["seed"].unique()) == [2, 3, 4, 5, 6]
