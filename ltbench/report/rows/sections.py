"""Splits the records into sections; only results that may be compared share one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from ltbench.report.records.names import (
    Order,
    digest,
    distribution_order,
    is_family,
    is_mix,
    is_shift,
    safe_name,
    short_name,
)
from ltbench.report.records.read import Records
from ltbench.report.records.schema import Evaluation, Failure
from ltbench.report.records.streams import StreamRecord
from ltbench.report.rows.carried_notes import carried_notes
from ltbench.report.rows.encoder_notes import encoder_notes
from ltbench.report.rows.one_code import OneCode, section_code
from ltbench.report.rows.oracle_notes import oracle_notes
from ltbench.report.rows.rows import Row, build_rows
from ltbench.report.rows.uniform_notes import uniform_notes


@dataclass(frozen=True, order=True)
class SectionKey:
    """Results that differ in any of this are never merged nor put into one table."""

    protocol: str
    variant: str
    version: str
    mode: str
    precision: str
    train_fingerprint: str
    test_fingerprint: str
    encoder: str = field(default="", repr=False)
    """Pre-trained, whose frozen features trained the heads; empty for networks trained from scratch."""


@dataclass(frozen=True)
class TestSet:
    """A column: name in the records, kind, ratio and the short name of the header."""

    __test__ = False  # not for pytest

    name: str
    kind: str
    ratio: float | None
    short: str


OneTrial = tuple[int, str, str, str]
"""Seed, trial, method and its settings."""


def one_trial(e: Evaluation) -> OneTrial:
    return e.seed, e.trial.trial, e.method, e.method_params


@dataclass(frozen=True)
class Section:
    """One protocol under one set of conditions: a folder of tables and figures."""

    key: SectionKey
    title: str
    folder: str
    rows: tuple[Row, ...]
    test_sets: tuple[TestSet, ...]
    train_counts: tuple[int, ...]
    rank: tuple[int, ...]
    class_names: tuple[str, ...]
    groups: Mapping[str, tuple[int, ...]]
    notes: tuple[str, ...]
    streams: tuple[StreamRecord, ...] = ()
    code: OneCode = field(default_factory=OneCode)
    """Of each method and strategy; what is left out for it is told in ``notes``, too."""
    hidden: tuple[Row, ...] = ()
    """Rows that a selection left out; still the reference of those that are shown."""
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Test sets that no record has because the test images do not allow them, and why."""
    group_by: str = ""
    """``method`` or ``strategy``: blocks of the tables; empty: one block."""
    images_fingerprint: str = ""
    """Of the training images that its frozen features were made of; empty for images, or untold."""

    @property
    def everything(self) -> tuple[Row, ...]:
        return (*self.rows, *self.hidden)

    @cached_property
    def unadapted(self) -> Mapping[OneTrial, Row]:
        """The row of ``none`` by seed, trial and method: tables ask tens of thousands of times."""
        found: dict[OneTrial, Row] = {}
        for row in self.everything:
            for e in row.latest.values():
                if e.strategy == "none":
                    found.setdefault(one_trial(e), row)
        return found

    @property
    def shifts(self) -> tuple[TestSet, ...]:
        """Forward from the highest ratio down, uniform, backward up."""
        return tuple(test for test in self.test_sets if is_shift(test.kind))

    @property
    def others(self) -> tuple[TestSet, ...]:
        """Partial-class sets and whatever is neither a shift nor a mix nor one of a family."""
        shown = (is_shift, is_family, is_mix)
        return tuple(t for t in self.test_sets if not any(kind(t.kind) for kind in shown))

    @property
    def mixes(self) -> tuple[TestSet, ...]:
        """Sets at a label distribution that somebody stated class by class."""
        return tuple(test for test in self.test_sets if is_mix(test.kind))

    @property
    def families(self) -> tuple[TestSet, ...]:
        return tuple(test for test in self.test_sets if is_family(test.kind))

    @property
    def uniform(self) -> str | None:
        return next((test.name for test in self.test_sets if test.kind == "uniform"), None)


@dataclass(frozen=True)
class Group:
    """The records of one section; of those with other code than ``code`` none is shown."""

    evaluations: tuple[Evaluation, ...]
    failures: tuple[Failure, ...]
    streams: tuple[StreamRecord, ...]
    code: OneCode


def group_records(records: Records) -> tuple[dict[SectionKey, Group], list[Failure]]:
    """What makes up each section, in a fixed order, and the failures that fit into none of them."""
    grouped: dict[SectionKey, list[Evaluation]] = defaultdict(list)
    for evaluation in records.evaluations:
        grouped[_key(evaluation)].append(evaluation)
    failures: dict[SectionKey, list[Failure]] = {key: [] for key in grouped}
    streams: dict[SectionKey, list[StreamRecord]] = {key: [] for key in grouped}
    homeless: list[Failure] = []
    for failure in records.failures:
        homes = [key for key in grouped if _fits(failure, key)]
        for key in homes:
            failures[key].append(failure)
        if not homes:
            homeless.append(failure)
    for stream in records.streams:
        if (key := _key(stream)) in streams:
            streams[key].append(stream)
    groups = {}
    for key in sorted(grouped):
        code = section_code(grouped[key], failures[key], streams[key], records.asked)
        members = (tuple(grouped[key]), tuple(failures[key]), tuple(streams[key]))
        groups[key] = Group(*members, code)
    return groups, homeless


def build_sections(records: Records) -> tuple[list[Section], list[Failure]]:
    """All sections in a fixed order, and the failures that fit into none of them."""
    groups, homeless = group_records(records)
    sections = []
    for key, group in groups.items():
        keeps = group.code.keeps
        evaluations = [e for e in group.evaluations if keeps(e)]
        section = _section(key, evaluations, [f for f in group.failures if keeps(f)])
        sections.append(
            replace(
                section,
                streams=tuple(stream for stream in group.streams if keeps(stream)),
                code=group.code,
                notes=(*group.code.notes, *section.notes),
            )
        )
    return _with_folders(_with_titles(sections, list(groups))), homeless


