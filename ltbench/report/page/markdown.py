"""The pages of a report in Markdown: one per section, and an index."""

from __future__ import annotations

from collections.abc import Sequence

from ltbench.report.page.part import Part
from ltbench.report.records.read import Unreadable
from ltbench.report.records.schema import Failure
from ltbench.report.render.text import escape_markdown, render_markdown
from ltbench.report.tables.table import Table


def render_page(
    title: str,
    tables: Sequence[Table],
    figures: Sequence[tuple[str, str]],
    ltbench_version: str,
) -> str:
    """``report.md``: figures first, as readers look at them first, then all tables."""
    parts = [f"# {escape_markdown(title)}\n"]
    parts.append(f"Made by `ltbench report` {escape_markdown(ltbench_version)}.\n")
    for name, caption in figures:
        parts.append(f"![{escape_markdown(caption)}](figures/{name}.png)\n")
        parts.append(f"{escape_markdown(caption)} ([PDF](figures/{name}.pdf),")
        parts.append(f"[data](figures/{name}.csv))\n")
    for table in tables:
        links = ", ".join(f"[{kind}](tables/{table.name}.{kind})" for kind in ("tex", "csv"))
        parts.append(f"{render_markdown(table)}\n{links}\n")
    return "\n".join(parts)


def render_index(
    parts: Sequence[Part],
    failures: Sequence[Failure],
    unreadable: Sequence[Unreadable],
    ltbench_version: str,
) -> str:
    """``index.md``: the sections, and what is in none of them."""
    lines = ["# Report", "", f"Made by `ltbench report` {escape_markdown(ltbench_version)}.", ""]
    lines += ["All of it on one page for a browser: [report.html](report.html)", ""]
    for part in parts:
        lines.append(f"- [{escape_markdown(part.title)}]({part.folder}/report.md)")
    if failures:
        lines += ["", "Failed trials of protocols without any result:", ""]
        lines += [f"- {escape_markdown(failure_line(failure))}" for failure in failures]
    if unreadable:
        lines += ["", "Unreadable, not counted:", ""]
        lines += [
            f"- {escape_markdown(bad.place)}: {escape_markdown(bad.reason)}" for bad in unreadable
        ]
    return "\n".join([*lines, ""])


def failure_line(failure: Failure) -> str:
    where = f"{failure.protocol.name} {failure.training.name} seed {failure.seed}"
    return f"{where}: {failure.status}{f': {failure.error}' if failure.error else ''}"
