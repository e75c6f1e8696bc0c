"""The report from Python."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ltbench.python.arguments import AnyPath, listed, optional_path

if TYPE_CHECKING:
    from ltbench.report.build import ReportOutcome


def write_report(
    results: AnyPath = "results",
    output: AnyPath | None = None,
    *,
    protocol: str | None = None,
    methods: str | Iterable[str] = (),
    columns: str | Iterable[str] = (),
    group_by: str = "",
    decimals: int | None = None,
    template: AnyPath | None = None,
    siunitx: bool = False,
    strict: bool = False,
    figures: bool = True,
    readme: AnyPath | None = None,
    cite: AnyPath | None = None,
    quiet: bool = True,
) -> ReportOutcome:
    """Writes tables, figures and the page of a results folder, as ``ltbench report`` does.

    output: by default ``<results>/report``; methods and columns: show these only (``"ce,sade"`` or
    a list; columns as headed, ``"F50,U,B50,Mean"``); group_by: ``"method"`` or ``"strategy"``;
    decimals: of accuracies; template: a jinja2 file of yours; readme: also one Markdown page;
    cite: also the BibTeX of what was used; strict: refuse unreadable records, mixtures and rows
    that lack seeds; quiet: print no tables.

    Returns a :class:`ReportOutcome`: ``output`` (the folder), ``sections`` (a folder each),
    ``files``, ``unreadable`` (path and reason of records that were not counted) and ``failures``.
    Raises :class:`ValueError` where there is nothing to report, for names that are not there, and
    for what ``strict`` refuses.
    """
    from rich.console import Console

    from ltbench.report.build import build_report
    from ltbench.report.selection import Selection

    built = build_report(
        Path(results),
        optional_path(output),
        protocol=protocol,
        strict=strict,
        console=None if quiet else Console(),
        figures=figures,
        selection=Selection(listed(methods), listed(columns), group_by, decimals),
        siunitx=siunitx,
        template=optional_path(template),
        readme=optional_path(readme),
    )
    if cite is None:
        return built
    from ltbench.report.cite import write_bibliography

    missing = write_bibliography(Path(results), Path(cite), protocol)
    for what in missing if not quiet else ():
        print(f"no reference is known for {what}")
    return replace(built, files=(*built.files, Path(cite)))
