"""What a plugin may be called, and how rows are written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ltbench.errors import InputError
from ltbench.names import (
    Call,
    Row,
    check_name,
    check_source_name,
    format_call,
    parse_call,
    parse_row,
    parse_rows,
    split_list,
)


@pytest.mark.parametrize("name", ["ce", "logit-adjustment", "a", "x_1.5", "a" * 64, "com10"])
def test_good_names(name: str) -> None:
    assert check_name(name, "method") == name


@pytest.mark.parametrize(
    "name",
    [
        *("", "../x", "a/b", "a\\b", ".", "..", ".hidden", "-x", "x-", "x.", "a b", "a\n", "a\0b"),
        *("con", "CON", "nul", "aux.txt", "com1", "lpt9", "Sade", "a" * 65, "a" * 300),
        *("naïve", "方法", "a\u200bb", "ｓade", "a+b", "a,b", "a[b", "a=b", "~", "$HOME"),
        *(None, 3, b"ce"),
    ],
)
def test_bad_names_are_refused_in_one_short_line(name: object) -> None:
    with pytest.raises(InputError, match=r"^method .* is not usable") as caught:
        check_name(name, "method")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 250


@given(st.text(max_size=80))
def test_no_accepted_name_leaves_its_folder(name: str) -> None:
    try:
        check_name(name, "method")
    except InputError:
        return
    assert name.isascii()
    assert not set(name) & set('/\\:*?"<>| \n\t,+[]=')
    assert name.strip(".") == name


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a,b", ["a", "b"]),
        ("a[b=1,c=2],d", ["a[b=1,c=2]", "d"]),
        (" a , b ", ["a", "b"]),
        ("", [""]),
        ("a,,b", ["a", "", "b"]),
    ],
)
def test_lists_split_outside_brackets(text: str, parts: list[str]) -> None:
    assert split_list(text) == parts


def test_calls_and_rows() -> None:
    assert parse_call("ce") == Call("ce")
    assert parse_call("sade[tau=1, reduced = false]") == Call(
        "sade", {"tau": "1", "reduced": "false"}
    )
    assert parse_row("sade") == Row(Call("sade"), None)
    assert parse_row("sade[tau=1e+1]+none") == Row(Call("sade", {"tau": "1e+1"}), Call("none"))
    assert parse_rows("sade[tau=1],ce+stability[epochs=3,batch_size=2]") == [
        Row(Call("sade", {"tau": "1"}), None),
        Row(Call("ce"), Call("stability", {"epochs": "3", "batch_size": "2"})),
    ]
    assert format_call("sade", "tau=1") == "sade[tau=1]"
    assert format_call("sade", "") == "sade"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the list is empty"),
        ("ce,", "empty place"),
        ("ce,,sade", "empty place"),
        ("ce,ce", "'ce' is named twice"),
        ("sade[tau=1],sade[ tau = 1 ]", "named twice"),
        ("sade[tau=1", "brackets do not match"),
        ("sade]tau=1[", "brackets do not match"),
        ("sade[tau]", "'tau' must look like param=value"),
        ("sade[tau=]", "must look like param=value"),
        ("sade[=1]", "must look like param=value"),
        ("sade[]", "must look like param=value"),
        ("sade[tau=1,tau=2]", "'tau' is given twice"),
        ("sade[tau=1]x", "must look like name"),
        ("sade[a=[1]]", "must look like name"),
        ("[tau=1]", "has no name"),
        ("sade+", "must look like method or method\\+strategy"),
        ("+none", "must look like method or method\\+strategy"),
        ("sade+none+none", "must look like method or method\\+strategy"),
    ],
)
def test_bad_rows_are_refused_in_one_line(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        parse_rows(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["digits", "torchvision:FashionMNIST", "satellites:eo-1"])
def test_a_source_may_be_one_of_a_family(name: str) -> None:
    assert check_source_name(name, "name") == name


@pytest.mark.parametrize("name", ["", ":", "a:", ":A", "Family:a", "a:b:c", "a:../b", "a:con", 3])
def test_other_names_of_sources_are_refused(name: object) -> None:
    with pytest.raises(InputError, match="is not usable"):
        check_source_name(name, "name")
