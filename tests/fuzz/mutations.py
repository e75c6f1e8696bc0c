"""Strategies that damage valid files: the interesting mistakes lie near what is right."""

from __future__ import annotations

import copy
import io
import json
import re
import signal
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

from ltbench.errors import LtbenchError

HANGS = 60  # seconds: far above anything that ends

_RAW = re.compile(r'"@raw:(.*?)@"')
_ODD_JSON: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 0.5, -0.0, 2**31, 2**63, 2**64, -(2**63), 10**30),
    *("", " ", "0", "nan", "a\nb", "../../outside", "/etc/passwd", "\ud800", "é", "\0", "x" * 300),
    *([], {}, [[]], [None], {"": {}}, [1, "1", 1.0], {"schema": 1}),
    *("@raw:NaN@", "@raw:Infinity@", "@raw:-Infinity@", "@raw:1e400@"),
    f"@raw:{'9' * 5000}@",  # more digits than Python reads
    f"@raw:{'[' * 3000}{']' * 3000}@",
)


def budget(parts: int = 1) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A quarter of the examples that the profile has; of a slow test a part of that."""
    return settings(max_examples=max(1, settings().max_examples // 4 // parts))


def numbers_replaced(value: Any) -> str:
    """JSON, in which a text ``@raw:...@`` stands for itself without quotes."""
    return _RAW.sub(lambda m: m[1], json.dumps(value, ensure_ascii=True))


@st.composite
def damaged_json(draw: st.DrawFn, valid: Any) -> bytes:
    """One to three places of ``valid`` deleted, replaced, doubled or wrapped; at times cut or flipped."""
    tree = {"": copy.deepcopy(valid)}
    for _ in range(draw(st.integers(1, 3))):
        places = list(_places(tree))
        holder, key = draw(st.sampled_from(places))
        how = draw(st.sampled_from(("replace", "replace", "delete", "wrap", "double")))
        if how == "delete" and holder is not tree:
            del holder[key]
        elif how == "wrap":
            holder[key] = draw(st.sampled_from(([holder[key]], {"x": holder[key]})))
        elif how == "double" and isinstance(holder, list):
            holder.insert(key, holder[key])
        else:
            holder[key] = copy.deepcopy(draw(st.sampled_from(_ODD_JSON)))
    text = numbers_replaced(tree[""]).encode()
    return draw(st.one_of(st.just(text), st.just(text), damaged_bytes(text)))


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in list(items):
        yield value, key
        if isinstance(item, dict | list):
            yield from _places(item)


@st.composite
def damaged_bytes(draw: st.DrawFn, valid: bytes) -> bytes:
    """Bits flipped, bytes cut off, left out, put in or written over, once to four times."""
    content = bytearray(valid)
    for _ in range(draw(st.integers(1, 4))):
        how = draw(st.sampled_from(("flip", "flip", "cut", "leave", "put", "over", "none")))
        at = draw(st.integers(0, max(0, len(content) - 1)))
        if how == "flip" and content:
            content[at] ^= 1 << draw(st.integers(0, 7))
        elif how == "cut":
            del content[at:]
        elif how == "leave":
            del content[at : at + draw(st.integers(1, 64))]
        elif how == "put":
            content[at:at] = draw(_BYTES)
        elif how == "over":
            new = draw(_BYTES)
            content[at : at + len(new)] = new
        else:
            content = bytearray(draw(_BYTES))
    return bytes(content)


_BYTES = st.one_of(
    st.binary(max_size=24),
    st.sampled_from(
        (
            *(b"\xff\xfe", b"\xef\xbb\xbf", b"\0" * 8, b"\xff" * 8, b"\x7f" + b"\xff" * 7),
            *(b"\r", b"\r\n", b"\n\n", b'"', b"'", b"=", b",", b"[", b"{", b"\\", b"#"),
            *(b"nan", b"inf", b"-1", b"1e999", b"9" * 5000, b"\xed\xa0\x80", b"../../"),
        )
    ),
)

_ODD_KEYS = ("x", "a.b.c", '""', '"ä"', "name")
_ODD_TOML = (
    *(
        "1",
        "-1",
        "0",
        "1.5",
        "nan",
        "inf",
        "-inf",
        "true",
        '""',
        '"x"',
        "[]",
        "{}",
        "[[1]]",
        "[1, 2]",
    ),
    *('["a", 1]', "{ a = 1 }", "1979-05-27", '"../../outside"', '"\\u0000"', "'''a\nb'''", "0x7f"),
    *("9" * 5000, "[" * 3000 + "]" * 3000, "1e400", "9223372036854775808", '"a=1,b=nan"', "'ä'"),
)


@st.composite
def damaged_toml(draw: st.DrawFn, valid: str) -> bytes:
    """Lines of ``valid`` with other values, left out, doubled or moved; at times damaged as bytes."""
    lines = valid.splitlines()
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(lines) - 1))
        how = draw(st.sampled_from(("value", "value", "value", "leave", "double", "move", "key")))
        key, equals, _ = lines[at].partition("=")
        if how == "value" and equals:
            lines[at] = f"{key}= {draw(st.sampled_from(_ODD_TOML))}"
        elif how == "key" and equals:
            lines[at] = f"{draw(st.sampled_from(_ODD_KEYS))} = 1"
        elif how == "leave" and len(lines) > 1:
            del lines[at]
        elif how == "double":
            lines.insert(at, lines[at])
        else:
            lines.insert(draw(st.integers(0, len(lines))), lines[at])
    text = "\n".join(lines).encode()
    return draw(st.one_of(st.just(text), st.just(text), damaged_bytes(text)))


@st.composite
def damaged_safetensors(draw: st.DrawFn, valid: bytes) -> bytes:
    """The header damaged as JSON or as bytes, its length too; the numbers stay as long as they were."""
    length = int.from_bytes(valid[:8], "little")
    header = draw(damaged_json(json.loads(valid[8 : 8 + length])))
    told = draw(
        st.sampled_from((len(header), len(header), len(header), 0, 2**63, 2**64 - 1, 1 << 20))
    )
    return told.to_bytes(8, "little") + header + valid[8 + length :]


@st.composite
def damaged_npy(draw: st.DrawFn, valid: bytes) -> bytes:
    """Another ``descr``, order or shape in the header of an ``.npy`` file."""
    length = int.from_bytes(valid[8:10], "little")
    kinds = ("<f4", "<f8", ">f2", "<i8", "|u1", "<c16", "|b1", "|O", "<U3", "|S2", "<M8[D]", "|V4")
    sizes = st.integers(-1, 6) | st.sampled_from((2**31, 2**40, 2**63, 10**30))
    fields = {
        "descr": draw(st.sampled_from((*kinds, "<f16", "nonsense", [("a", "<f4"), ("b", "|O")]))),
        "fortran_order": draw(st.booleans()),
        "shape": draw(st.lists(sizes, max_size=4).map(tuple)),
    }
    header = repr(fields).encode().ljust(length - 1) + b"\n"
    return valid[:8] + len(header).to_bytes(2, "little") + header + valid[10 + length :]


@st.composite
def damaged_zip(draw: st.DrawFn, valid: bytes) -> bytes:
    """Members left out, doubled, renamed or damaged, in an archive that is itself sound."""
    with zipfile.ZipFile(io.BytesIO(valid)) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    at = draw(st.integers(0, len(members) - 1))
    name, content = members[at]
    how = draw(st.sampled_from(("leave", "rename", "npy", "bytes", "escape")))
    if how == "leave":
        del members[at]
    elif how in ("rename", "escape"):
        members[at] = ("../../outside.npy" if how == "escape" else "other.npy", content)
    elif how == "npy" and content.startswith(b"\x93NUMPY"):
        members[at] = (name, draw(damaged_npy(content)))
    else:
        members[at] = (name, draw(damaged_bytes(content)))
    return zipped(members)


def zipped(members: Sequence[tuple[str, bytes]]) -> bytes:
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return whole.getvalue()


@contextmanager
def refused_in_a_line(*names: str | Path) -> Iterator[None]:
    """Whatever is raised is one of ltbench's own errors: one line, which has one of ``names``."""
    with must_end():
        try:
            yield
        except LtbenchError as error:
            text = str(error)
            assert text
            assert len(text.splitlines()) == 1, repr(text)
            assert any(str(name) in text for name in names), text[:300]
            assert len(text) < 2000, text[:300]


@contextmanager
def must_end() -> Iterator[None]:
    """What runs within ends; a hang is told as an error and not by a run that never comes back."""

    def give_up(*arguments: object) -> None:
        raise AssertionError(f"it did not end within {HANGS} s")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(HANGS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
