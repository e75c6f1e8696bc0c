"""The shift control ranks adaptive rows and fixed ones on one footing."""

from collections.abc import Callable
from pathlib import Path

import pytest

from ltbench.report.build import build_report
from ltbench.report.statistics.ideal_prior import class_weights

from ..builder import Results
from ..page_reader import shift_rows

RECALLS = [95.0, 80.0, 40.0, 10.0]


def drawn(lacking: float, gain: float) -> Callable[[str, int, int], float]:
    """Exact re-weighting less what draws lack, by loops; ``gain`` is what adapting adds."""

    def score(name: str, seed: int, draw: int) -> float:
        if name == "uniform":
            return sum(RECALLS) / 4 + gain
        kind = name.rstrip("0123456789")
        if kind not in ("forward", "backward"):
            return 50.0
        ratio = float(name.removeprefix(kind))
        order = RECALLS if kind == "forward" else RECALLS[::-1]
        weights = [ratio ** (-c / 3) for c in range(4)]
        exact = sum(w * r for w, r in zip(weights, order, strict=True)) / sum(weights)
        return exact - lacking + gain

    return score


def top1_of(root: Path, plain: bool) -> tuple[list[float], list[float]]:
    """What the page interpolates for a row that gains nothing, and what is stored for it."""
    results = Results(root)
    for seed in range(3):
        results.add(
            "sade",
            seed,
            drawn(0.4, 0.0),
            strategy="em",
            label="sade",
            recall=lambda c, s: RECALLS[c],
        )
        name = "sade" if plain else "other"
        results.add(
            name, seed, drawn(0.4, 0.0), label=f"{name}+none", recall=lambda c, s: RECALLS[c]
        )
    rows = shift_rows(build_report(root, figures=False).output / "report.html", "toy-lt")
    found = next(row["between"] for row in rows if row["label"] == "sade")
    tests = ("forward10", "forward2", "uniform", "backward2", "backward10")
    return found, [drawn(0.4, 0.0)(name, 0, 0) for name in tests]


def test_a_row_that_gains_nothing_ties_with_its_method_re_weighted(tmp_path: Path) -> None:
    found, stored = top1_of(tmp_path, plain=True)
    lacking = [0.4, 0.4, 0.0, 0.4, 0.4]
    assert found == pytest.approx([s + d for s, d in zip(stored, lacking, strict=True)], abs=1e-3)


def test_without_the_row_to_compare_with_the_stored_accuracy_stays(tmp_path: Path) -> None:
    found, stored = top1_of(tmp_path, plain=False)
    assert found == pytest.approx(stored, abs=1e-3)


def test_class_weights_reverse_and_leave_out_absent_classes() -> None:
    assert class_weights([0, None, 1], 0.0) == [0.5, 0.0, 0.5]
    forward, backward = class_weights([0, 1, 2], -2.0), class_weights([0, 1, 2], 2.0)
    assert forward == pytest.approx(backward[::-1])
    assert forward[0] / forward[2] == pytest.approx(2.718281828**2)
