"""With three test images a class the re-weighted table leads, and says why."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ltbench.report.build import build_report
from ltbench.report.records.read import read_records
from ltbench.report.rows.sections import build_sections
from ltbench.report.tables.all import build_tables

from ..builder import Results, flat


def results(root: Path, images: int) -> None:
    """Every draw has an exact accuracy, as records of fixed predictors have."""
    for method in ("ce", "sade"):
        path = Results(root, images=images, ratios=(2,)).add(method, 0, flat(50))
        record = json.loads(path.read_text())
        for entry in record["distributions"].values():
            for draw in entry["draws"].values():
                draw["exact"] = {"top1": 61.0, "se": 0.3}
        path.write_text(json.dumps(record))


@pytest.mark.parametrize(("images", "leads"), [(3, True), (4, False)])
def test_the_exact_table_leads_where_classes_have_three_test_images(
    tmp_path: Path, images: int, leads: bool
) -> None:
    results(tmp_path, images)
    tables = build_tables(build_sections(read_records(tmp_path))[0][0], "9")
    names = [table.name for table in tables]
    assert names.count("exact") == 1
    assert names[0] == ("exact" if leads else "main")
    exact = next(table for table in tables if table.name == "exact")
    assert ("leads because no class has more than 3 test images" in exact.caption) == leads


@pytest.mark.parametrize(("images", "leads"), [(3, True), (4, False)])
def test_so_it_does_on_the_page_of_the_main_tables(
    tmp_path: Path, images: int, leads: bool
) -> None:
    results(tmp_path / "results", images)
    page = tmp_path / "page.md"
    build_report(tmp_path / "results", figures=False, readme=page)
    text = page.read_text()
    assert ("re-weighted to the realised counts" in text) == leads
    if leads:
        assert text.index("re-weighted to the realised") < text.index("over test label dist")
