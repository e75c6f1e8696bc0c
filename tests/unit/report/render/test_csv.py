"""Every CSV of a report holds numbers that other programs read as numbers."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ltbench.report.build import build_report
from ltbench.report.page import picture
from ltbench.report.records.read import read_records
from ltbench.report.render.text import csv_text, render_csv
from ltbench.report.rows.sections import build_sections
from ltbench.report.rows.summary import Summary
from ltbench.report.tables.all import build_tables
from ltbench.report.tables.overview import build_overview, overview_table
from ltbench.report.tables.table import Block, Column, Shown, Table

from ..builder import Results, flat
from ..rows.test_streams import add_stream, early

TEXT = {
    *("method", "second", "test", "group", "source", "device", "block", "arrival", "order"),
    *("predicts", "distribution", "class_name", "measure", "uses_true_prior"),
}
TABLES = {
    *("main", "first-draw", "groups", "experts-groups", "experts-shift", "partial", "families"),
    *("expert-weights", "adaptation", "exact", "streams", "priors", "stability", "pairs"),
    *("test-images", "seeds-and-images", "quoted", "cost", "overall", "classes"),
}


def change(path: Path, **of_draw: Any) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(path.read_text())
    for entry in record["distributions"].values():
        for draw in entry["draws"].values():
            draw.update(of_draw)
    for k in range(2):
        record["distributions"][f"permuted50-{k}"] = {
            "definition": {"kind": "permuted", "ratio": 50.0, "counts": [1, 2, 3, 4]},
            "draws": {"0": {"n": 10, "top1": 30.0 + k}},
        }
    path.write_text(json.dumps(record))
    return record


def rich(root: Path) -> None:
    """All kinds of tables; infinite, missing, unknown and uneven values in them."""
    for protocol, test_data in (("cifar100-lt", "11"), ("digits-lt", "22")):
        results = Results(root, protocol=protocol, test_data=test_data, images=30, ratios=(10, 50))
        for seed in range(4):
            for method in ("ce", "sade"):
                shift = 5.0 * (method == "sade") + seed
                own: dict[str, Any] = {"training": method, "experts": 3}
                path = results.add(
                    *(method, seed, flat(50 + shift)),
                    recall=lambda c, s: None if c == 3 else 50.0,  # a group without images
                    agreement=lambda e, g: None if g == "few" else 0.9,
                    **own,
                )
                change(path, ece=None) if seed == 0 else change(path)
                if seed < 3 or method == "ce":  # uneven numbers of seeds
                    path = results.add(
                        *(method, seed, flat(40 + shift)),
                        strategy="em",
                        weights=lambda n, s, d: [0.2, 0.3, 0.5],
                        prior=lambda n, s, d: [0.4, 0.3, 0.2, 0.1],
                        bias={"kind": "closed-form"},
                        **own,
                    )
                    change(
                        path,
                        nll=None if seed else 2.0,
                        prior_error={"l1": 0.2, "kl": None if seed else 0.1},
                        exact={"top1": 47.0, "se": 0.5},
                    )
                    hits = {"random": early(10 + seed), "drifting": early(20)}
                    if protocol == "digits-lt":
                        add_stream(path, "single", hits)
                change(results.add(method, seed, flat(60), strategy="oracle", oracle=True, **own))
            if seed < 2:
                path = results.add(
                    *("ce", seed, flat(45)), strategy="tent", first_draw_only=True, **own
                )
                trial = path.parent.parent / "trial.json"
                record = json.loads(trial.read_text())
                record["cost"] = {"epochs": 3 + seed}
                trial.write_text(json.dumps(record))
        results.fail("ride", 0)


@pytest.fixture(scope="module")
def report(svg_alone: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("rich")
    rich(root)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(picture, "to_svg", lambda drawing, prefix: "")  # nobody looks at the page
        return build_report(root).output


def test_every_number_of_every_table_and_figure_is_a_number(report: Path) -> None:
    files = sorted(report.rglob("*.csv"))
    assert {f.stem for f in files if f.parent.name == "tables"} == TABLES
    infinite = 0
    for file in files:
        # What R, DuckDB or a spreadsheet would do: nothing but an empty cell is missing.
        frame = pd.read_csv(file, na_values=[""], keep_default_na=False)
        assert len(frame)
        for name in frame.columns:
            if name not in TEXT:
                assert frame[name].dtype.kind in "if", f"{file} {name}: {set(frame[name])}"
                infinite += int(np.isinf(frame[name].to_numpy(dtype=float)).sum())
    assert infinite


def test_every_caption_says_the_number_of_seeds(report: Path) -> None:
    sections = build_sections(read_records(report.parent))[0]
    overview = build_overview(sections)
    assert overview is not None
    tables = [table for section in sections for table in build_tables(section, "9")]
    tables.append(overview_table(overview, "9"))
    assert {table.name for table in tables} == TABLES
    for table in tables:
        assert re.search(r"\bn = [1-4]( to [1-4])?\b", table.caption), (table.name, table.caption)


def test_infinite_and_not_measured_are_told_apart(report: Path) -> None:
    (file,) = report.glob("cifar100-lt/tables/groups.csv")
    frame = pd.read_csv(file, keep_default_na=False).set_index("method")
    assert frame.loc["ce+em", "nll"] == "inf"
    assert frame.loc["ce+em", "nll_half_width"] == ""
    assert frame.loc["ce", "few"] == ""  # n/a: not measured
    assert float(frame.loc["ce", "nll"]) == 1.0


def test_printed_and_stored_are_two_things() -> None:
    columns = (
        Column("method", "Method", text=True),
        Column("n", "n", plain=True),
        Column("p", "p", plain=True),
        Column("x", "X"),
    )
    lines = (
        ("a", Shown("3–5", 3), Shown("<0.001", 2.5e-7), Summary(np.float64(2.5), None, 0)),
        ("n/a", 1, None, "n/a"),
        ("b", 1, None, Summary(math.inf, None, 3)),
        ("c", 1, None, Shown("3/30", 3, 30)),
    )
    text = render_csv(Table("t", "T", "", columns, (Block(lines),)))
    assert text.splitlines() == [
        "method,n,p,x,x_half_width,x_n",
        "a,3,2.5e-07,2.5,,",
        "n/a,1,,,,",
        "b,1,,inf,,3",
        "c,1,,3,,30",
    ]


def test_text_cannot_enter_a_column_of_numbers() -> None:
    with pytest.raises(ValueError, match=r"text '<0\.001' in column p"):
        Table("t", "T", "", (Column("p", "p"),), (Block((("<0.001",),)),))


def test_numbers_of_numpy_and_nan_are_written_plainly() -> None:
    assert csv_text([[np.float64(0.1), math.nan, None, -math.inf, 3]]) == "0.1,,,-inf,3\n"
