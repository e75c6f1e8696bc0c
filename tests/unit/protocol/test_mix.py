"""Mixes of classes: how they are stated in a protocol, in a text and in a CSV file."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from ltbench.errors import InputError
from ltbench.protocol.file import load_protocol_config
from ltbench.protocol.mix import mix_name, read_mix, read_mix_file, read_mixes
from ltbench.protocol.protocol import Protocol
from ltbench.settings import identity_of, read


@pytest.mark.parametrize(
    "text",
    [
        "class,count\nbenign,95\nmalignant,5\n",
        "\ufeffclass,share\r\nbenign,95\r\n\r\nmalignant,5",
        "benign;95\nmalignant;5",
        "class\tcount\nbenign\t95\nmalignant\t5.0",
        ' benign , 95\n"malignant",5\n',
    ],
)
def test_a_csv_file(text: str, tmp_path: Path) -> None:
    path = tmp_path / "clinic.csv"
    path.write_bytes(text.encode())
    assert read_mix_file(path, "--mix") == {"benign": 95.0, "malignant": 5.0}


def test_a_name_with_the_delimiter_is_quoted(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text('"nevus, blue",3\nother,1\n')
    assert read_mix_file(path, "--mix") == {"nevus, blue": 3.0, "other": 1.0}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", r"gives no class a share above 0"),
        ("class,count\n", r"gives no class a share above 0"),
        ("a,0\nb,0", r"gives no class a share above 0"),
        ("a", r"m\.csv, line 1: a line must be class,count"),
        ("a,1,2", r"line 1: a line must be class,count"),
        ("a,1\n,2", r"line 2: a line must be class,count"),
        ("a,1\nb,x", r"line 2: class 'b' has 'x'; a share or count must be a number of at least 0"),
        ("a,1\nb,-1", r"line 2: class 'b' has '-1'"),
        ("a,1\nb,nan", r"line 2: class 'b' has 'nan'"),
        ("a,1\nb,inf", r"line 2: class 'b' has 'inf'"),
        ("a,1\nb,1_0", r"line 2: class 'b' has '1_0'"),
        ("a,1\na,2", r"class 'a' is given twice"),
    ],
)
def test_a_wrong_csv_file_is_told_with_its_line(text: str, expected: str, tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=expected):
        read_mix_file(path, "--mix")


def test_what_is_no_file_or_no_text(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--mix: .*none\.csv cannot be read: No such file"):
        read_mix_file(tmp_path / "none.csv", "--mix")
    (tmp_path / "m.csv").write_bytes(b"a,1\n\xff\xfe,2")
    with pytest.raises(InputError, match=r"m\.csv cannot be read: it is no UTF-8 text"):
        read_mix_file(tmp_path / "m.csv", "--mix")


def test_a_text_lists_classes() -> None:
    assert read_mix("a=1, b=2.5,c d=0", "mix") == {"a": 1.0, "b": 2.5, "c d": 0.0}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (3, r"x = 3 must be a table, as in \{ benign"),
        ("", r"x = '' must be a table"),
        ({}, r"x gives no class a share above 0"),
        ({"a": True}, r"x: class 'a' has True"),
        ({"a": "much"}, r"x: class 'a' has 'much'"),
        ({"a": -0.5}, r"x: class 'a' has -0\.5"),
        ("a=1,b", r"x: 'b' must look like benign=0\.95"),
        ("a=1,a=2", r"x: class 'a' is given twice"),
    ],
)
def test_what_is_no_mix(value: Any, expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        read_mix(value, "x")


def test_names_of_mixes() -> None:
    assert mix_name(Path("some/clinic-2.csv")) == "clinic-2"
    for wrong in ("Clinic.csv", "my clinic.csv", "clinic.2024.csv", ".csv"):
        with pytest.raises(InputError, match=r"--mix"):
            mix_name(Path(wrong))
    with pytest.raises(InputError, match=r"mix 'A B' is not usable"):
        read_mixes({"A B": {"a": 1}}, "test.mixes")
    with pytest.raises(InputError, match=r"test\.mixes must be a table"):
        read_mixes([1], "test.mixes")


BASE = 'extends = "digits-lt"\nname = "mine"\n[test.mixes]\n'


def test_files_are_relative_to_the_protocol_and_mixes_are_not_merged(tmp_path: Path) -> None:
    (tmp_path / "mixes").mkdir()
    (tmp_path / "mixes" / "ward.csv").write_text("zero,1\nfour,3\n")
    base = tmp_path / "base.toml"
    base.write_text(BASE.replace("mine", "base") + 'ward = "mixes/ward.csv"\nb = { one = 1 }\n')
    (tmp_path / "below").mkdir()
    mine = tmp_path / "below" / "mine.toml"
    mine.write_text('extends = "../base.toml"\nname = "mine"\n[test.mixes]\nb = { two = 2 }\n')
    found = load_protocol_config(str(mine)).test.mixes
    assert found == {"ward": {"zero": 1.0, "four": 3.0}, "b": {"two": 2.0}}


def test_an_override_is_no_variant_and_no_identity() -> None:
    plain = load_protocol_config("digits-lt")
    mixed = load_protocol_config("digits-lt", ["test.mixes.x=zero=1,one=3"])
    whole = load_protocol_config("digits-lt", {"test.mixes.x": {"zero": 1, "one": 3}})
    assert mixed.test.mixes == whole.test.mixes == {"x": {"zero": 1.0, "one": 3.0}}
    assert mixed.variant == ""
    assert "mixes" not in identity_of(plain.test)
    assert "mixes" in identity_of(mixed.test)


def test_a_worker_reads_what_it_is_told() -> None:
    mixed = load_protocol_config(
        "digits-lt", {"test.mixes.x": {"zero": 1, "weights": 2}, "test.subsets.y": ["one", "two"]}
    )
    told = json.loads(json.dumps(asdict(mixed)))
    assert read(Protocol, told, "protocol").test == mixed.test


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("uniform = { zero = 1 }", r"test\.mixes\.uniform: that name is taken by a standard"),
        ("forward3 = { zero = 1 }", r"test\.mixes\.forward3: that name is taken"),
        ("x = { zero = 1 }\n[test.subsets]\nx = [1, 2]", r"test\.subsets has that name, too"),
        ("x = 3", r"mixes\.x = 3 must be a table"),
        ('x = "none.csv"', r"mixes\.x: .*none\.csv cannot be read"),
        ("x = { zero = -1 }", r"mixes\.x: class 'zero' has -1"),
    ],
)
def test_wrong_mixes_of_a_file(lines: str, expected: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(BASE + lines)
    with pytest.raises(InputError, match=expected):
        load_protocol_config(str(path))


def test_other_images_take_no_mix_over(tmp_path: Path) -> None:
    (tmp_path / "base.toml").write_text(
        BASE.replace("mine", "base") + "x = { zero = 1 }\n[test.subsets]\ny = ['one', 'two']\n"
    )
    mine = tmp_path / "mine.toml"
    mine.write_text(
        'extends = "base.toml"\nname = "mine"\n[data]\nsource = "image-folder"\nimage_size = 8\n'
        'classes = 2\npath = "."\n'
    )
    found = load_protocol_config(str(mine))
    assert found.test.mixes == {}
    assert {"test.mixes", "test.subsets"} <= set(found.not_inherited)
