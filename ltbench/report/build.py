"""Writes the report: a folder per section with tables, figures and a page that shows them."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ltbench.errors import InputError, nearest
from ltbench.files import sweep_abandoned
from ltbench.report.content import records_content
from ltbench.report.drawn import figure_tasks, overview_folder
from ltbench.report.figures.style import Look, looks
from ltbench.report.helpers import Task
from ltbench.report.kept import drawn_or_kept
from ltbench.report.page.html import page_data, render_html
from ltbench.report.page.markdown import render_index
from ltbench.report.page.part import Part
from ltbench.report.page.picture import Picture, save_files
from ltbench.report.readme import render_readme
from ltbench.report.records.read import Records, Unreadable, no_collection, read_records
from ltbench.report.records.schema import Failure
from ltbench.report.render.user_template import check_template, fill_template
from ltbench.report.rows.sections import Section, build_sections
from ltbench.report.rows.strictness import refuse_mixtures, with_footnotes
from ltbench.report.rows.uneven import refuse_uneven
from ltbench.report.selection import Selection, check_columns, select_columns, select_rows
from ltbench.report.tables.all import build_tables
from ltbench.report.tables.overview import build_overview, overview_table
from ltbench.report.write import write_part, write_report_text
from ltbench.version import __version__

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True)
class ReportOutcome:
    """Where the report lies, what it is made of and what could not be read."""

    output: Path
    sections: tuple[Path, ...]
    files: tuple[Path, ...]
    unreadable: tuple[Unreadable, ...]
    failures: tuple[Failure, ...]


@contextmanager
def _records_unscanned() -> Iterator[None]:
    """Ends what ``gc.freeze`` began: without it every collection of garbage walks through millions of
    records, a third of the time of a large report."""
    try:
        yield
    finally:
        gc.unfreeze()


@_records_unscanned()
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
    readme: Path | None = None,
) -> ReportOutcome:
    """Reads ``results`` and writes ``output`` (by default ``<results>/report``).

    Args:
        protocol: report this protocol only.
        strict: refuse to report while any record is unreadable, where results of other budgets,
            protocol versions, data or code versions would stand in one report, and where rows of
            one table are of a GPU and of a CPU or lack seeds that others have.
        console: where tables and messages go; nothing is printed without one.
        figures: whether to draw; tables alone take a fraction of the time.
        selection: which methods and columns to show, in which blocks, with how many decimals.
        siunitx: write the LaTeX tables with ``S`` columns of that package.
        template: a jinja2 file of the user's own, filled with sections and tables.
        readme: where to write one Markdown page of the main tables of all sections.

    Raises:
        InputError: no such folder, no readable evaluation, a name that is not there, or what
            ``strict`` refuses.
    """
    from ltbench.report.terminal import Printer

    printer = Printer(console)
    with no_collection():  # not even once before they are frozen
        records = read_records(results)
        gc.freeze()
    if strict and records.unreadable:
        printer.unreadable(records.unreadable)
        n = len(records.unreadable)
        first = records.unreadable[0]
        raise InputError(
            f"{n} unreadable under {results}, the first: {first.place}: {first.reason}"
        )
    check_template(template)
    try:
        chosen = _select(records, protocol, results)
    except InputError:
        printer.unreadable(records.unreadable)
        raise
    sections, homeless = build_sections(chosen)
    if strict:
        refuse_mixtures(sections)
    drawn = _looks(sections)  # over all rows: a selection changes no colour
    sections = select_rows(with_footnotes(sections), selection)
    if strict:
        refuse_uneven(sections)
    overview = build_overview(sections)
    tasks = figure_tasks(sections, overview, drawn) if figures else []
    works: list[tuple[str, Task]] = [(records_content(chosen), lambda: _parquet(chosen))]
    works += [(task.content, task.draw) for task in tasks]
    with drawn_or_kept(works) as pictures:
        built = [(section, build_tables(section, __version__)) for section in sections]
        check_columns((table for _, tables in built for table in tables), selection)
        shown = [(s, [select_columns(table, selection) for table in tables]) for s, tables in built]
        parts = [Part(s.folder, s.title, tuple(tables), (), s) for s, tables in shown]
        if overview is not None:
            table = overview_table(overview, __version__)
            parts.append(Part(overview_folder(sections), table.title, (table,), ()))
        data = page_data(parts, drawn)
        target = output or results / "report"
        _prepare(target)
        found: dict[str, list[Picture]] = {}
        parquet, *others = pictures()
        for task, picture in zip(tasks, others, strict=True):
            found.setdefault(task.folder, []).extend([] if picture is None else [picture])
    parts = [replace(part, pictures=tuple(found.get(part.folder, ()))) for part in parts]
    files: list[Path] = []
    for part in parts:
        files += write_part(part, target, siunitx=siunitx)
    if parquet is not None:
        files += save_files(parquet.name, parquet.files, target)
    if template is not None:
        files.append(fill_template(template, target, shown))
    if readme is not None:
        write_report_text(readme, render_readme(shown, readme, target, __version__))
        files.append(readme)
    page, index = target / "report.html", target / "index.md"
    html = render_html(parts, homeless, records.unreadable, __version__, data)
    write_report_text(page, html)
    write_report_text(index, render_index(parts, homeless, records.unreadable, __version__))
    sweep_abandoned([*files, page, index])
    printer.unreadable(records.unreadable)
    for part in parts:  # once everything is written: the reader of a pipe may leave at any line
        printer.part(part)
    printer.end(homeless, _unevaluated(records), target)
    return ReportOutcome(
        output=target,
        sections=tuple(target / section.folder for section in sections),
        files=(*files, page, index),
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
    return replace(
        records,
        trials=tuple(t for t in records.trials if t.protocol.name == protocol),
        failures=tuple(f for f in records.failures if f.protocol.name == protocol),
        evaluations=tuple(e for e in records.evaluations if e.protocol.name == protocol),
        streams=tuple(s for s in records.streams if s.protocol.name == protocol),
    )


def _unevaluated(records: Records) -> int:
    """Trials without a row, their own or one of an ensemble that they are members of."""
    evaluated = {evaluation.trial.trial for evaluation in records.evaluations}
    evaluated |= {name for e in records.evaluations for name in e.trial.member_trials}
    return sum(trial.trial not in evaluated for trial in records.trials)


def _parquet(records: Records) -> Picture:
    """The tidy frame of :func:`ltbench.load_results`, means over draws: no figure, but made beside the
    tables as they are."""
    from ltbench.report.frames.results import results_frame

    content: bytes = results_frame(records).to_parquet(index=False)
    return Picture("results", "", {".parquet": content}, "")


def _looks(sections: Sequence[Section]) -> dict[str, Look]:
    """Over all sections, so that a method has one colour in the whole report."""
    return looks((row.label, row.method) for section in sections for row in section.rows)
