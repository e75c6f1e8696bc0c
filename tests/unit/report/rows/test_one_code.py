"""A row is one code: the one asked for last is shown, the others are named, none are averaged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ltbench.errors import InputError
from ltbench.plugins.asked_code import Code, note_asked
from ltbench.report.build import build_report
from ltbench.report.frames.results import load_results
from ltbench.report.records.read import read_records
from ltbench.report.rows.sections import Section, build_sections

from ..builder import Results, flat

OLD, NEW = "aaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbb"


def add(root: Path, seed: int, score: float, code: str = "", **more: Any) -> Path:
    """A trial and row of the plugin ``mine`` in its state ``code``, from a path of its own."""
    results, method = Results(root), more.pop("method", "mine")
    told = {"method_digest": code, "method_origin": f"/{code}/mine.py", "strategy_digest": ""}
    path = results.add(method, seed, flat(score), **{**told, **more})
    trial = path.parent.parent / "trial.json"
    record = json.loads(trial.read_text())
    record["training"] |= {"digest": code, "origin": f"/{code}/mine.py"}
    trial.write_text(json.dumps(record))
    return path


def section_of(root: Path) -> Section:
    (section,) = build_sections(read_records(root))[0]
    return section


def shown(root: Path) -> dict[str, tuple[int, ...]]:
    return {row.label: row.seeds for row in section_of(root).rows}


@pytest.fixture
def edited(tmp_path: Path) -> Path:
    """Two seeds before an edit, two after it, all within one second."""
    for seed, code in enumerate((OLD, OLD, NEW, NEW)):
        add(tmp_path, seed, 90.0 - 40 * (code == NEW), code)
    for code in (OLD, NEW):
        note_asked(tmp_path, [Code("method", "mine", code)])
    return tmp_path


def test_the_current_code_is_shown_and_the_other_named_with_its_path(edited: Path) -> None:
    assert shown(edited) == {"mine": (2, 3)}
    (note,) = section_of(edited).code.notes
    assert "bbbbbbbb" in note
    assert "aaaaaaaa (2 records of seeds 0, 1; /aaaaaaaaaaaaaaaa/mine.py)" in note
    assert note in section_of(edited).notes


def test_a_restored_file_shows_its_own_numbers(edited: Path) -> None:
    note_asked(edited, [Code("method", "mine", OLD)])  # all of its work was done before
    assert shown(edited) == {"mine": (0, 1)}


def test_without_a_note_the_latest_record_tells(tmp_path: Path) -> None:
    add(tmp_path, 0, 90.0, OLD, created="2025-02-01")
    add(tmp_path, 1, 50.0, NEW, created="2025-01-01")
    assert shown(tmp_path) == {"mine": (0,)}


def test_strict_refuses(edited: Path) -> None:
    build_report(edited, figures=False)
    with pytest.raises(InputError, match=r"--strict: .*aaaaaaaa.*--other-code"):
        build_report(edited, figures=False, strict=True)


def test_code_without_a_result_is_told_and_refused(tmp_path: Path) -> None:
    add(tmp_path, 0, 90.0, OLD)
    build_report(tmp_path, figures=False, strict=True)
    note_asked(tmp_path, [Code("method", "mine", NEW)])
    assert shown(tmp_path) == {"mine": (0,)}
    with pytest.raises(InputError, match="asked for last, bbbbbbbb, has no result"):
        build_report(tmp_path, figures=False, strict=True)


def test_two_protocols_do_not_show_two_codes_under_strict(tmp_path: Path) -> None:
    for protocol, code in (("one-lt", OLD), ("two-lt", NEW)):
        path = add(tmp_path / protocol, 0, 50.0, code)
        trial = path.parent.parent
        for file in (trial / "trial.json", path):
            record = json.loads(file.read_text())
            record["protocol"]["name"] = protocol
            if "data" in record:
                record["data"]["test_fingerprint"] = protocol
            file.write_text(json.dumps(record))
        target = tmp_path / "results" / protocol / "mine" / trial.name
        target.parent.mkdir(parents=True)
        trial.rename(target)
    results = tmp_path / "results"
    assert len(build_sections(read_records(results))[0]) == 2
    with pytest.raises(InputError, match=r"method mine is code aaaaaaaa in .* and bbbbbbbb in "):
        build_report(results, figures=False, strict=True)


def test_the_same_code_at_two_paths_is_one_row(tmp_path: Path) -> None:
    add(tmp_path, 0, 90.0, OLD, method_origin="/one/mine.py")
    path = add(tmp_path, 1, 80.0, OLD, method_origin="/two/mine.py")
    trial = path.parent.parent / "trial.json"
    trial.write_text(trial.read_text().replace(f"/{OLD}/", "/two/"))
    assert shown(tmp_path) == {"mine": (0, 1)}
    assert section_of(tmp_path).code.notes == ()


def test_an_edited_strategy_is_never_averaged(tmp_path: Path) -> None:
    results = Results(tmp_path)
    for seed, code in enumerate((OLD, NEW)):
        more = {"strategy": "own", "strategy_digest": code, "strategy_origin": f"/{code}/s.py"}
        results.add("ce", seed, flat(50.0 + seed), **more)
        results.add("ce", seed, flat(50.0))
    note_asked(tmp_path, [Code("strategy", "own", OLD)])
    assert shown(tmp_path) == {"ce": (0, 1), "ce+own": (0,)}
    (note,) = section_of(tmp_path).code.notes
    assert note.startswith("strategy own")
    assert f"/{NEW}/s.py" in note


def test_a_failure_of_other_code_is_none_of_the_current(edited: Path) -> None:
    for seed, code in ((7, OLD), (8, NEW)):
        path = Results(edited).fail("mine", seed)
        record = json.loads(path.read_text())
        record["training"]["digest"] = code
        path.write_text(json.dumps(record))
    (row,) = section_of(edited).rows
    assert row.failure_text() == "1/3 diverged"
    assert [failure.seed for failure in row.failures] == [8]


def test_code_that_only_failed_hides_no_result(tmp_path: Path) -> None:
    add(tmp_path, 0, 90.0, OLD)
    path = Results(tmp_path).fail("mine", 1)
    path.write_text(path.read_text().replace('"hyper": {}', f'"hyper": {{}}, "digest": "{NEW}"'))
    assert NEW in path.read_text()
    note_asked(tmp_path, [Code("method", "mine", NEW)])
    assert shown(tmp_path) == {"mine": (0,)}


def test_the_frame_keeps_codes_apart(edited: Path) -> None:
    frame = load_results(edited)
    assert set(frame.code) == {OLD, NEW}
    assert set(frame[frame.current].seed) == {2, 3}
    assert set(frame[~frame.current].code) == {OLD}


def test_older_records_are_read(tmp_path: Path) -> None:
    """They tell the digest of a trial in its identity alone, and none of a strategy."""
    for seed, code in enumerate((OLD, NEW)):
        path = Results(tmp_path).add("mine", seed, flat(50), created=f"2025-01-0{seed + 1}")
        trial = path.parent.parent / "trial.json"
        record = json.loads(trial.read_text())
        record["identity"] = {"training": {"name": "mine", "digest": code}}
        trial.write_text(json.dumps(record))
    assert shown(tmp_path) == {"mine": (1,)}


def test_an_imported_model_of_the_same_name_stays(edited: Path) -> None:
    path = add(edited, 9, 70.0, "", label="mine (imported)", method_origin="imported")
    trial = path.parent.parent / "trial.json"
    record = json.loads(trial.read_text())
    record["training"]["origin"] = "imported"
    trial.write_text(json.dumps(record))
    assert shown(edited) == {"mine": (2, 3), "mine (imported)": (9,)}
