"""Parts of a caption: how many images stand behind each column, and which test sets there are not."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from ltbench.report.records.names import short_name
from ltbench.report.rows.rows import Row
from ltbench.report.rows.sections import Section, TestSet
from ltbench.report.tables.captions import span


def images_told(rows: Sequence[Row], tests: Sequence[TestSet]) -> str:
    """``" Images per test set: 2143 (F50, B50), 10000 (U)."``; columns of equally many share a number.

    A set whose draws or seeds differ in size has a span, ``8 to 10``.
    """
    grouped: dict[tuple[int, ...], list[str]] = {}
    for test in tests:
        found = [row.results[test.name] for row in rows if test.name in row.results]
        sizes = {draw.n for seeds in found for d in seeds.values() for draw in d.draws}
        if sizes:
            grouped.setdefault((min(sizes), max(sizes)), []).append(test.short)
    parts = [f"{span(sizes)} ({', '.join(short)})" for sizes, short in grouped.items()]
    return f" Images per test set: {', '.join(parts)}." if parts else ""


def left_out_told(section: Section) -> str:
    """``" Left out for want of images: B25, B50 (class 2 has 1 test image, ...)."`` by reason."""
    grouped: dict[str, list[str]] = {}
    for name, why in section.left_out.items():
        grouped.setdefault(why, []).append(_short(name))
    parts = [f"{', '.join(names)} ({why})" for why, names in grouped.items()]
    return f" Left out for want of test images: {'; '.join(parts)}." if parts else ""


def _short(name: str) -> str:
    for kind in ("forward", "backward"):
        with contextlib.suppress(ValueError):  # not a number: the name of another set
            return short_name(name, kind, float(name.removeprefix(kind)))
    return name
