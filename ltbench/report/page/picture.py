"""A figure as the bytes of its files and its SVG on the page, which no longer need matplotlib."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal

from ltbench.files import write_bytes
from ltbench.report.page.svg import to_svg
from ltbench.report.render.text import csv_text

if TYPE_CHECKING:
    from ltbench.report.figures.drawing import Drawing

Kind = Literal["pdf", "png"]
KINDS: tuple[Kind, ...] = ("pdf", "png")


@dataclass(frozen=True)
class Picture:
    """files: by suffix, in the order in which they are written; svg: an element of the page."""

    name: str
    caption: str
    files: Mapping[str, bytes]
    svg: str


def picture_of(drawing: Drawing, number: int) -> Picture:
    """The same drawing gives the same bytes, whoever draws it and when.

    Ids of the SVG begin with its ``number`` in the report between underscores, as no other id of the
    page does.
    """
    files = figure_files(drawing)
    svg = to_svg(drawing, f"_{number}_")
    return Picture(drawing.name, drawing.caption, files, svg)


def figure_files(drawing: Drawing) -> dict[str, bytes]:
    """By suffix: PDF and PNG for reading, CSV of what they show."""
    from ltbench.report.figures.drawing import drawing_settings, render

    files = {}
    with drawing_settings():
        for kind in KINDS:
            file = io.BytesIO()
            render(drawing.figure, kind, file)
            files[f".{kind}"] = file.getvalue()
    files[".csv"] = csv_text([drawing.head, *drawing.data]).encode("utf-8")
    return files


def packed(picture: Picture | None) -> bytes:
    """A line of JSON, then the parts that it has the lengths of."""
    if picture is None:
        return b"{}\n"
    parts = [*picture.files.values(), picture.svg.encode("utf-8")]
    head = {
        "name": picture.name,
        "caption": picture.caption,
        "kinds": [*picture.files],
        "sizes": [len(part) for part in parts],
    }
    return b"".join([json.dumps(head).encode("ascii"), b"\n", *parts])


def unpacked(file: BinaryIO) -> Picture | None:
    """The inverse of :func:`packed`; :class:`ValueError` where not all of it is there."""
    head = json.loads(file.readline())
    if not head:
        return None
    parts = [file.read(size) for size in head["sizes"]]
    if [len(part) for part in parts] != head["sizes"]:
        raise ValueError("cut short")
    *files, svg = parts
    by_kind = dict(zip(head["kinds"], files, strict=True))
    return Picture(head["name"], head["caption"], by_kind, svg.decode("utf-8"))


def save_files(name: str, files: Mapping[str, bytes], folder: Path) -> list[Path]:
    """``<name>.pdf``, ``.png`` and ``.csv``."""
    paths = [folder / f"{name}{suffix}" for suffix in files]
    for path, content in zip(paths, files.values(), strict=True):
        write_bytes(path, content, durable=False)
    return paths
