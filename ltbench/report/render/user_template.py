"""``--template``: a jinja2 file of the user's own, filled with what the tables hold."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ltbench.errors import InputError
from ltbench.files import write_text
from ltbench.report.render.latex import cell_latex, escape_latex
from ltbench.report.render.text import escape_markdown
from ltbench.report.rows.sections import Section
from ltbench.report.tables.table import Table, printed
from ltbench.version import __version__

_SUFFIXES = (".jinja", ".jinja2", ".j2")


def check_template(template: Path | None) -> None:
    """Before any work. Raises :class:`InputError` where the file cannot be read."""
    if template is not None and not template.is_file():
        raise InputError(f"template {template} is no file")


def fill_template(
    template: Path, target: Path, shown: Sequence[tuple[Section, Sequence[Table]]]
) -> Path:
    """Writes the filled template into ``target`` under its own name without ``.jinja``.

    It sees ``sections`` (each with ``section``, ``tables`` and ``by_name``), ``version`` and the
    filters ``printed(digits)``, ``latex_cell(digits)``, ``latex`` and ``markdown``; the fields are listed
    in docs/plugins.md. It runs in a sandbox: it formats what it is given. Raises
    :class:`InputError` with the line of an error.
    """
    from jinja2 import FileSystemLoader, StrictUndefined, TemplateError
    from jinja2.sandbox import SandboxedEnvironment

    environment = SandboxedEnvironment(
        loader=FileSystemLoader(template.parent), undefined=StrictUndefined, autoescape=False
    )
    environment.filters |= {
        "printed": lambda value, digits=1: printed(value, digits),
        "latex_cell": cell_latex,
        "latex": escape_latex,
        "markdown": escape_markdown,
    }
    sections = [
        {"section": section, "tables": tables, "by_name": {table.name: table for table in tables}}
        for section, tables in shown
    ]
    try:
        filled = environment.get_template(template.name)
        text = filled.render(sections=sections, version=__version__)
    except (TemplateError, UnicodeDecodeError, TypeError, ValueError) as error:
        line = getattr(error, "lineno", None)
        place = f"{template}:{line}" if line else str(template)
        raise InputError(f"template {place}: {str(error).splitlines()[0]}") from error
    name = template.name
    for suffix in _SUFFIXES:
        name = name.removesuffix(suffix)
    path = target / (name if name != template.name else f"filled-{name}")
    write_text(path, text)
    return path
