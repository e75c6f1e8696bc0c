"""Writes the report: a folder per section with tables, figures and a page that shows them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ltbench.errors import InputError, nearest
from ltbench.files import write_atomically, write_text
from ltbench.report.contents import build_tables
from ltbench.report.page import render_index, render_page
from ltbench.report.records import Records, Unreadable, read_records
from ltbench.report.render_latex import render_document, render_latex
from ltbench.report.render_macros import render_macros
from ltbench.report.render_text import render_csv, render_markdown
from ltbench.report.schema import Failure
from ltbench.report.sections import Section, build_sections
from ltbench.report.selection import Selection, check_columns, select_columns, select_rows
from ltbench.report.strictness import refuse_mixtures, with_footnotes
from ltbench.report.style import Look, looks
from ltbench.report.tables import Table
from ltbench.report.user_template import check_template, fill_template
from ltbench.version import __version__

if TYPE_CHECKING:
    from rich.console import Console

    from ltbench.report.figures import Drawing


@dataclass(frozen=True)
class ReportOutcome:
    """Where the report lies, what it is made of and what could not be read."""

    output: Path
    sections: tuple[Path, ...]
    files: tuple[Path, ...]
    unreadable: tuple[Unreadable, ...]
    failures: tuple[Failure, ...]


def build_report(
    results: Path,
    output: Path | None = None,
    *,
    protocol: str | None = None,
    strict: bool = False,
    console: Console | None = None,
    figures: bool = True,
    selection: Selection = Selection(),  # noqa: B008 (frozen)
    siunitx: bool = False,
    template: Path | None = None,
) -> ReportOutcome:
    """Reads ``results`` and writes ``output`` (by default ``<results>/report``).

    Args:
        protocol: report this protocol only.
        strict: refuse to report while any record is unreadable, and where results of other
            budgets, protocol versions, data or code versions would stand in one report.
        console: where tables and messages go; nothing is printed without one.
        figures: whether to draw; tables alone take a fraction of the time.
        selection: which methods and columns to show, in which blocks, with how many decimals.
        siunitx: write the LaTeX tables with ``S`` columns of that package.
        template: a jinja2 file of the user's own, filled with sections and tables.

    Raises:
        InputError: no such folder, no readable evaluation, a name that is not there, or what
            ``strict`` refuses.
    """
    from ltbench.report.terminal import Printer

    printer = Printer(console)
    records = read_records(results)
    printer.unreadable(records.unreadable)
    if strict and records.unreadable:
        n = len(records.unreadable)
        first = records.unreadable[0]
        raise InputError(f"{n} unreadable under {results}, the first: {first.path}: {first.reason}")
    check_template(template)
    chosen = _select(records, protocol, results)
    sections, homeless = build_sections(chosen)
    if strict:
        refuse_mixtures(sections)
    drawn = _looks(sections)  # over all rows: a selection changes no colour
    sections = select_rows(with_footnotes(sections), selection)
    built = [(section, build_tables(section, __version__)) for section in sections]
    check_columns((table for _, tables in built for table in tables), selection)
    shown = [(s, [select_columns(table, selection) for table in tables]) for s, tables in built]
    target = output or results / "report"
    _prepare(target)
    files: list[Path] = []
    for section, tables in shown:
        printer.section(section, tables)
        files += _write_section(section, tables, drawn if figures else None, target, siunitx)
    files.append(_write_parquet(chosen, target))
    if template is not None:
        files.append(fill_template(template, target, shown))
    index = target / "index.md"
    write_text(index, render_index(sections, homeless, records.unreadable, __version__))
    printer.end(homeless, _unevaluated(records), target)
    return ReportOutcome(
        output=target,
        sections=tuple(target / section.folder for section in sections),
        files=(*files, index),
        unreadable=records.unreadable,
        failures=records.failures,
    )


def _prepare(target: Path) -> None:
    """Before any work: a report that cannot be written is not worth making."""
    if target.is_file():
        raise InputError(f"{target} is a file, not a folder for the report")
    try:
        target.mkdir(parents=True, exist_ok=True)
        writable = os.access(target, os.W_OK)
    except OSError as error:
        raise InputError(f"{target} cannot be written: {error.strerror}") from error
    if not writable:
        raise InputError(f"{target} cannot be written: no permission")


def _select(records: Records, protocol: str | None, results: Path) -> Records:
    if not records.evaluations:
        found = [
            f"{len(records.unreadable)} unreadable" if records.unreadable else "",
            f"{len(records.failures)} failed trials" if records.failures else "",
        ]
        text = ", ".join(part for part in found if part)
        raise InputError(
            f"no readable evaluation under {results}{f' ({text})' if text else ''};"
            " `ltbench run ...` first"
        )
    if protocol is None:
        return records
    names = sorted({e.protocol.name for e in records.evaluations})
    if protocol not in names:
        close = nearest(protocol, names)
        raise InputError(
            f"no evaluation of protocol {protocol!r} under {results}{close}"
            f" (found: {', '.join(names)})"
        )
    return Records(
        trials=tuple(t for t in records.trials if t.protocol.name == protocol),
        failures=tuple(f for f in records.failures if f.protocol.name == protocol),
        evaluations=tuple(e for e in records.evaluations if e.protocol.name == protocol),
        unreadable=records.unreadable,
    )


def _unevaluated(records: Records) -> int:
    evaluated = {evaluation.trial.trial for evaluation in records.evaluations}
    return sum(trial.trial not in evaluated for trial in records.trials)


def _write_parquet(records: Records, target: Path) -> Path:
    """The tidy frame of :func:`ltbench.load_results`, means over draws."""
    from ltbench.report.frame import results_frame

    path = target / "results.parquet"
    frame = results_frame(records)
    write_atomically(path, lambda temporary: frame.to_parquet(temporary, index=False))
    return path


def _looks(sections: Sequence[Section]) -> dict[str, Look]:
    """Over all sections, so that a method has one colour in the whole report."""
    return looks((row.label, row.method) for section in sections for row in section.rows)


def _write_section(
    section: Section,
    tables: Sequence[Table],
    drawn: Mapping[str, Look] | None,
    target: Path,
    siunitx: bool,
) -> list[Path]:
    folder = target / section.folder
    texts: dict[Path, str] = {}
    for table in tables:
        stem = folder / "tables" / table.name
        label = f"{section.folder}-{table.name}"
        texts[stem.with_suffix(".tex")] = render_latex(table, label, siunitx=siunitx)
        texts[stem.with_suffix(".md")] = render_markdown(table)
        texts[stem.with_suffix(".csv")] = render_csv(table)
    files: list[Path] = []
    drawings: list[Drawing] = []
    if drawn is not None:
        from ltbench.report.figures import build_figures, save_figure

        drawings = build_figures(section, drawn)
        for drawing in drawings:
            files += save_figure(drawing, folder / "figures")
    shown = [(drawing.name, drawing.caption) for drawing in drawings]
    texts[folder / "tables" / "macros.tex"] = render_macros(tables, section.folder)
    texts[folder / "main.tex"] = render_document(
        section.title,
        [f"tables/{table.name}" for table in tables],
        [(f"figures/{name}.pdf", caption) for name, caption in shown],
        siunitx=siunitx,
    )
    texts[folder / "report.md"] = render_page(section, tables, shown, __version__)
    for path, text in texts.items():
        write_text(path, text)
    return [*files, *texts]
