"""``--template``: a jinja2 file of the user's own, filled with what the tables hold."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from traceback import extract_tb

from ltbench.errors import InputError
from ltbench.files import read_whole, write_text
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
    in docs/plugins/template.md. It runs in a sandbox (:mod:`ltbench.report.render.sandbox`): it
    formats what it is given and includes no file. Raises :class:`InputError`, one line, with the
    template's line.
    """
    from jinja2 import StrictUndefined

    from ltbench.report.render.sandbox import Sandbox

    environment = Sandbox(undefined=StrictUndefined, autoescape=False)
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
        source = read_whole(template).decode("utf-8")
        filled = environment.from_string(source)
        text = environment.filled(filled, sections=sections, version=__version__)
    except Exception as error:  # an expression of the template's raises whatever it leads to
        line = getattr(error, "lineno", None) or _line(error)
        place = f"{template}:{line}" if line else str(template)
        reason = (str(error) or type(error).__name__).splitlines()[0][:300]
        raise InputError(f"template {place}: {reason}") from error
    name = template.name
    for suffix in _SUFFIXES:
        name = name.removesuffix(suffix)
    path = target / (name if name != template.name else f"filled-{name}")
    write_text(path, text)
    return path


def _line(error: BaseException) -> int | None:
    """Of the template, where it was being filled: jinja2 puts that into the traceback."""
    steps = [step for step in extract_tb(error.__traceback__) if step.filename == "<template>"]
    return steps[-1].lineno if steps else None
