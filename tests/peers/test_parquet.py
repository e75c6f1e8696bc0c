"""results.parquet and the tidy frame, as pandas and pyarrow read them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet
import pytest

from ltbench import load_results
from ltbench.report.build import build_report

from .table import Ledger

PUBLISHED = Path(__file__).resolve().parents[2] / "results" / "published"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("report")
    build_report(PUBLISHED, figures=False, output=output)
    return output / "results.parquet"


def values_apart(one: pd.DataFrame, other: pd.DataFrame) -> int:
    """How many values differ, missing ones being equal; columns and rows are the same."""
    assert list(one) == list(other)
    assert len(one) == len(other) > 0
    return sum(
        not (a is b or a == b or (pd.isna(a) and pd.isna(b)))
        for name in one
        for a, b in zip(plain(one[name]), plain(other[name]), strict=True)
    )


def plain(column: pd.Series) -> list[object]:
    return [v.tolist() if isinstance(v, np.ndarray) else v for v in column.tolist()]


def test_results(written: Path, ledger: Ledger) -> None:
    frame = load_results(PUBLISHED)
    apart = values_apart(frame, pd.read_parquet(written))
    ledger.record("values of results.parquet and load_results", "pandas", apart)
    rows = pd.DataFrame(pyarrow.parquet.read_table(written).to_pylist(), columns=list(frame))
    ledger.record(
        "values of results.parquet and load_results", "pyarrow", values_apart(frame, rows)
    )
