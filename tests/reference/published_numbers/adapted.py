"""Tables on adaptation: gains, estimated priors, accuracies re-weighted to the realised counts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from .accuracy import Cells, behind, counted, oracle
from .records import GROUPS, Row, Section, bits
from .student import cell, mean

COLUMNS = ("unadapted", "adapted", "gain", "regret", "prior_l1", "prior_kl")


def adaptation(section: Section) -> Cells:
    """At the ends, at uniform, and as mean over all distributions of a seed."""
    shifts = section.shifts
    table: Cells = {}
    for row in section.rows.values():
        if row.knows_prior or row.first["strategy"] == "none":
            continue
        cases = {name: _cases(row, section, name) for name in shifts}
        for name in (shifts[0], "uniform", shifts[-1]):
            table[row.label, section.short(name)] = _line([cases[name]])
        table[row.label, f"all {len(shifts)}"] = _line(list(cases.values()))
    return table


def _cases(row: Row, section: Section, name: str) -> dict[int, dict[str, float | None]]:
    found = {}
    for seed, one in row.sets(name).items():
        record = row.seeds[seed]
        plain = _plain(section, record, name)
        known = oracle(section, record["trial"])
        shown = [n for n in one["draws"] if plain is None or n in plain["draws"]]
        errors = [d.get("prior_error") for d in one["draws"].values() if d.get("prior_error")]
        kl = [math.inf if e["kl"] is None else e["kl"] for e in errors]
        found[seed] = {
            "unadapted": plain and mean([plain["draws"][n]["top1"] for n in shown]),
            "adapted": mean([one["draws"][n]["top1"] for n in shown]),
            "gain": behind(plain, one),
            "regret": known and behind(one, known["distributions"].get(name)),
            "prior_l1": mean([e["l1"] for e in errors]) if errors else None,
            "prior_kl": mean(kl) if kl else None,
            "collapsed": plain and _collapsed(one, plain),
        }
    return found


def _plain(section: Section, record: Any, name: str) -> Any:
    """What the same method says on the same trial without adapting."""
    for row in section.rows.values():
        other = row.seeds.get(record["seed"])
        if other is None or other["strategy"] != "none":
            continue
        if all(other[k] == record[k] for k in ("trial", "method", "method_params")):
            return other["distributions"].get(name)
    return None


def _collapsed(adapted: Any, plain: Any) -> float:
    """McNemar: images lost minus won, above two standard errors."""
    before, after = bits(plain), bits(adapted)
    lost, won = int((before > after).sum()), int((after > before).sum())
    return float(lost - won > 2 * math.sqrt(lost + won))


def _line(cases: Sequence[dict[int, dict[str, float | None]]]) -> dict[str, Any]:
    seeds = sorted(set.intersection(*(set(own) for own in cases)))
    cells: dict[str, Any] = {}
    for column in COLUMNS:
        values = [[own[seed][column] for own in cases] for seed in seeds]
        cells[column] = cell([mean(v) for v in values if None not in v])
    flags = [f for own in cases for c in own.values() if (f := c["collapsed"]) is not None]
    cells["collapsed"] = (sum(flags), None, len(flags)) if flags else None
    return counted(cells, cells, ["adapted"])


def exact(section: Section) -> Cells:
    """sum_c pi_c a_c over all test images; SE: the largest of the row's mean standard errors."""
    table: Cells = {}
    for row in section.rows.values():
        found = {name: _exact(row, name) for name in section.shifts}
        if not any(own for own, _ in found.values()):
            continue
        cells: dict[str, Any] = {name: cell(own) for name, (own, _) in found.items()}
        largest = max(mean(errors) for _, errors in found.values() if errors)
        cells["se"] = (largest, None, 1)
        table[row.label,] = counted(cells, cells, section.shifts)
    return table


def _exact(row: Row, name: str) -> tuple[list[float], list[float]]:
    values, errors = [], []
    for seed, one in row.sets(name).items():
        known = [d["exact"] for d in one["draws"].values() if d.get("exact")]
        if not known:
            continue
        if row.first["strategy"] == "none":  # the same predictor for every draw, so by its recalls
            uniform = row.sets("uniform")[seed]
            top1, error = reweighted(
                one["definition"]["counts"],
                uniform["draws"]["0"]["per_class"],
                uniform["definition"]["counts"],
            )
            values.append(top1)
            errors.append(error)
        else:
            values.append(mean([e["top1"] for e in known]))
            errors.append(mean([e["se"] for e in known]))
    return values, errors


def reweighted(
    counts: Sequence[int], recalls: Sequence[float], images: Sequence[int]
) -> tuple[float, float]:
    """Accuracy under the realised frequencies pi of ``counts``, and its standard error, in per cent.

    sum_c pi_c a_c, sqrt(sum_c pi_c^2 a_c (1 - a_c) / n_c), n_c the ``images`` behind the recall.
    """
    total = sum(counts)
    top1 = variance = 0.0
    for count, recall, n in zip(counts, recalls, images, strict=True):
        if count:
            top1 += count / total * recall
            variance += (count / total) ** 2 * (recall / 100) * (1 - recall / 100) / n
    return top1, 100 * math.sqrt(variance)


def priors(section: Section) -> Cells:
    """Share of the class groups: by counts, and as estimated, mean over draws."""
    table: Cells = {}
    rows = [
        row
        for row in section.rows.values()
        if not row.knows_prior and any(_estimated(row, name, "many") for name in section.shifts)
    ]
    members = section.first["groups"]
    for g in GROUPS[:3] if rows else ():
        truth: dict[str, Any] = {"n": None}
        for name in section.shifts:
            counts = section.first["distributions"][name]["definition"]["counts"]
            share = 100.0 * sum(counts[c] for c in members[g]) / sum(counts)
            truth[name] = (share, None, None)
        table["true", g] = truth
    for row in rows:
        for g in GROUPS[:3]:
            cells = {name: cell(_estimated(row, name, g)) for name in section.shifts}
            table[row.label, g] = counted(cells, cells)
    return table


def _estimated(row: Row, name: str, group: str) -> list[float]:
    found = []
    for one in row.sets(name).values():
        known = [d["prior_groups"][group] for d in one["draws"].values() if d.get("prior_groups")]
        if known:
            found.append(mean(known))
    return found
