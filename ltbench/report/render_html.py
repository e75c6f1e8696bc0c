"""``report.html``: one file with everything in it, that a browser opens from the disk."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Sequence
from importlib.resources import files
from typing import TYPE_CHECKING

from ltbench.report.page import failure_line
from ltbench.report.page_data import script_json, shift_data, trials_data
from ltbench.report.part import Part
from ltbench.report.records import Unreadable
from ltbench.report.schema import Failure
from ltbench.report.statistics import Summary
from ltbench.report.tables import Shown, Value, printed

if TYPE_CHECKING:
    from ltbench.report.figures import Drawing


def render_html(
    parts: Sequence[Part],
    failures: Sequence[Failure],
    unreadable: Sequence[Unreadable],
    ltbench_version: str,
) -> str:
    """Everything inline: styles, scripts, figures as SVG, data as JSON; nothing is fetched."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals |= {"cell": _cell, "sort_key": _sort_key}
    template = environment.from_string(_text("page.html.jinja"))
    data = {
        part.folder: {"shift": shift_data(part.section), "trials": trials_data(part.section)}
        for part in parts
        if part.section is not None
    }
    return template.render(
        parts=[
            {"part": part, "figures": [(d, to_svg(d, part.folder)) for d in part.drawings]}
            for part in parts
        ],
        shifts={anchor for anchor, found in data.items() if found["shift"] is not None},
        data=script_json(data),
        failures=[failure_line(failure) for failure in failures],
        unreadable=unreadable,
        version=ltbench_version,
        style=_text("page.css"),
        script=_text("page.js"),
    )


def to_svg(drawing: Drawing, anchor: str) -> str:
    """The figure as an SVG element with ids of its own, scaled by the page."""
    from ltbench.report.figures import drawing_settings, render

    buffer = io.StringIO()
    salt = f"{anchor}-{drawing.name}"
    with drawing_settings(svg__hashsalt=salt, svg__fonttype="path"):
        render(drawing.figure, "svg", buffer)
    text = buffer.getvalue()
    svg = text[text.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, count=1, flags=re.DOTALL)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    # matplotlib numbers its groups alike in every figure; an id may stand only once on a page.
    svg = re.sub(r'<g id="[a-zA-Z]+_?\d*">', "<g>", svg)
    return svg.replace("<svg ", '<svg aria-hidden="true" focusable="false" ', 1)


def _cell(value: Value, digits: int) -> dict[str, object]:
    shown = printed(value, digits)
    return {"text": shown.main, "uncertainty": shown.uncertainty, "best": shown.best}


def _sort_key(value: Value | float) -> str:
    """What a column is sorted by, beside what it prints; empty sorts last."""
    if isinstance(value, Shown):
        value = value.stored
    if isinstance(value, Summary | float):
        number = float(value.mean if isinstance(value, Summary) else value)
        return "Infinity" if number == math.inf else repr(number)  # as the page's script reads it
    if isinstance(value, int):
        return str(value)
    return ""


def _text(name: str) -> str:
    return files("ltbench.report").joinpath(name).read_text(encoding="utf-8")
