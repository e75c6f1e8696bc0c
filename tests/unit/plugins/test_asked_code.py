"""Which code was asked for last."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from ltbench.errors import InputError
from ltbench.plugins.asked_code import FILE, Code, note_asked, read_asked

A, B = Code("method", "mine", "aaaa"), Code("method", "mine", "bbbb")
CE = Code("method", "ce", "")


def test_shipped_code_alone_leaves_no_file(tmp_path: Path) -> None:
    note_asked(tmp_path, [CE])
    assert list(tmp_path.iterdir()) == []
    assert read_asked(tmp_path).current("method", "ce", {"": "2025"}) == ""


def test_the_last_one_counts_however_soon(tmp_path: Path) -> None:
    for asked in (A, B, A):
        note_asked(tmp_path, [asked, CE])
    known = read_asked(tmp_path)
    made = {"aaaa": "2025", "bbbb": "2026"}
    assert known.digests["method", "mine"] == ("bbbb", "aaaa")
    assert known.current("method", "mine", made) == "aaaa"
    assert known.current("method", "other", made) == "bbbb"  # not noted: the latest record
    edited = Code("method", "ce", "cccc")
    note_asked(tmp_path, [edited])
    note_asked(tmp_path, [CE])  # restored
    assert read_asked(tmp_path).current("method", "ce", {"cccc": "2026"}) == ""


def test_runs_at_once_forget_nothing(tmp_path: Path) -> None:
    codes = [Code("strategy", f"s{i}", "abcd") for i in range(12)]
    threads = [threading.Thread(target=note_asked, args=(tmp_path, [code])) for code in codes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(read_asked(tmp_path).digests) == {(code.kind, code.name) for code in codes}


@pytest.mark.parametrize("text", ["", "[]", '{"schema": 1}', '{"schema": 9}', '{"schema": "x"}'])
def test_a_damaged_file_is_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text)
    with pytest.raises(InputError, match=FILE) as caught:
        read_asked(tmp_path)
    assert "\n" not in str(caught.value)
