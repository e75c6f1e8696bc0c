"""Records with a checksum: what was changed is refused, what was laid out otherwise is not."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import pytest

from ltbench.errors import InputError
from ltbench.trial import store
from ltbench.trial.checked import CRC, checked_bytes, checked_text, read_checked, write_checked

RECORD: dict[str, Any] = {
    "schema": 1,
    "status": "finished",
    "name": "größe \u2603",
    "top1": [81.25, 1e-05, -0.0, 100 / 3, 7],
    "nested": {"b": None, "a": True, CRC: "of something else"},
}


@pytest.mark.parametrize("indent", [None, 1])
def test_it_is_read_as_it_was_written_without_its_checksum(
    tmp_path: Path, indent: int | None
) -> None:
    path = tmp_path / "record.json"
    write_checked(path, RECORD, indent=indent)
    assert read_checked(path) == RECORD
    assert list(json.loads(path.read_text(encoding="utf-8"))) == [*RECORD, CRC]
    assert checked_bytes(path) == path.read_bytes()


@pytest.mark.parametrize("indent", [None, 1])
def test_the_checksum_is_that_of_the_line_without_it(indent: int | None) -> None:
    """As the documentation defines it, computed apart."""
    line = json.dumps(RECORD, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
    assert json.loads(checked_text(RECORD, indent=indent))[CRC] == f"{zlib.crc32(line):08x}"


def test_written_again_it_has_its_own_checksum_alone(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    write_checked(path, RECORD)
    changed = json.loads(path.read_text(encoding="utf-8")) | {"seed": 3}
    write_checked(path, changed)
    assert read_checked(path) == RECORD | {"seed": 3}


@pytest.mark.parametrize("given", [None, 1])
@pytest.mark.parametrize("indent", [None, 0, 2, 8])
@pytest.mark.parametrize("ascii_only", [True, False])
def test_another_layout_is_no_change(
    tmp_path: Path, given: int | None, indent: int | None, ascii_only: bool
) -> None:
    path = tmp_path / "record.json"
    write_checked(path, RECORD, indent=given)
    value = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(value, indent=indent, ensure_ascii=ascii_only), encoding="utf-8")
    assert read_checked(path) == RECORD
    assert checked_bytes(path) == path.read_bytes()


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize(
    "change",
    [
        {"top1": [81.26, 1e-05, -0.0, 100 / 3, 7]},
        {"status": "finishee"},
        {"more": 1},
        {CRC: "00000000"},
        {CRC: 7},
        {"top1": [float("nan")]},
    ],
)
def test_a_change_is_refused_by_both_readers(
    tmp_path: Path, change: dict[str, Any], indent: int | None
) -> None:
    path = tmp_path / "record.json"
    value = json.loads(checked_text(RECORD, indent=indent)) | change
    path.write_text(json.dumps(value, indent=indent), encoding="utf-8")
    told = (
        "record.json is not readable: its checksum does not agree with its content: it was changed"
    )
    for read in (read_checked, checked_bytes, store.read_record):
        with pytest.raises(InputError, match=told):
            read(path)


def test_a_record_without_a_checksum_is_read_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    path.write_text(json.dumps(RECORD), encoding="utf-8")
    assert read_checked(path) == RECORD
    assert checked_bytes(path) == path.read_bytes()


def test_a_later_schema_is_refused_by_its_number_and_never_as_damaged(tmp_path: Path) -> None:
    """Damaged records are made anew; those of a later ltbench must stay."""
    path = tmp_path / "record.json"
    path.write_text(json.dumps(RECORD | {"schema": 2, CRC: "of another kind"}), encoding="utf-8")
    with pytest.raises(store.NewerSchemaError):
        store.read_record(path)


def test_what_json_lacks_is_refused_and_nothing_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_checked(tmp_path / "record.json", RECORD | {"top1": float("inf")})
    assert not list(tmp_path.iterdir())
