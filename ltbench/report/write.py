"""Writes the files of one part of the report."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from ltbench.files import write_text
from ltbench.report.page.markdown import render_page
from ltbench.report.page.part import Part
from ltbench.report.page.picture import save_files
from ltbench.report.render.latex import render_document, render_latex
from ltbench.report.render.macros import render_macros
from ltbench.report.render.text import render_csv, render_markdown
from ltbench.version import __version__

# A report is made again in seconds: no file of it is worth waiting for the disk.
write_report_text = partial(write_text, durable=False)


def write_part(part: Part, target: Path, *, siunitx: bool) -> list[Path]:
    """Tables as LaTeX, Markdown and CSV, figures, a LaTeX document and a Markdown page."""
    folder = target / part.folder
    texts: dict[Path, str] = {}
    for table in part.tables:
        stem = folder / "tables" / table.name
        label = f"{part.folder}-{table.name}"
        texts[stem.with_suffix(".tex")] = render_latex(table, label, siunitx=siunitx)
        texts[stem.with_suffix(".md")] = render_markdown(table)
        texts[stem.with_suffix(".csv")] = render_csv(table)
    files: list[Path] = []
    for picture in part.pictures:
        files += save_files(picture.name, picture.files, folder / "figures")
    shown = [(picture.name, picture.caption) for picture in part.pictures]
    texts[folder / "tables" / "macros.tex"] = render_macros(part.tables, part.folder)
    texts[folder / "main.tex"] = render_document(
        part.title,
        [f"tables/{table.name}" for table in part.tables],
        [(f"figures/{name}.pdf", caption) for name, caption in shown],
        siunitx=siunitx,
    )
    texts[folder / "report.md"] = render_page(part.title, part.tables, shown, __version__)
    for path, text in texts.items():
        write_report_text(path, text)
    return [*files, *texts]
