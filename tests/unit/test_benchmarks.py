"""The timed comparison judges what it measured; no time is asserted here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ltbench import load_results

pytestmark = pytest.mark.usefixtures("importable_benchmarks")


def row(name: str, **parts: Any) -> Any:
    from benchmarks.row import Row

    return Row(name, name, **parts)


def spread(value: float) -> Any:
    from benchmarks.timing import Spread

    return Spread.of([value])


def test_procedures_take_turns_and_neighbours_are_compared() -> None:
    from benchmarks.timing import rates, ratio

    order: list[str] = []

    def procedure(name: str) -> int:
        order.append(name)
        return 1

    found = rates({"a": lambda: procedure("a"), "b": lambda: procedure("b")}, 3)
    assert order == ["a", "b"] * 3
    assert {name: len(values) for name, values in found.items()} == {"a": 3, "b": 3}
    compared = ratio([2.0, 9.0, 8.0], [1.0, 3.0, 2.0])
    assert (compared.low, compared.median, compared.high) == (2.0, 3.0, 4.0)


def test_goals_are_met_missed_or_not_measured_and_never_guessed() -> None:
    from benchmarks.goals import judge

    rows = [
        row("augmentation", ratios={"against 2 workers": spread(10.9)}, checks={"bits": False}),
        row("training-1", ratios={"ltbench": spread(1.8)}, skipped={"bf16": "no instructions"}),
        row("interface", measured={"ltbench --help": ("s", spread(0.6))}),
    ]
    told = dict(judge(rows))
    assert told["augmentation >= 11x (2 workers)"] == "NOT MET (10.9x)"
    assert told["training, 1 head, float32, one trial >= 1.7x"] == "met (1.8x)"
    assert told["training, 1 head, bfloat16 >= 2.7x"] == "not measured: no instructions"
    assert told["ltbench --help < 0.7 s"] == "met (0.60 s)"
    assert told["bits"] == "NOT MET (checked)"
    assert "evaluation of eleven distributions >= 10x" not in told  # its row was not run


def test_a_thousand_trials_are_real_records_under_other_seeds(tmp_path: Path) -> None:
    from benchmarks.rows_interface import many_trials

    assert many_trials(tmp_path, 45) == 45
    frame = load_results(tmp_path)
    assert frame["trial"].nunique() == 45
    assert not frame.duplicated(["method", "strategy", "seed", "distribution"]).any()


@pytest.mark.parametrize(("shift", "harmless"), [(0.2, "within +-1"), (2.0, "NOT within +-1")])
def test_precisions_are_compared_seed_by_seed(tmp_path: Path, shift: float, harmless: str) -> None:
    import json

    from click.testing import CliRunner

    from benchmarks.precision import main
    from benchmarks.rows_interface import many_trials

    many_trials(tmp_path / "a", 20)
    for index, path in enumerate(sorted((tmp_path / "a").rglob("*.json"))):
        record = json.loads(path.read_text()) | {"precision": "bf16"}
        record["trial"] = "f" + record["trial"][1:]
        for entry in record.get("distributions", {}).values():
            for draw in entry["draws"].values():
                draw["top1"] -= shift + 0.001 * (index % 3)
        copy = tmp_path / "b" / path.relative_to(tmp_path / "a")
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(json.dumps(record))
    results = tmp_path / "both"
    for part in ("a", "b"):
        for trial in (tmp_path / part / "digits-lt").glob("*/*"):
            target = results / "digits-lt" / trial.parent.name / f"{trial.name}{part}"
            target.parent.mkdir(parents=True, exist_ok=True)
            trial.rename(target)
    done = CliRunner().invoke(main, [str(results)])
    assert done.exit_code == 0, done.output
    lines = [line for line in done.output.splitlines() if line.startswith("ce on digits-lt")]
    assert len(lines) == 1
    assert "5 paired seeds" in lines[0]
    assert harmless in lines[0]


def test_label_shift_finds_what_the_slow_ways_find() -> None:
    from benchmarks.rows_labelshift import label_shift

    found = label_shift(1, classes=20, images=300, held=200)
    assert len(found.checks) == 4
    assert all(found.checks.values()), found.notes
    assert ("rlls, cvxpy" in found.measured) != ("rlls, cvxpy" in found.skipped)
    assert {"rlls", "rlls[soft=true]", "tilt[fallback=true]", "tilt-holdout"} <= set(found.measured)
