r"""One ``\newcommand`` per cell, so that a paper's text cites the numbers of its tables."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from ltbench.report.render.latex import cell_latex, escape_latex
from ltbench.report.tables.table import Block, Table

_DIGITS = ("Zero", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine")


def macro_word(text: str) -> str:
    """The letters of a name in camel case, digits spelled, signs with a meaning as words.

    >>> macro_word("sade+none[tau=1] F50")
    'SadePlusNoneTauOneFFiveZero'
    >>> macro_word("F2.5")
    'FTwoPointFive'
    """
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode("ascii")
    words = []
    start = True
    for i, c in enumerate(plain):
        if c.isdigit():
            words.append(_DIGITS[int(c)])
            start = True
        elif c.isalpha():
            words.append(c.upper() if start else c)
            start = False
        else:
            # A point counts inside a number alone: 2.5 is not 25, and "v.a" needs no word for it.
            number = c == "." and plain[i - 1 : i].isdigit() and plain[i + 1 : i + 2].isdigit()
            words.append("Plus" if c == "+" else "Point" if number else "")
            start = True
    return "".join(words)


def column_words(keys: Sequence[str]) -> list[str]:
    """:func:`macro_word` of each key; of those that share one, the place among them, spelled.

    ``dirichlet1-10`` and ``dirichlet11-0`` share one. Places go by key, not by the order of columns.
    """
    found: list[str] = []
    for key in keys:
        word = macro_word(key)
        same = sorted({other for other in keys if macro_word(other) == word})
        found.append(f"{word}Case{macro_word(str(same.index(key) + 1))}" if same[1:] else word)
    return found


def render_macros(tables: Sequence[Table], prefix: str) -> str:
    r"""``\<Prefix><Table><Row><Column>``; a comment above each row says what it is.

    Names that would collide (of labels without letters, say) get the number of their row, spelled:
    of the rows by label, which stays where their order by accuracy changes.
    """
    lines = [
        r"% \input this file, then write for example the name of a macro for its number.",
        r"% Cells of tables in text; those without a number print a dash or n/a.",
    ]
    used: set[str] = set()
    for table in tables:
        lines += ["", f"% {_comment(table.title)}"]
        rows = [row for block in table.blocks for row in block.rows]
        by_label = sorted(range(len(rows)), key=lambda i: str(rows[i][0]))
        numbers = iter([by_label.index(i) + 1 for i in range(len(rows))])
        columns = column_words([column.key for column in table.columns])
        for block in table.blocks:
            for position, row in enumerate(block.rows):
                number = next(numbers)
                heads = [str(row[i]) for i in _head_places(table) if row[i] is not None]
                lines.append(f"% {_comment(' '.join(heads))}{_comment(_of(block))}")
                base = f"{macro_word(prefix)}{macro_word(table.name)}{macro_word(' '.join(heads))}"
                base += "Quoted" if position in block.quoted else ""
                names = [f"{base}{word}" for word in columns]
                if used & set(names) or not macro_word(" ".join(heads)):
                    names = [f"{name}Row{macro_word(str(number))}" for name in names]
                while used & set(names):  # a row may be called "x row two"
                    names = [f"{name}Again" for name in names]
                for place, name in enumerate(names):
                    if place in _head_places(table):
                        continue
                    used.add(name)
                    shown = cell_latex(row[place], table.columns[place].digits)
                    lines.append(rf"\newcommand{{\{name}}}{{{shown}}}")
    return "\n".join([*lines, ""])


def _head_places(table: Table) -> list[int]:
    return [i for i, c in enumerate(table.columns) if c.text or c.key == "expert"]


def _of(block: Block) -> str:
    return f" ({block.title})" if block.title else ""


def _comment(text: str) -> str:
    return escape_latex(text)
