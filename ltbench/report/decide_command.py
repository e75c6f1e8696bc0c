"""The command that measures rows at a mix, from what their records tell."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from ltbench.protocol.registry import find_protocols
from ltbench.report.rows.rows import Row
from ltbench.report.rows.sections import Section


def evaluate_commands(
    section: Section, rows: Sequence[Row], results: Path, protocol: str | None, source: str
) -> tuple[tuple[str, ...], list[str]]:
    """``ltbench evaluate ... --mix FILE``, one for all of ``rows`` with equal seeds; and notes on rows
    that need more than that.

    protocol: as it was asked for, None for the name; source: the file of the mix.
    """
    notes: list[str] = []
    imported = [row for row in rows if row.training.origin == "imported"]
    named = [row for row in rows if row not in imported and _is_named_ensemble(row)]
    trained = [row for row in rows if row not in imported and row not in named]
    if imported:
        notes.append(
            f"{_labels(imported)}: imported; `ltbench evaluate --logits FILE ... --mix {source}` measures"
            " them at this mix"
        )
    if named:
        notes.append(
            f"{_labels(named)}: ensembles with names; evaluate them with --ensemble as in their run, and"
            f" --mix {source}"
        )
    where = protocol or section.key.protocol
    if trained and not where.endswith(".toml") and where not in find_protocols().files:
        where = f"{section.key.protocol}.toml"
        notes.append(f"{where} in the commands stands for the protocol's own file")
    by_seeds: dict[tuple[int, ...], list[Row]] = {}
    for row in trained:
        by_seeds.setdefault(row.seeds, []).append(row)
    return tuple(
        _command(section, alike, seeds, where, source, results) for seeds, alike in by_seeds.items()
    ), notes


def _command(
    section: Section,
    rows: Sequence[Row],
    seeds: Sequence[int],
    protocol: str,
    source: str,
    results: Path,
) -> str:
    key = section.key
    # The label of a row in a table may have more, to tell it from another one.
    asked = dict.fromkeys(e.label for row in rows for e in row.evaluations)
    words = ["ltbench", "evaluate", "--methods", ",".join(asked), "--protocol", protocol]
    for change in key.variant.split(";") if key.variant else ():
        words += ["--set", change]
    words += ["--seeds", _seeds(seeds), "--mix", source]
    if key.mode != "clean":
        words += ["--mode", key.mode]
    if key.precision != "float32":
        words += ["--precision", key.precision]
    if str(results) != "results":
        words += ["--results", str(results)]
    return shlex.join(words)


def _is_named_ensemble(row: Row) -> bool:
    return any(e.trial.members and "*" not in e.label for e in row.evaluations)


def _labels(rows: Sequence[Row]) -> str:
    return ", ".join(row.label for row in rows)


def _seeds(seeds: Sequence[int]) -> str:
    if list(seeds) == list(range(len(seeds))):
        return str(len(seeds))
    return f"{seeds[0]}-{seeds[0]}" if len(seeds) == 1 else ",".join(map(str, seeds))
