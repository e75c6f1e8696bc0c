"""A figure as an SVG element that can stand beside others in one HTML page."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING

from ltbench.report.page.small import small_svg

if TYPE_CHECKING:
    from ltbench.report.figures.drawing import Drawing

_COMMENT = re.compile("<!--.*?-->", re.DOTALL)  # matplotlib's: the texts that it has as glyphs
_ID = re.compile(r'\sid="([^"]*)"')
_URL = re.compile(r"""url\((['"]?)#([^)'"]+)\1\)""")
_HREF = re.compile(r'((?:xlink:)?href=")#([^"]+)"')
_NAMES = re.compile(r'(aria-(?:labelledby|describedby)=")([^"]+)"')


def to_svg(drawing: Drawing, prefix: str) -> str:
    """The figure without a size of its own, which the page gives it; its ids begin with ``prefix``."""
    from ltbench.report.figures.drawing import drawing_settings, render

    buffer = io.StringIO()
    with drawing_settings(svg__hashsalt=prefix, svg__fonttype="path"):
        render(drawing.figure, "svg", buffer)
    text = buffer.getvalue()
    svg = small_svg(_COMMENT.sub("", text[text.index("<svg") :]))
    svg = with_own_ids(svg, prefix)
    return svg.replace("<svg ", '<svg aria-hidden="true" focusable="false" ', 1)


def with_own_ids(svg: str, prefix: str) -> str:
    """Ids that something refers to get ``prefix``, and so do the references; other ids go.

    matplotlib names groups, glyphs and clip paths alike in every figure, but an id may stand only
    once on a page, and a reference meets the first element of that id, of whichever figure.

    >>> with_own_ids('<g id="a"/><path id="b"/><use xlink:href="#b"/>', "f_")
    '<g/><path id="f_b"/><use xlink:href="#f_b"/>'
    """
    used = {name for _, name in _URL.findall(svg)} | {name for _, name in _HREF.findall(svg)}
    used |= {name for _, names in _NAMES.findall(svg) for name in names.split()}
    svg = _ID.sub(lambda m: f' id="{prefix}{m[1]}"' if m[1] in used else "", svg)
    svg = _URL.sub(lambda m: f"url({m[1]}#{prefix}{m[2]}{m[1]})", svg)
    svg = _HREF.sub(lambda m: f'{m[1]}#{prefix}{m[2]}"', svg)
    return _NAMES.sub(lambda m: m[1] + " ".join(prefix + name for name in m[2].split()) + '"', svg)
