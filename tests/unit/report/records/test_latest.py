"""Which of several records of one seed counts, and what is said where no clock tells."""

from __future__ import annotations

import datetime
import re
from pathlib import Path

import pytest

from ltbench.errors import InputError
from ltbench.execute.context import now
from ltbench.report.build import build_report
from ltbench.report.records.latest import stamp
from ltbench.report.records.read import read_records
from ltbench.report.rows.sections import Section, build_sections
from ltbench.report.tables.stream import stream_table

from ..builder import Results, flat
from ..rows.test_streams import add_stream, early


def two(root: Path, first: str, second: str) -> Section:
    results = Results(root)
    results.add("ce", 0, flat(50), created=first, note="a")
    results.add("ce", 0, flat(60), created=second, note="b")
    return build_sections(read_records(root))[0][0]


def shown(section: Section) -> float | None:
    return section.rows[0].top1("uniform")[0]


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ("2025-01-01T12:00:00.000001+00:00", "2025-01-01T12:00:00.000002+00:00"),
        ("2025-01-01T12:00:00+00:00", "2025-01-01T12:00:01+00:00"),  # records of whole seconds
        ("2025-01-01T12:00:00+00:00", "2025-01-01T12:00:01.500000+00:00"),
        ("2025-01-01T13:00:00+02:00", "2025-01-01T12:00:00+00:00"),  # another zone
    ],
)
def test_the_later_one_counts_whatever_the_order_of_files(
    tmp_path: Path, earlier: str, later: str
) -> None:
    assert shown(two(tmp_path / "a", earlier, later)) == 60.0
    section = two(tmp_path / "b", later, earlier)
    assert shown(section) == 50.0
    assert not section.rows[0].undecided
    assert any("the latest one is shown" in note for note in section.notes)
    build_report(tmp_path / "b", figures=False, strict=True)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("2025-01-01T12:00:00+00:00", "2025-01-01T12:00:00+00:00"),
        ("2025-01-01T12:00:00+00:00", "2025-01-01T12:00:00.500000+00:00"),  # within its second
        ("", "2025-01-01T12:00:00+00:00".replace("2025", "20x5")),
    ],
)
def test_a_tie_is_said_and_strict_refuses(tmp_path: Path, one: str, other: str) -> None:
    section = two(tmp_path, one, other)
    assert section.rows[0].undecided == (0,)
    assert any("which is the latest is not known" in note for note in section.notes)
    with pytest.raises(InputError, match=r"--strict: .*ce: several records .* seed 0 .*not known"):
        build_report(tmp_path, figures=False, strict=True)


def test_records_of_equal_numbers_are_no_conflict(tmp_path: Path) -> None:
    results = Results(tmp_path)
    for note in ("a", "b"):
        results.add("ce", 0, flat(50), created="2025-01-01T12:00:00+00:00", note=note)
    section = build_sections(read_records(tmp_path))[0][0]
    assert not section.notes
    build_report(tmp_path, figures=False, strict=True)


def test_streams_follow_the_same_rule(tmp_path: Path) -> None:
    results = Results(tmp_path)
    created = "2025-01-01T12:00:00+00:00"
    for k, note in enumerate(("a", "b")):
        path = results.add("ce", 0, flat(50), note=note)
        add_stream(path, "single", {"random": early(10 + k)}, created=created)
    table = stream_table(build_sections(read_records(tmp_path))[0][0], "1")
    assert table is not None
    assert any("which is the latest is not known" in note for note in table.notes)
    with pytest.raises(InputError, match=r"--strict: .*ce, single: several records"):
        build_report(tmp_path, figures=False, strict=True)


def test_new_records_tell_microseconds_in_utc() -> None:
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00", now())
    found = stamp(now())
    assert found.end - found.start == datetime.timedelta(microseconds=1)
