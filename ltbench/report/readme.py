"""One Markdown page of a results folder for people who browse the repository: the tables of a paper.

Everything measured is generated. What people wrote stands in files of its own beside the page and is
put in as it is: ``notes/first.md``, ``notes/<section folder>.md`` and ``notes/last.md``.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ltbench.report.published.budget import SHORT, epochs_of, short_budget
from ltbench.report.render.text import escape_markdown, render_markdown
from ltbench.report.rows.sections import Section
from ltbench.report.tables.table import Table

TABLES = (
    *("main", "mixes", "quoted", "groups", "experts-shift", "experts-groups", "partial"),
    *("expert-weights", "stability", "equal-cost", "cost"),
)
"""Of the report's tables those that the page repeats, in this order; the others are linked."""

_FIGURES = ("methods-over-shift", "accuracy-over-shift", "expert-weights")

Parts = Sequence[tuple[Section, Sequence[Table]]]


def render_readme(parts: Parts, page: Path, report: Path, ltbench_version: str) -> str:
    """The text of ``page``.

    parts: sections with all their tables; report: the folder of the report, whose figures are
    linked where they exist. The same records and notes give the same text.
    """
    blocks = [
        "<!-- Made by `ltbench report --readme`; change notes/*.md or the records, not this file. -->",
        _note(page, "first") or "# Results",
        "\n".join(f"- [{_title(section)}](#{_anchor(section)})" for section, _ in parts),
        f"Tables by ltbench {escape_markdown(ltbench_version)}.",
    ]
    for section, tables in parts:
        blocks += _section(section, tables, page, report)
    blocks.append(_note(page, "last"))
    return "\n\n".join(block for block in blocks if block) + "\n"


def _section(section: Section, tables: Sequence[Table], page: Path, report: Path) -> list[str]:
    short = short_budget(section)
    blocks = [f'<a id="{_anchor(section)}"></a>', f"## {_title(section)}", _facts(section)]
    if short is not None:
        blocks.append(
            f"**{SHORT.capitalize()}**: {short[0]} epochs, where the published figures were trained "
            f"for {short[1]}. No number of this section may be set beside one of a full budget."
        )
    blocks.append(_note(page, section.folder))
    folder = report / section.folder
    for name in _FIGURES:
        figure = folder / "figures" / f"{name}.png"
        if figure.is_file():
            blocks.append(f"![{name} of {_title(section)}]({_link(figure, page)})")
    by_name = {table.name: table for table in tables}
    leads = [table.name for table in tables[:1] if table.name not in TABLES]
    for name in (*leads, *TABLES):
        if name in by_name:
            blocks.append(render_markdown(_marked(by_name[name], short is not None)).rstrip())
    # No link: where reports are not kept under version control it would lead nowhere.
    whole = _link(folder / "report.md", page)
    blocks.append(f"All tables and figures: `ltbench report` writes them to `{whole}`.")
    return blocks


def _marked(table: Table, short: bool) -> Table:
    return replace(table, title=f"{table.title} ({SHORT})") if short else table


def _title(section: Section) -> str:
    """With the budget where it is short: a reader of the list alone must see it."""
    mark = f", {SHORT}" if short_budget(section) else ""
    return escape_markdown(f"{section.title}{mark}")


def _anchor(section: Section) -> str:
    return f"section-{section.folder}".lower()


def _facts(section: Section) -> str:
    """What was run, in one line."""
    evaluations = [e for row in section.everything for e in row.evaluations]
    trials = {e.trial.trial for e in evaluations}
    seeds = sorted({e.seed for e in evaluations})
    devices = sorted({e.trial.device for e in evaluations} - {""})
    parts = [
        _count(len(trials), "trial"),
        f"seeds {', '.join(map(str, seeds))}" if len(seeds) > 1 else f"seed {seeds[0]} alone",
        f"{', '.join(map(str, epochs_of(section))) or 'unknown'} epochs",
        f"trained on {', '.join(devices)}" if devices else "",
    ]
    return escape_markdown("; ".join(part for part in parts if part)) + "."


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _note(page: Path, name: str) -> str:
    path = page.parent / "notes" / f"{name}.md"
    return path.read_text(encoding="utf-8").strip("\n") if path.is_file() else ""


def _link(path: Path, page: Path) -> str:
    return Path(os.path.relpath(path, page.parent)).as_posix()
