"""The table of test families, and that they stay out of everything else."""

from __future__ import annotations

import json
from pathlib import Path

from ltbench.report.records.read import read_records
from ltbench.report.rows.sections import Section, build_sections
from ltbench.report.rows.summary import Summary
from ltbench.report.tables.all import build_tables
from ltbench.report.tables.families import by_family, families_table

from ..builder import Results, flat


def with_families(root: Path, scores: dict[str, float]) -> Section:
    for seed in range(2):
        path = Results(root).add("ce", seed, flat(50))
        record = json.loads(path.read_text())
        for name, top1 in scores.items():
            kind = name.rstrip("0123456789.-")
            ratio = 50.0 if kind == "permuted" else None
            draw = {"n": 10, "top1": top1 + seed}
            record["distributions"][name] = {
                "definition": {"kind": kind, "ratio": ratio, "counts": [1, 2, 3, 4]},
                "draws": {"0": draw, "1": draw},
            }
        path.write_text(json.dumps(record))
    return build_sections(read_records(root))[0][0]


def test_mean_and_worst_of_each_family(tmp_path: Path) -> None:
    scores = {"permuted50-0": 40.0, "permuted50-1": 20.0, "dirichlet1-10": 7.0, "dirichlet1-9": 5.0}
    section = with_families(tmp_path, scores)
    table = families_table(section, "1")
    assert table is not None
    assert [c.key for c in table.columns[2:]] == [
        *("dirichlet1-mean", "dirichlet1-worst", "permuted50-mean", "permuted50-worst")
    ]
    ((row,),) = [block.rows for block in table.blocks]
    means = [cell.mean for cell in row[2:] if isinstance(cell, Summary)]
    assert means == [6.5, 5.5, 30.5, 20.5]
    assert "2 draws per shifted test set" in table.caption
    names = [test.name for test in by_family(section.families)["dirichlet1"]]
    assert names == ["dirichlet1-9", "dirichlet1-10"]


def test_families_are_in_no_other_table(tmp_path: Path) -> None:
    section = with_families(tmp_path / "with", {"permuted50-0": 0.0, "dirichlet1-0": 0.0})
    Results(tmp_path / "without").add("ce", 0, flat(50))
    Results(tmp_path / "without").add("ce", 1, flat(50))
    plain = build_sections(read_records(tmp_path / "without"))[0][0]
    tables = {table.name: table for table in build_tables(section, "1")}
    assert tables.pop("families")
    assert tables == {table.name: table for table in build_tables(plain, "1")}
