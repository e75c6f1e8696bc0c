"""``--strict``: what must not stand in one report, and the footnote where it does."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import fields, replace

from ltbench.errors import InputError
from ltbench.report.records.latest import duplicate_notes
from ltbench.report.rows.same_images import same_images
from ltbench.report.rows.sections import Section
from ltbench.report.rows.streams import stream_rows
from ltbench.trial.asked_code import Code


def related(sections: Sequence[Section]) -> list[list[Section]]:
    """Sections that a reader may want to compare: of one protocol or on the same test images."""
    groups: list[list[Section]] = []
    for section in sections:
        joined = [group for group in groups if any(_akin(section, other) for other in group)]
        merged = [section, *(member for group in joined for member in group)]
        groups = [group for group in groups if group not in joined] + [merged]
    return [group for group in groups if len(group) > 1]


def _akin(a: Section, b: Section) -> bool:
    return a.key.protocol == b.key.protocol or same_images(a, b)


def refuse_mixtures(sections: Sequence[Section]) -> None:
    """Raises :class:`InputError` naming the first mixture of conditions or of code versions."""
    for group in related(sections):
        first, second = sorted(group, key=lambda section: section.key)[:2]
        names = f"{first.title!r} and {second.title!r}"
        what = ", ".join(_differing(first, second))
        raise InputError(f"--strict: {names} differ in {what}; report them apart (--protocol)")
    for section in sections:
        for note in section.code.notes:
            raise InputError(
                f"--strict: {section.title}: {note} (`ltbench clean --other-code` lists what can go)"
            )
        mixed = code_versions(section)
        if mixed:
            raise InputError(f"--strict: {section.title}: {mixed}")
        for label, seeds in _undecided(section):
            (note,) = duplicate_notes(label, (), seeds)
            raise InputError(f"--strict: {section.title}: {note}; remove all but one of them")
    for (kind, name), digests in _codes(sections).items():
        if len(digests) > 1:
            told = " and ".join(
                f"{Code(kind, name, d).short} in {title!r}" for d, title in digests.items()
            )
            raise InputError(f"--strict: {kind} {name} is code {told}; report them apart")


def _undecided(section: Section) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Rows with seeds of which no clock tells the record that counts."""
    for row in section.everything:
        if row.undecided:
            yield row.label, row.undecided
    for stream in stream_rows(section.streams):
        if stream.undecided:
            yield f"{stream.label}, {stream.arrival}", stream.undecided


def _codes(sections: Sequence[Section]) -> dict[tuple[str, str], dict[str, str]]:
    """Of each method and strategy the digests shown, each with the first section it is shown in."""
    found: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for section in sections:
        for code, digest in section.code.shown.items():
            found[code].setdefault(digest, section.title)
    return found


def code_versions(section: Section) -> str:
    """What differs in the code that made the rows of a section; empty where nothing does."""
    found: dict[str, set[str]] = defaultdict(set)
    for row in section.everything:
        for e in row.evaluations:
            found["ltbench"].add(e.trial.ltbench)
            found[f"training {e.trial.training.name}"].add(e.trial.training.version)
            found[f"method/strategy {e.method}+{e.strategy}"].add(e.versions)
    for what, versions in sorted(found.items()):
        known = sorted(versions - {""})
        if len(known) > 1:
            return f"more than one version of {what}: {', '.join(known)}"
    return ""


def with_footnotes(sections: Sequence[Section]) -> list[Section]:
    """Every section names its relatives that were not merged with it, and mixed code versions.

    Of another encoder, or of none, no section is named: its title says which it has, and nobody looks for
    one table of both.
    """
    notes: dict[str, list[str]] = defaultdict(list)
    for group in related(sections):
        for section in group:
            for other in sorted(group, key=lambda o: o.key):
                if other is not section and other.key.encoder == section.key.encoder:
                    what = ", ".join(_differing(section, other))
                    notes[section.folder].append(
                        f"not merged with {other.title}: they differ in {what}"
                    )
    for section in sections:
        if mixed := code_versions(section):
            notes[section.folder].append(mixed)
    return [replace(s, notes=(*s.notes, *notes[s.folder][:6])) for s in sections]


def _differing(a: Section, b: Section) -> list[str]:
    names = {"train_fingerprint": "training data", "test_fingerprint": "test data"}
    found = [
        names.get(f.name, f.name)
        for f in fields(a.key)
        if getattr(a.key, f.name) != getattr(b.key, f.name)
    ]
    if epochs(a) != epochs(b):
        budgets = [" or ".join(map(str, sorted(epochs(s)))) or "unknown" for s in (a, b)]
        found.append(f"budget ({budgets[0]} against {budgets[1]} epochs)")
    return found


def epochs(section: Section) -> set[int]:
    known = {e.trial.cost.epochs for row in section.everything for e in row.evaluations}
    return {value for value in known if value is not None}