def _key(e: Evaluation | StreamRecord) -> SectionKey:
    return SectionKey(
        protocol=e.protocol.name,
        variant=e.protocol.variant,
        version=e.protocol.version,
        mode=e.mode,
        precision=e.precision,
        train_fingerprint=e.train_fingerprint,
        test_fingerprint=e.test_fingerprint,
        encoder=e.trial.encoder.told if e.trial.encoder else "",
    )


def _fits(failure: Failure, key: SectionKey) -> bool:
    """A failed trial does not always know its data and precision; then it fits any."""
    protocol = failure.protocol
    return (
        (protocol.name, protocol.version, protocol.variant)
        == (key.protocol, key.version, key.variant)
        and failure.precision in (None, key.precision)
        and failure.fingerprints in (None, (key.train_fingerprint, key.test_fingerprint))
    )


def _section(key: SectionKey, evaluations: list[Evaluation], failures: list[Failure]) -> Section:
    rows, notes = build_rows(evaluations, failures)
    orders: dict[str, Order] = {}
    found: dict[str, TestSet] = {}
    definitions: dict[str, set[str]] = defaultdict(set)
    for evaluation in evaluations:
        for d in evaluation.distributions:
            definitions[d.name].add(d.definition)
            known = found.get(d.name)
            if known is None or (known.kind, known.ratio) != (d.kind, d.ratio):
                short = short_name(d.name, d.kind, d.ratio)
                orders[d.name] = distribution_order(d.name, d.kind, d.ratio)
                found[d.name] = TestSet(d.name, d.kind, d.ratio, short)
    for name in sorted(name for name, texts in definitions.items() if len(texts) > 1):
        notes.append(f"{name} is not defined alike in all records; compare its column with care")
    notes.extend(encoder_notes(evaluations))
    notes.extend(carried_notes(rows))
    notes.extend(oracle_notes(rows, {name: test.kind for name, test in found.items()}))
    tests = (d for e in evaluations for d in e.distributions)
    notes.extend(uniform_notes(tests, evaluations[0].groups))
    for what in ("device", "torch"):
        values = sorted({getattr(e.trial, what) for e in evaluations} - {""})
        if len(values) > 1:
            notes.append(f"trained with more than one {what}: {', '.join(values)}")
    arithmetics = sorted({e.trial.arithmetic for e in evaluations} - {""})
    if len(arithmetics) > 1 and evaluations[0].precision != "bf16":
        notes.append(f"trained in more than one arithmetic: {', '.join(arithmetics)}")
    if any(e.trial.training.origin == "imported" for e in evaluations):
        notes.append(
            "rows marked (imported) were scored from logits of models trained elsewhere, whose "
            "recipe and cost are not known here"
        )
    first = evaluations[0]
    return Section(
        key=key,
        title=first.protocol.title or key.protocol,
        folder="",
        rows=tuple(rows),
        test_sets=tuple(found[name] for name in sorted(found, key=lambda name: orders[name])),
        train_counts=first.train_counts,
        rank=first.rank,
        class_names=first.class_names,
        groups=first.groups,
        notes=tuple(notes),
        images_fingerprint=first.trial.images_fingerprint,
        left_out={
            name: why
            for e in evaluations
            for name, why in sorted(e.left_out.items())
            if name not in found
        },
    )


def _with_titles(sections: list[Section], keys: Sequence[SectionKey]) -> list[Section]:
    """Protocol, version and variant; of the rest only what differs or is not the usual."""
    titled = []
    for section in sections:
        key = section.key
        same = [k for k in keys if (k.protocol, k.variant) == (key.protocol, key.variant)]
        parts = [f"{key.protocol} version {key.version}"]
        if key.variant:
            parts.append(f"variant {key.variant}")
        if key.encoder:
            parts.append(f"heads on frozen features of the pre-trained {key.encoder}")
        if key.mode != "clean":
            parts.append(f"evaluation mode {key.mode}")
        if key.precision != "float32" or len({k.precision for k in same}) > 1:
            parts.append(f"precision {key.precision}")
        for what in ("train", "test"):
            own = getattr(key, f"{what}_fingerprint")
            if len({getattr(k, f"{what}_fingerprint") for k in same}) > 1:
                parts.append(f"{what} data {own[:12]}")
        title = section.title if section.title != key.protocol else ""
        text = ", ".join(parts)
        titled.append(replace(section, title=f"{title} ({text})" if title else text))
    return titled


def _with_folders(sections: list[Section]) -> list[Section]:
    """``<protocol>[-variant][-encoder]``, longer only where two sections would share that."""
    names: list[str] = []
    for section in sections:
        key = section.key
        parts = [key.protocol, key.variant, "" if key.mode == "clean" else key.mode]
        parts.append("" if key.precision == "float32" else key.precision)
        parts.append(key.encoder.partition(" (")[0])
        names.append(safe_name("-".join(part for part in parts if part)))
    extras: tuple[Callable[[SectionKey], str], ...] = (
        lambda key: f"v{key.version}",
        lambda key: f"data-{digest(key.train_fingerprint + key.test_fingerprint)}",
        lambda key: digest(repr(key) + key.encoder),
    )
    for extra in extras:
        folded = [name.casefold() for name in names]  # some file systems ignore case
        names = [
            safe_name(f"{name}-{extra(section.key)}") if folded.count(name.casefold()) > 1 else name
            for name, section in zip(names, sections, strict=True)
        ]
    return [replace(s, folder=name) for s, name in zip(sections, names, strict=True)]
