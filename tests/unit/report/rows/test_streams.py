"""Stream records in the report: curves, table, figure, and damaged files."""

from __future__ import annotations

import base64
import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ltbench.report.figures.all import build_figures
from ltbench.report.figures.style import looks
from ltbench.report.page.picture import figure_files, save_files
from ltbench.report.records.read import read_records
from ltbench.report.rows.sections import Section, build_sections
from ltbench.report.rows.streams import cumulative, stream_rows, windowed
from ltbench.report.rows.summary import Summary
from ltbench.report.tables.stream import stream_table
from ltbench.report.tables.table import Table

from ..builder import Results, flat, write

N = 40


def add_stream(path: Path, arrival: str, hits: dict[str, list[bool]], **more: Any) -> Path:
    """Beside the evaluation at ``path``: the same bits for every distribution."""
    record = json.loads(path.read_text())
    orders = {
        order: {
            "n": len(bits),
            "top1": 100 * sum(bits) / len(bits),
            "correct": base64.b64encode(np.packbits(bits).tobytes()).decode(),
        }
        for order, bits in hits.items()
    }
    record["distributions"] = {
        name: {"definition": entry["definition"], "orders": orders}
        for name, entry in record["distributions"].items()
    }
    record |= {"arrival": arrival, "predicts": "after", "drift": 50.0, **more}
    return write(path.parent.parent / "streams" / f"{arrival.replace(':', '')}-{path.name}", record)


def early(right: int) -> list[bool]:
    return [i < right for i in range(N)]


def section_of(root: Path) -> Section:
    results = Results(root)
    for seed in range(2):
        path = results.add("sade", seed, flat(50), experts=3)
        hits = {"random": early(10 + 10 * seed), "drifting": early(30)}
        add_stream(path, "batch:64", hits)
        add_stream(path, "single", hits)
        path = results.add("ce", seed, flat(50), oracle=True, strategy="oracle")
        same = {"random": early(20), "drifting": early(20)[::-1]}
        add_stream(path, "batch:64", same, predicts="fixed")
    return build_sections(read_records(root))[0][0]


def rows_of(table: Table | None) -> dict[tuple[object, ...], tuple[Any, ...]]:
    assert table is not None
    return {row[:4]: row[4:] for block in table.blocks for row in block.rows}


def test_curves_by_hand() -> None:
    bits = np.array([1, 1, 0, 1, 0, 0, 0, 1, 1, 1], dtype=bool)
    assert cumulative(bits, 5).tolist() == [100.0, 75.0, 50.0, 50.0, 60.0]
    assert windowed(bits, 5).tolist() == [100.0, 50.0, 0.0, 50.0, 100.0]
    assert windowed(bits, 3).tolist() == pytest.approx([200 / 3, 100 / 3, 75.0])
    assert cumulative(bits[:2], 20).tolist() == [100.0, 100.0]  # fewer images than parts
    assert cumulative(bits, 20)[-1] == pytest.approx(100 * bits.mean())


def test_the_table_has_rows_by_arrival_and_order(tmp_path: Path) -> None:
    rows = rows_of(stream_table(section_of(tmp_path), "1"))
    assert list(rows) == [
        ("sade", "batch:64", "random", "after"),
        ("sade", "batch:64", "drifting", "after"),
        ("ce+oracle", "batch:64", "either", "fixed"),
        ("sade", "single", "random", "after"),
        ("sade", "single", "drifting", "after"),
    ]
    n, *cells = rows["sade", "batch:64", "random", "after"]
    assert n == 2
    assert [cell.mean for cell in cells if isinstance(cell, Summary)] == [37.5] * 6


def test_the_figure_draws_what_is_in_its_csv(tmp_path: Path) -> None:
    section = section_of(tmp_path / "r")
    found = dict(looks((row.label, row.method) for row in section.rows))
    (drawing,) = [d for d in build_figures(section, found) if d.name == "accuracy-over-stream"]
    assert drawing.figure.get_figwidth() == 3.5
    paths = save_files(drawing.name, figure_files(drawing), tmp_path / "f")
    assert {path.suffix for path in paths} == {".pdf", ".png", ".csv"}
    with (tmp_path / "f" / "accuracy-over-stream.csv").open(encoding="utf-8") as file:
        data = list(csv.DictReader(file))
    chosen = [
        r
        for r in data
        if (r["method"], r["arrival"], r["order"], r["distribution"])
        == ("sade", "batch:64", "random", "backward10")
    ]
    expected = (cumulative(np.array(early(10))) + cumulative(np.array(early(20)))) / 2
    assert [float(r["top1"]) for r in chosen] == pytest.approx(expected.tolist())
    assert [float(r["share"]) for r in chosen][-1] == 100.0
    (top, bottom) = drawing.figure.axes
    lines = {line.get_linestyle(): line for line in top.get_lines() if len(line.get_xdata()) > 1}
    assert lines["-"].get_ydata().tolist() == pytest.approx(expected.tolist())
    assert len(bottom.get_lines()) == 2  # one line a row


def test_rows_that_differ_in_more_than_the_label_are_not_averaged(tmp_path: Path) -> None:
    results = Results(tmp_path)
    for seed, tau in enumerate((1, 2)):
        path = results.add("sade", seed, flat(50), hyper={"tau": tau})
        add_stream(path, "single", {"random": early(10), "drifting": early(10)})
    rows = stream_rows(read_records(tmp_path).streams)
    assert len(rows) == 2
    assert len({row.label for row in rows}) == 2


def test_without_streams_there_is_neither_table_nor_figure(tmp_path: Path) -> None:
    Results(tmp_path).add("ce", 0, flat(50))
    section = build_sections(read_records(tmp_path))[0][0]
    assert stream_table(section, "1") is None
    found = dict(looks((row.label, row.method) for row in section.rows))
    assert "accuracy-over-stream" not in {d.name for d in build_figures(section, found)}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda r: r.update(predicts="later"), "predicts is 'later'"),
        (lambda r: r.update(trial="ffff"), "belongs to trial"),
        (lambda r: r.update(schema=2), "schema 2 is newer"),
        (lambda r: r.update(distributions={}), "distributions is empty"),
        (
            lambda r: r["distributions"]["uniform"]["orders"]["random"].update(correct="AA=="),
            "does not hold the bits of 40 images",
        ),
        (
            lambda r: r["distributions"]["uniform"]["orders"]["random"].update(top1=101),
            "outside its range",
        ),
    ],
)
def test_a_damaged_stream_is_listed_and_the_evaluations_stand(
    tmp_path: Path, change: Any, reason: str
) -> None:
    path = Results(tmp_path).add("ce", 0, flat(50))
    stream = add_stream(path, "single", {"random": early(10), "drifting": early(10)})
    record = json.loads(stream.read_text())
    change(record)
    stream.write_text(json.dumps(record))
    records = read_records(tmp_path)
    assert len(records.evaluations) == 1
    assert records.streams == ()
    (bad,) = records.unreadable
    assert bad.path == stream
    assert reason in bad.reason
