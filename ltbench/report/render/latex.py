"""Tables as LaTeX fragments (booktabs) that any engine compiles, and a document around them."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence

from ltbench.report.rows.summary import Summary
from ltbench.report.tables.table import Table, Value, printed

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "{''}",
    "*": r"$^{\ast}$",
    # At the start of a row "[" would be read as the optional argument of the \\ before it.
    "[": "{[}",
    "]": "{]}",
    "‡": r"$^{\ddagger}$",
    "§": r"$^{\S}$",
    "±": r"$\pm$",
    "×": r"$\times$",
    "″": "{''}",
    "∞": r"$\infty$",
    "–": "--",
    "—": "---",
    "ß": r"\ss{}",
    "ø": r"\o{}",
    "Ø": r"\O{}",
    "æ": r"\ae{}",
    "Æ": r"\AE{}",
    "œ": r"\oe{}",
    "Œ": r"\OE{}",
    "ł": r"\l{}",
    "Ł": r"\L{}",
    "ı": r"\i{}",
}
_ACCENTS = {
    "\u0300": r"\`",
    "\u0301": r"\'",
    "\u0302": r"\^",
    "\u0303": r"\~",
    "\u0304": r"\=",
    "\u0306": r"\u",
    "\u0307": r"\.",
    "\u0308": r"\"",
    "\u030a": r"\r",
    "\u030b": r"\H",
    "\u030c": r"\v",
    "\u0327": r"\c",
}
_GREEK = {
    letter: unicodedata.name(letter).removeprefix("GREEK SMALL LETTER ").lower()
    for letter in "αβγδεζηθικμνξπρστυφχψω"
} | {"λ": "lambda"}  # Unicode spells it LAMDA


def escape_latex(text: str) -> str:
    r"""Text that prints as it is under every engine; what pdfTeX has no glyph for as ``[U+4E2D]``.

    >>> print(escape_latex("50 % of a_b & é"))
    50 \% of a\_b \& \'{e}
    """
    flat = " ".join(text.split())
    return "".join(_character(c) for c in unicodedata.normalize("NFC", flat))


def _character(c: str) -> str:
    if c in _SPECIAL:
        return _SPECIAL[c]
    if " " <= c <= "~":
        return c
    if c in _GREEK:
        return rf"\ensuremath{{\{_GREEK[c]}}}"
    parts = unicodedata.normalize("NFD", c)
    if len(parts) == 2 and parts[0].isascii() and parts[0].isalpha() and parts[1] in _ACCENTS:
        return f"{_ACCENTS[parts[1]]}{{{parts[0]}}}"
    return f"{{[}}U+{ord(c):04X}{{]}}"


def render_latex(table: Table, label: str, *, siunitx: bool = False) -> str:
    """A ``table`` environment; its first lines are comments that name the packages it needs.

    A table wider than the text is scaled down to it, none is scaled up. With ``siunitx`` numbers
    stand in ``S`` columns, aligned at the decimal point; that package is needed then (version 3).
    """
    numeric = _numeric(table) if siunitx else frozenset()
    columns = "".join(_column_type(table, i, numeric) for i in range(len(table.columns)))
    width = len(table.columns)
    lines = [
        *_needs(table, bool(numeric)),
        r"\begin{table}[htbp]",
        r"\centering",
        rf"\caption{{{escape_latex(table.caption)}}}",
        rf"\label{{tab:{label}}}",
        r"\small",
        r"\setlength{\tabcolsep}{4pt}",
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        _line([_head(column.header, i in numeric) for i, column in enumerate(table.columns)]),
    ]
    for block in table.blocks:
        lines.append(r"\midrule")
        if block.title:
            title = rf"\multicolumn{{{width}}}{{l}}{{\emph{{{escape_latex(block.title)}}}}}"
            lines.append(rf"{title} \\")
        for place, row in enumerate(block.rows):
            cells = [
                _aligned(value, column.digits) if i in numeric else cell_latex(value, column.digits)
                for i, (value, column) in enumerate(zip(row, table.columns, strict=True))
            ]
            grey = r"\color{gray}"
            lines.append(
                _line([f"{grey}{cell}" for cell in cells] if place in block.quoted else cells)
            )
    lines += [r"\bottomrule", r"\end{tabular}}"]
    if table.notes:
        notes = r"\\ ".join(escape_latex(note) for note in table.notes)
        lines.append(rf"\par\smallskip\parbox{{\linewidth}}{{\footnotesize {notes}}}")
    return "\n".join([*lines, r"\end{table}", ""])


def _needs(table: Table, siunitx: bool) -> list[str]:
    """The packages of this very fragment, as a comment that can be copied."""
    packages = ["booktabs", "graphicx"]
    packages += ["xcolor"] if any(block.quoted for block in table.blocks) else []
    packages += ["siunitx"] if siunitx else []
    needed = " ".join(rf"\usepackage{{{name}}}" for name in packages)
    settings = [r"% and, for bold numbers, \sisetup{detect-all}"] if siunitx else []
    return [f"% needs {needed}", *settings]


def _line(cells: list[str]) -> str:
    return " & ".join(cells) + r" \\"


def _numeric(table: Table) -> frozenset[int]:
    """Columns with means; a count or a text alone needs no alignment."""
    rows = [row for block in table.blocks for row in block.rows]
    places = range(len(table.columns))
    return frozenset(i for i in places if any(isinstance(row[i], Summary) for row in rows))


def _column_type(table: Table, place: int, numeric: frozenset[int]) -> str:
    column = table.columns[place]
    if place not in numeric:
        return "l" if column.text else "r"
    cells = [
        printed(row[place], column.digits)
        for block in table.blocks
        for row in block.rows
        if isinstance(row[place], Summary) and _finite(row[place])
    ]
    if not cells:
        return "r"
    whole = max(len(cell.main.split(".")[0].removeprefix("-")) for cell in cells)
    sign = "-" if any(cell.main.startswith("-") for cell in cells) else ""
    wide = max((cell.uncertainty for cell in cells), key=len)
    # siunitx counts an uncertainty in units of the last digit: 12.3 is 123 of them.
    width = f"({len(wide.replace('.', ''))})" if wide else ""
    form = f"{sign}{whole}.{column.digits}{width}"
    return f"S[table-format={form},separate-uncertainty,table-align-uncertainty]"


def _finite(value: Value) -> bool:
    return isinstance(value, Summary) and math.isfinite(value.mean)


def _head(text: str, braced: bool) -> str:
    return f"{{{escape_latex(text)}}}" if braced else escape_latex(text)


def _aligned(value: Value, digits: int) -> str:
    """For an ``S`` column: numbers as siunitx reads them, anything else in braces."""
    if not _finite(value):
        return f"{{{cell_latex(value, digits)}}}"
    cell = printed(value, digits)
    text = rf"{cell.main} \pm {cell.uncertainty}" if cell.uncertainty else cell.main
    if cell.highest:  # no command may stand in an S column, but in braces
        return f"{{{cell_latex(value, digits)}}}"
    return rf"\bfseries {text}" if cell.best else text


def cell_latex(value: Value, digits: int) -> str:
    cell = printed(value, digits)
    text = escape_latex(cell.main)
    if cell.main.startswith("-") and isinstance(value, Summary):
        text = rf"$-${{}}{text[1:]}" if math.isinf(value.mean) else rf"$-${text[1:]}"
    text = rf"\textbf{{{text}}}" if cell.best else text
    text = rf"\underline{{{text}}}" if cell.highest else text
    return rf"{text}\,{{\scriptsize$\pm${cell.uncertainty}}}" if cell.uncertainty else text


def render_document(
    title: str,
    tables: Sequence[str],
    figures: Sequence[tuple[str, str]],
    *,
    siunitx: bool = False,
) -> str:
    """``main.tex``: inputs the files ``tables`` and shows ``figures`` (file, caption)."""
    lines = [
        r"\documentclass[a4paper,landscape]{article}",
        r"\usepackage[margin=15mm]{geometry}",
        r"\usepackage{booktabs}",
        r"\usepackage{graphicx}",
        r"\usepackage{xcolor}",
        *([r"\usepackage{siunitx}", r"\sisetup{detect-all}"] if siunitx else []),
        r"\begin{document}",
        rf"\section*{{{escape_latex(title)}}}",
        r"\input{tables/macros}",
    ]
    lines += [rf"\input{{{name}}}" for name in tables]
    lines.append(r"\clearpage")
    for file, caption in figures:
        lines += [
            r"\begin{figure}[p]",
            r"\centering",
            rf"\includegraphics[width=\linewidth,height=0.78\textheight,keepaspectratio]{{{file}}}",
            rf"\caption{{{escape_latex(caption)}}}",
            r"\end{figure}",
            r"\clearpage",
        ]
    return "\n".join([*lines, r"\end{document}", ""])
