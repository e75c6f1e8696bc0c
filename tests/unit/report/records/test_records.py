"""Reading records: what counts, and that a damaged file is listed and never fatal (F6)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ltbench.errors import InputError
from ltbench.report.frames.results import load_results
from ltbench.report.records.read import read_records

from ..builder import Results, flat


def reasons(root: Path) -> dict[str, str]:
    return {bad.path.name: bad.reason for bad in read_records(root).unreadable}


def change(path: Path, edit: Any) -> None:
    record = json.loads(path.read_text())
    edit(record)
    path.write_text(json.dumps(record))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b'{"schema": 1, "status": "fini', "column"),
        (b"\xff\xfe\x00", "utf-8"),
        (b"[]", "not an object"),
        (b'{"schema": 2, "status": "finished"}', "schema 2 is newer"),
        (b'{"schema": true}', "schema is not a whole number"),
        (b'{"schema": ' + b"9" * 5000 + b"}", "limit"),
        (b"[" * 100_000, "nested too deeply"),
    ],
)
def test_damaged_trial_is_listed_and_its_evaluations_do_not_count(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    results = Results(tmp_path)
    good = results.add("ce", 0, flat(50))
    bad = results.add("sade", 0, flat(60)).parent.parent / "trial.json"
    bad.write_bytes(content)
    records = read_records(tmp_path)
    assert [e.method for e in records.evaluations] == ["ce"]
    assert [u.path for u in records.unreadable] == [bad]
    assert reason in records.unreadable[0].reason
    assert "its evaluation is not counted" in records.unreadable[0].reason
    assert good.exists()


def test_evaluation_without_trial_does_not_count(tmp_path: Path) -> None:
    results = Results(tmp_path)
    folder = results.add("ce", 0, flat(50)).parent.parent
    (folder / "trial.json").unlink()
    records = read_records(tmp_path)
    assert not records.evaluations
    assert records.unreadable[0].path == folder
    assert "no trial.json" in records.unreadable[0].reason


def test_half_written_temporary_files_are_no_records(tmp_path: Path) -> None:
    path = Results(tmp_path).add("ce", 0, flat(50))
    (path.parent / f".{path.name}.abc.tmp").write_text('{"sch')
    (path.parent / ".hidden.json").write_text("{")
    records = read_records(tmp_path)
    assert len(records.evaluations) == 1
    assert not records.unreadable


DAMAGE: list[tuple[Any, str]] = [
    (lambda d: d.pop("top1"), "top1 is missing"),
    (lambda d: d.update(top1="65.9"), "top1 is not a number"),
    (lambda d: d.update(top1=True), "top1 is not a number"),
    (lambda d: d.update(top1=float("nan")), "top1 is nan"),
    (lambda d: d.update(top1=float("inf")), "top1 is inf"),
    (lambda d: d.update(top1=1000.0), "outside its range"),
    (lambda d: d.update(top1=10**400), "top1 is too large"),
    (lambda d: d.update(n=1.5), "n is not a whole number"),
    (lambda d: d.update(nll=float("nan")), "nll is nan"),
    (lambda d: d.update(expert_top1=[1.0, 2.0]), "expert_top1 has 2 elements, not 1"),
    (lambda d: d.update(per_class=[1.0]), "per_class has 1 elements, not 4"),
    (lambda d: d["groups"].update(many="x"), "many is not a number"),
]


@pytest.mark.parametrize(("edit", "reason"), DAMAGE)
def test_damaged_evaluation_is_listed_with_its_place(
    tmp_path: Path, edit: Any, reason: str
) -> None:
    results = Results(tmp_path)
    results.add("ce", 0, flat(50))
    path = results.add("ce", 1, flat(60))
    change(path, lambda record: edit(record["distributions"]["uniform"]["draws"]["0"]))
    records = read_records(tmp_path)
    assert [e.seed for e in records.evaluations] == [0]
    assert records.unreadable[0].path == path
    assert reason in records.unreadable[0].reason
    assert "uniform" in records.unreadable[0].reason


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (lambda r: r.update(trial="ffffffffffff"), "belongs to trial"),
        (lambda r: r.update(seed=7), "seed 7 is not the trial's"),
        (lambda r: r.update(distributions={}), "distributions is empty"),
        (lambda r: r.update(rank=[0, 0, 1, 2]), "rank is not an order"),
        (lambda r: r.update(label=None), "label is missing"),
        (lambda r: r["groups"].update(few=[9]), "outside its range"),
        (lambda r: r["distributions"].update(x=3), "distributions.x is not an object"),
        (lambda r: r.update(schema=9), "schema 9 is newer"),
    ],
)
def test_evaluation_that_contradicts_itself_is_listed(
    tmp_path: Path, edit: Any, reason: str
) -> None:
    path = Results(tmp_path).add("ce", 0, flat(50))
    change(path, edit)
    assert reason in reasons(tmp_path)[path.name]


def test_unknown_keys_are_ignored(tmp_path: Path) -> None:
    path = Results(tmp_path).add("ce", 0, flat(50))
    change(path, lambda record: record.update(later={"x": 1}))
    assert len(read_records(tmp_path).evaluations) == 1


def test_published_and_report_are_read_only_when_they_are_the_path(tmp_path: Path) -> None:
    Results(tmp_path).add("ce", 0, flat(50))
    Results(tmp_path / "published").add("ride", 0, flat(50))
    Results(tmp_path / "report").add("sade", 0, flat(50))
    assert set(load_results(tmp_path).method) == {"ce"}
    assert set(load_results(tmp_path / "published").method) == {"ride"}


def test_failed_trial_beside_a_finished_one_is_no_failure(tmp_path: Path) -> None:
    results = Results(tmp_path)
    results.add("ce", 0, flat(50))
    results.fail("ce", 0)
    results.fail("ce", 1)
    assert [failure.seed for failure in read_records(tmp_path).failures] == [1]


def test_missing_path_and_file_are_input_errors(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        read_records(tmp_path / "nowhere")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="is a file"):
        read_records(tmp_path / "file")
