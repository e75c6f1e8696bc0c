"""A digest of everything that the figures of a section depend on.

Two reports with the same digest have the same figures, byte for byte. Of each record it has the digest of the
file (:attr:`Evaluation.content`), since the record itself is too large to be walked through.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path

import matplotlib

from ltbench.report.figures.style import Look
from ltbench.report.records.read import Records
from ltbench.report.records.schema import Evaluation
from ltbench.report.rows.rows import Row
from ltbench.report.rows.sections import Section

_LIBRARIES = ("matplotlib", "numpy", "scipy", "pandas", "pyarrow", "pillow")
_PACKAGE = Path(__file__).parents[1]


def section_content(section: Section, looks: Mapping[str, Look]) -> str:
    """Also of ``looks``: what colours a section has depends on the rows of all others."""
    return _digest(_facts(section, looks))


def joined_content(parts: Iterable[str]) -> str:
    """Of what is made of several."""
    return _digest((program(), *parts))


def records_content(records: Records) -> str:
    """Of all that was read."""
    r = records
    facts = [evaluation_content(e) for e in r.evaluations]
    streams = [(stream.content, stream.trial) for stream in r.streams]
    return _digest((program(), facts, streams, r.failures, r.asked))


def _facts(section: Section, looks: Mapping[str, Look]) -> Iterator[object]:
    yield program()
    yield sorted(looks.items())
    s = section
    yield (
        tuple(vars(s.key).values()),
        s.title,
        s.folder,
        s.test_sets,
        s.train_counts,
        s.rank,
        s.class_names,
        s.groups,
    )
    yield s.notes, s.code, s.left_out, s.group_by, s.images_fingerprint
    yield [(stream.content, stream.trial) for stream in s.streams]
    for rows in (s.rows, s.hidden):
        yield [_row(row) for row in rows]


def _row(row: Row) -> tuple[object, ...]:
    """``results`` and ``biases`` are made of the evaluations alone."""
    return (
        *(row.label, row.method, row.training, row.recipe, row.uses_true_prior, row.experts),
        *(row.parameters, row.first_draw_only, row.strategy, row.undecided, row.failures),
        [evaluation_content(e) for e in row.evaluations],
    )


def evaluation_content(e: Evaluation) -> tuple[object, ...]:
    return e.content, e.trial


def _digest(facts: Iterable[object]) -> str:
    found = blake2b(digest_size=20)
    for fact in facts:
        found.update(repr(fact).encode("utf-8", "backslashreplace") + b"\0")
    return found.hexdigest()


@cache
def program() -> str:
    """Of what draws: ltbench's own code, the libraries that it draws with, and their settings."""
    found = blake2b(digest_size=20)
    settings = sorted(dict(matplotlib.rcParams.copy()).items())
    settings = [item for item in settings if item[0] != "backend"]  # each figure has its own
    facts = platform.python_version(), [version(name) for name in _LIBRARIES], settings
    found.update(repr(facts).encode("utf-8"))
    for path in sorted(_PACKAGE.rglob("*.py")):
        found.update(path.relative_to(_PACKAGE).as_posix().encode("utf-8") + b"\0")
        found.update(path.read_bytes() + b"\0")
    return found.hexdigest()
