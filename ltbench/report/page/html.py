"""``report.html``: one file with everything in it, that a browser opens from the disk."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from importlib.resources import files

from ltbench.report.figures.style import Look
from ltbench.report.page.data import script_json, shift_data, trials_data
from ltbench.report.page.links import footnotes, links, note_id, trials_ids
from ltbench.report.page.markdown import failure_line
from ltbench.report.page.mix_data import mix_data
from ltbench.report.page.part import Part
from ltbench.report.page.policy import policy
from ltbench.report.records.read import Unreadable
from ltbench.report.records.schema import Failure
from ltbench.report.rows.summary import Summary
from ltbench.report.tables.table import Shown, Value, printed

_SCRIPTS = ("mix.js", "mix_box.js", "page.js")  # each uses those before it


PageData = Mapping[str, Mapping[str, object]]


def page_data(parts: Sequence[Part], looks: Mapping[str, Look]) -> PageData:
    """What the scripts of the page compute with, by the folder of the part. It takes no picture: another
    process may be drawing them meanwhile.

    ``looks``: of every row's label, so that the page has the colours of the figures.
    """
    return {
        part.folder: {
            "shift": shift_data(part.section, looks),
            "mix": mix_data(part.section, looks),
            "trials": trials_data(part.section),
            "notes": footnotes(part),
        }
        for part in parts
        if part.section is not None
    }


def render_html(
    parts: Sequence[Part],
    failures: Sequence[Failure],
    unreadable: Sequence[Unreadable],
    ltbench_version: str,
    data: PageData,
) -> str:
    """Everything inline: styles, scripts, figures as SVG, data as JSON; nothing is fetched."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals |= {"cell": _cell, "sort_key": _sort_key, "links": links}
    environment.globals |= {"note_id": note_id}
    template = environment.from_string(_text("page.html.jinja"))
    style, script = _text("page.css"), "".join(_text(name) for name in _SCRIPTS)
    return template.render(
        parts=[
            {
                "part": part,
                "rows": _rows(part),
            }
            for part in parts
        ],
        shifts={anchor for anchor, found in data.items() if found["shift"] is not None},
        mixes={folder for folder, found in data.items() if found["mix"] is not None},
        data=script_json(data),
        failures=[failure_line(failure) for failure in failures],
        unreadable=unreadable,
        version=ltbench_version,
        policy=policy(style, script),
        style=style,
        script=script,
    )


def _rows(part: Part) -> list[dict[str, object]]:
    """The lists of trials: empty until they are opened, since there may be thousands."""
    if part.section is None:
        return []
    ids = trials_ids(part)
    return [
        {
            "id": ids[row.label],
            "label": row.label,
            "trials": len(row.evaluations),
            "failures": len(row.failures),
        }
        for row in part.section.rows
    ]


def _cell(value: Value, digits: int) -> dict[str, object]:
    shown = printed(value, digits)
    return {
        "text": shown.main,
        "uncertainty": shown.uncertainty,
        "tag": "b" if shown.best else "u" if shown.highest else "",
    }


def _sort_key(value: Value | float) -> str:
    """What a column is sorted by, beside what it prints; empty sorts last."""
    if isinstance(value, Shown):
        value = value.stored
    if isinstance(value, Summary | float):
        number = float(value.mean if isinstance(value, Summary) else value)
        # As the page's script reads it; six digits tell apart what no column prints apart.
        return "Infinity" if number == math.inf else f"{number:.6g}"
    if isinstance(value, int):
        return str(value)
    return ""


def _text(name: str) -> str:
    return files("ltbench.report.page").joinpath(name).read_text(encoding="utf-8")
