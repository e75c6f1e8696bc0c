"""Tables of accuracies over the test distributions: {row: {column: cell}} for each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .records import GROUPS, Row, Section
from .student import Cell, cell, mean

Cells = dict[tuple[str, ...], dict[str, Cell | float | None]]
PerSeed = dict[int, float]
TIE = 1e-9


def main(section: Section) -> Cells:
    """Accuracy, mean over the distributions of a seed, the worst distribution, regret."""
    columns = main_columns(section)
    return {
        (row.label,): counted({name: cell(own.values()) for name, own in picked.items()}, columns)
        for row in section.rows.values()
        for picked in [{name: pick(row) for name, pick in columns.items()}]
    }


def main_columns(section: Section) -> dict[str, Callable[[Row], PerSeed]]:
    columns: dict[str, Callable[[Row], PerSeed]] = {
        name: lambda row, name=name: row.draws(name, "top1") for name in section.shifts
    }
    columns["mean"] = lambda row: mean_over(row, section.shifts)
    columns["worst"] = lambda row: worst(row, section.shifts)
    if any(regret(row, section) for row in section.rows.values()):
        columns["regret"] = lambda row: regret(row, section)
    return columns


def counted(cells: dict[str, Any], columns: Any, of: Sequence[str] | None = None) -> dict[str, Any]:
    """With ``n``, the smallest number of seeds of the columns ``of`` (default: of the test sets)."""
    names = [c for c in columns if c not in ("mean", "worst", "regret")] if of is None else of
    seeds = [cells[name][2] for name in names if cells[name] is not None]
    return {"n": float(min(seeds, default=0)), **cells}


def mean_over(row: Row, names: Sequence[str]) -> PerSeed:
    found = [row.draws(name, "top1") for name in names]
    shared = set.intersection(*(set(own) for own in found))
    return {seed: mean([own[seed] for own in found]) for seed in sorted(shared)}


def worst(row: Row, names: Sequence[str]) -> PerSeed:
    found = [row.draws(name, "top1") for name in names]
    if not all(found):
        return {}
    means = [mean(list(own.values())) for own in found]
    return next(own for own, m in zip(found, means, strict=True) if m <= min(means) + TIE)


def oracle(section: Section, trial: str) -> Any:
    """The record that knows the true prior on this trial, where the bias of its logits is exact."""
    found = [
        record
        for row in section.rows.values()
        for record in row.seeds.values()
        if record["trial"] == trial and record["strategy"] == "oracle"
        if (record.get("bias") or {"kind": "closed-form"})["kind"] in ("closed-form", "fitted")
    ]
    return min(found, key=lambda e: (e["strategy_params"], e["method_params"]), default=None)


def behind(one: Any, reference: Any) -> float | None:
    """Reference minus own over the draws that both have."""
    if one is None or reference is None or one["definition"] != reference["definition"]:
        return None
    mine, best = one["draws"], reference["draws"]
    points = [best[number]["top1"] - mine[number]["top1"] for number in mine if number in best]
    return mean(points) if points else None


def regret(row: Row, section: Section) -> PerSeed:
    if row.knows_prior:
        return {}
    found = {}
    for seed, record in row.seeds.items():
        known = oracle(section, record["trial"])
        own = record["distributions"]
        points = [
            known and behind(own.get(n), known["distributions"].get(n)) for n in section.shifts
        ]
        if None not in points:
            found[seed] = mean(points)
    return found


def first_draw(section: Section) -> Cells:
    """Draw 0 alone, where a row has no other; every row beside it."""
    if not any(row.first.get("first_draw_only") for row in section.rows.values()):
        return {}
    table: Cells = {}
    for row in section.rows.values():
        cells = {
            name: cell([one["draws"]["0"]["top1"] for one in row.sets(name).values()])
            for name in section.shifts
        }
        table[row.label,] = counted(cells, cells)
    return table


def partial(section: Section) -> Cells:
    table: Cells = {}
    for row in section.rows.values():
        cells = {name: cell(row.draws(name, "top1").values()) for name in section.others}
        table[row.label,] = counted(cells, cells)
    return table


def families(section: Section) -> Cells:
    """Mean over the priors of a family, and the lowest of them."""
    table: Cells = {}
    for row in section.rows.values() if section.families else ():
        cells: dict[str, Cell | None] = {}
        for name, members in section.families.items():
            cells[f"{name}-mean"] = cell(mean_over(row, members).values())
            cells[f"{name}-worst"] = cell(worst(row, members).values())
        table[row.label,] = counted(cells, cells)
    return table


def groups(section: Section) -> Cells:
    columns = group_columns(section)
    table: Cells = {}
    for row in section.rows.values():
        cells = {name: cell(pick(row).values()) for name, pick in columns.items()}
        table[row.label,] = counted(cells, columns)
    return table


def group_columns(section: Section) -> dict[str, Callable[[Row], PerSeed]]:
    """Recalls of the class groups on the uniform set, and how good its probabilities are."""

    def group(row: Row, name: str) -> PerSeed:
        found = {seed: one["draws"]["0"]["groups"] for seed, one in row.sets("uniform").items()}
        return {seed: own[name] for seed, own in found.items() if own[name] is not None}

    columns = {g: lambda row, g=g: group(row, g) for g in GROUPS}
    for key in ("nll", "ece", "brier", "top5"):
        if any(row.draws("uniform", key) for row in section.rows.values()):
            columns[key] = lambda row, key=key: row.draws("uniform", key)
    if len(section.first["class_names"]) < 6:
        columns.pop("top5", None)
    return columns


def classes(section: Section) -> Cells:
    """Recall of each class of methods that stand for themselves."""
    table: Cells = {}
    for row in section.rows.values():
        first = row.first
        if row.knows_prior or not (first["strategy"] == "none" or row.label == first["method"]):
            continue
        found = [one["draws"]["0"]["per_class"] for one in row.sets("uniform").values()]
        counts = next(iter(row.sets("uniform").values()))["definition"]["counts"]
        for c, name in enumerate(first["class_names"]):
            table[row.label, name] = {
                "n": float(len(found)),
                "recall": cell([own[c] for own in found]),
                "train_images": float(first["train_counts"][c]),
                "test_images": float(counts[c]),
            }
    return table
