"""Which row to take at a mix of classes: all rows whose accuracy there is known, ranked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ltbench.errors import InputError, nearest
from ltbench.report.decide_command import evaluate_commands
from ltbench.report.records.read import read_records
from ltbench.report.rows.rows import Row
from ltbench.report.rows.sections import Section, TestSet, build_sections
from ltbench.report.rows.summary import SMALLEST_N, Summary, mean_of
from ltbench.report.statistics.comparison import ALPHA, holm, paired, tied_with_best
from ltbench.report.statistics.images import image_intervals
from ltbench.report.statistics.mix import (
    FIXED,
    IMAGES,
    SEEDS,
    Estimate,
    Shares,
    accuracy,
    difference,
    fixed_rows,
)
from ltbench.report.tables.adaptation import ends_of
from ltbench.report.tables.cost import macs, training_seconds
from ltbench.report.tables.mixes import stated_shares
from ltbench.report.tables.table import ADAPTED, KNOWS_PRIOR
from ltbench.report.tables.table import FIXED as FIXED_TITLE
from ltbench.shift.mixes import mix_shares

_MUCH = 90.0  # per cent of one class: what is left to tell rows apart is a tenth of the images
_SAME = 1e-9  # shares are stored with 12 decimals


@dataclass(frozen=True)
class DecidedRow:
    """``behind``: row minus the best fixed row; ``apart``: whether that can be told from nothing, None
    where it cannot be tested. elsewhere: stored accuracy by name of a test set. recalls: of each class in
    per cent, mean over seeds, NaN without test images; None of a row that adapts. macs in millions."""

    row: Row
    block: str
    accuracy: Estimate
    behind: Estimate | None
    apart: bool | None
    elsewhere: Mapping[str, float | None]
    recalls: tuple[float, ...] | None = None

    @property
    def macs(self) -> float | None:
        return macs(self.row)

    @property
    def seconds(self) -> float | None:
        return training_seconds(self.row)


@dataclass(frozen=True)
class Decision:
    """The rows of one section at one mix; fixed ones first, each block by descending accuracy.

    measured: name of the stored test set at this mix, empty where there is none; ends: the test sets
    of ``elsewhere``; commands: what measures the rows that adapt, none where nothing is missing.
    """

    section: Section
    mix: str
    shares: Shares
    rows: tuple[DecidedRow, ...]
    ends: tuple[TestSet, ...]
    measured: str
    commands: tuple[str, ...]
    notes: tuple[str, ...]


def decide(
    results: Path,
    mixes: Mapping[str, Mapping[str, float]],
    protocol: str | None = None,
    sources: Mapping[str, str] | None = None,
) -> list[Decision]:
    """A decision for every section of the protocol and every mix, given by name.

    mixes: weights of classes by name, as :func:`ltbench.protocol.mix.read_mix` gives them; protocol:
    name or ``.toml`` file, needed where the results are of several; sources: files of the mixes, for the
    command that evaluates there. Raises :class:`InputError` where no row can be ranked.
    """
    records = read_records(results)
    if not records.evaluations:
        raise InputError(f"no readable evaluation under {results}; `ltbench run ...` first")
    sections, _ = build_sections(records)
    chosen = _chosen(sections, protocol, results)
    return [
        _decision(section, name, weights, results, protocol, (sources or {}).get(name, ""))
        for section in chosen
        for name, weights in mixes.items()
    ]


def _chosen(sections: list[Section], protocol: str | None, results: Path) -> list[Section]:
    names = sorted({section.key.protocol for section in sections})
    if protocol is None:
        if len(names) > 1:
            raise InputError(
                f"{results} holds results of several protocols, whose classes differ; give --protocol "
                f"(found: {', '.join(names)})"
            )
        return sections
    name = protocol
    if protocol.endswith(".toml"):
        from ltbench.protocol.file import load_protocol_config

        name = load_protocol_config(protocol).name
    if name not in names:
        raise InputError(
            f"no evaluation of protocol {name!r} under {results}{nearest(name, names)}"
            f" (found: {', '.join(names)})"
        )
    return [section for section in sections if section.key.protocol == name]


def _decision(
    section: Section,
    mix: str,
    weights: Mapping[str, float],
    results: Path,
    protocol: str | None,
    source: str,
) -> Decision:
    shares = mix_shares(weights, section.class_names, f"mix {mix}")
    ends = tuple(ends_of(section.shifts))
    fixed = _fixed(section, mix, shares, ends)
    measured = _measured(section, shares)
    others = [] if not measured else _others(section, measured, fixed[0].row, ends)
    known = {one.row.label for one in others}
    missing = [row for row in section.rows if _could_adapt(row) and row.label not in known]
    commands, notes = evaluate_commands(section, missing, results, protocol, source or f"{mix}.csv")
    return Decision(
        section,
        mix,
        shares,
        (*fixed, *others),
        ends,
        measured,
        commands,
        (*_notes(section, shares, fixed, measured), *notes),
    )


def _fixed(
    section: Section, mix: str, shares: Shares, ends: tuple[TestSet, ...]
) -> list[DecidedRow]:
    rows = fixed_rows(section)
    if not rows:
        raise InputError(
            f"{section.title}: no row that does not adapt has recalls of classes; `ltbench evaluate "
            "--methods METHOD+none` adds one"
        )
    asked = shares > 0
    complete = [one for one in rows if not np.isnan(one.recalls[:, asked]).any()]
    if not complete:
        lacking = np.isnan(rows[0].recalls).any(axis=0) & asked
        listed = ", ".join(section.class_names[c] for c in np.flatnonzero(lacking)[:5])
        raise InputError(
            f"mix {mix}: {section.title} has no test images of {listed}, so nobody knows how good any "
            "row is there; leave them out of the mix or add test images"
        )
    found = {one.row.label: accuracy(one, shares) for one in complete}
    ordered = sorted(complete, key=lambda one: (-found[one.row.label].mean, one.row.label))
    pairs = [difference(one, ordered[0], shares) for one in ordered]

    def p_value(index: int, leader: int) -> float | None:
        return (
            pairs[index].p if leader == 0 else difference(ordered[index], ordered[leader], shares).p
        )

    tied = tied_with_best([found[one.row.label].mean for one in ordered], p_value)
    return [
        DecidedRow(
            one.row,
            FIXED_TITLE,
            found[one.row.label],
            None if place == 0 else pair,
            None if place == 0 or pair.p is None else place not in tied,
            _elsewhere(one.row, ends),
            tuple(100.0 * float(recall) for recall in one.recalls.mean(axis=0)),
        )
        for place, (one, pair) in enumerate(zip(ordered, pairs, strict=True))
    ]


def _elsewhere(row: Row, ends: tuple[TestSet, ...]) -> dict[str, float | None]:
    return {test.name: mean_of(row.top1(test.name).values()) for test in ends}


def _measured(section: Section, shares: Shares) -> str:
    """The stored set of this mix, whatever it is called."""
    for test in section.mixes:
        stated = stated_shares(section, test)
        if stated is not None and np.abs(np.asarray(stated) - shares).max() < _SAME:
            return test.name
    return ""


def _could_adapt(row: Row) -> bool:
    return bool(row.seeds) and row.strategy != FIXED and not row.uses_true_prior


def _others(section: Section, name: str, best: Row, ends: tuple[TestSet, ...]) -> list[DecidedRow]:
    """Rows that were measured on the drawn sets of the mix, beside the best fixed row on the same."""
    rows = [row for row in section.rows if row.strategy != FIXED and row.top1(name)]
    by_image = image_intervals(rows, name).cells
    found = []
    for row in rows:
        values = row.top1(name)
        cell = row.cell(name, lambda draw: draw.top1)
        if cell is None:
            continue
        measured = Estimate(cell.mean, cell.half_width, SEEDS)
        if len(values) < SMALLEST_N:
            own = by_image.get(row.label, Summary(cell.mean, None, 0))
            measured = Estimate(cell.mean, own.half_width, IMAGES)
        pair = paired(values, best.top1(name))
        behind = None if pair is None else Estimate(pair.mean, pair.half_width, SEEDS, pair.p)
        block = KNOWS_PRIOR if row.uses_true_prior else ADAPTED
        found.append(DecidedRow(row, block, measured, behind, None, _elsewhere(row, ends)))
    tested = [(one, one.behind.p) for one in found if one.behind and one.behind.p is not None]
    adjusted = holm([p for _, p in tested])
    apart = {one.row.label: p < ALPHA for (one, _), p in zip(tested, adjusted, strict=True)}
    found = [replace(one, apart=apart.get(one.row.label)) for one in found]
    return sorted(
        found, key=lambda one: (one.block == KNOWS_PRIOR, -one.accuracy.mean, one.row.label)
    )


def _without_looking(section: Section, shares: Shares, fixed: list[DecidedRow]) -> list[str]:
    """What the most frequent class has as the only answer, where that is much or a row has no more."""
    most = int(np.argmax(shares))
    alone = 100.0 * float(shares[most])
    no_better = [one.row.label for one in fixed if one.accuracy.mean <= alone]
    if alone < _MUCH and not no_better:
        return []
    told = f"to answer {section.class_names[most]} whatever the image has {alone:.3g} % here"
    if no_better:
        told += f", no less than {', '.join(no_better)}"
    if alone >= _MUCH:
        told += "; the accuracy hardly counts the other classes: see their recalls"
        told += "" if len(shares) == 2 else " (table `classes` of the report)"
    return [told]


def _notes(section: Section, shares: Shares, fixed: list[DecidedRow], measured: str) -> list[str]:
    notes = _without_looking(section, shares, fixed)
    absent = [section.class_names[c] for c in np.flatnonzero(shares == 0)]
    if absent:
        listed = ", ".join(absent[:5]) + (", ..." if len(absent) > 5 else "")
        notes.append(f"share 0 for {len(absent)} of {len(shares)} classes ({listed})")
    if len(fixed) > 1:
        notes.append(
            f"the first of {len(fixed)} rows is flattered by the choice: picked on these test images, expect"
            " a little less of it on others"
        )
    together = [one.row.label for one in fixed[1:] if one.apart is False]
    if together:
        notes.append(f"not told apart from {fixed[0].row.label}: {', '.join(together)}")
    if measured:
        notes.append(
            f"rows that adapt (or know the prior) were measured on the drawn sets of {measured}, whose"
            " counts are whole images, and are compared there with the first row that does not adapt"
        )
    return notes
