"""Expert methods beside ensembles of plain networks: chosen by cost, compared by replicate."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from scipy import stats

from ltbench.report.records.read import read_records
from ltbench.report.render.text import render_csv
from ltbench.report.rows.sections import build_sections
from ltbench.report.statistics.comparison import holm
from ltbench.report.tables.all import build_tables
from ltbench.report.tables.table import Table, printed

from ..builder import Results, Score, flat


def table_of(root: Path) -> Table | None:
    (section,) = build_sections(read_records(root))[0]
    found = [table for table in build_tables(section, "9") if table.name == "equal-cost"]
    return found[0] if found else None


def add_ensemble(
    results: Results, copies: int, seed: int, score: Score, strategy: str = "none", each: int = 1
) -> None:
    """``copies`` networks with ``each`` experts, whose members lie beside it."""
    name = f"{copies}*ce"
    path = results.add(
        name, seed, score, strategy=strategy, experts=copies * each, oracle=strategy == "oracle",
        training=f"ensemble-{copies}xce",
    )  # fmt: skip
    members = []
    for member in range(copies):
        place = copies * seed + member
        folder = results.add_trial("ce", place)
        members.append(
            {
                "training": "ce",
                "seed": place,
                "trial": folder.name.split("-")[1],
                "weights": "2025-01-01T00:00:00+00:00",
            }
        )
    trial = path.parent.parent / "trial.json"
    record = json.loads(trial.read_text())
    trial.write_text(json.dumps(record | {"ensemble": {"members": members}}))


def lines(table: Table) -> list[list[tuple[str, ...]]]:
    return [
        [
            tuple(printed(v, c.digits).main for v, c in zip(row, table.columns, strict=True))
            for row in block.rows
        ]
        for block in table.blocks
    ]


def test_the_nearest_below_and_above_stand_beside_a_method_whatever_their_accuracy(
    tmp_path: Path,
) -> None:
    results = Results(tmp_path, images=4)
    results.add("sade", 0, flat(60), experts=3)
    results.add("sade", 0, flat(70), experts=3, strategy="em")
    for copies, score in ((1, 99), (2, 40), (4, 50), (5, 99)):
        add_ensemble(results, copies, 0, flat(score))
        add_ensemble(results, copies, 0, flat(score + 0.5), strategy="em")
        add_ensemble(results, copies, 0, flat(99), strategy="oracle")
    table = table_of(tmp_path)
    assert table is not None
    (block,) = lines(table)
    assert [line[:4] for line in block] == [
        ("sade", "3.00", "1", "60.0"),
        ("2*ce", "2.00", "1", "40.0"),
        ("2*ce+em", "2.00", "1", "40.5"),
        ("4*ce", "4.00", "1", "50.0"),
        ("4*ce+em", "4.00", "1", "50.5"),
    ]
    assert [line[-3:] for line in block[1:3]] == [("-20.00", "1", "–"), ("-19.50", "1", "–")]
    assert "multiply-accumulates of one image" in table.caption
    assert "99" not in render_csv(table)


def test_differences_are_paired_and_corrected(tmp_path: Path) -> None:
    results = Results(tmp_path, images=4)
    own = [60.0, 61.0, 63.0, 62.0]
    other = {2: [58.0, 60.5, 61.0, 61.5], 4: [61.0, 61.5, 64.5, 62.5]}
    for seed in range(4):
        results.add("sade", seed, lambda d, s, r: own[s], experts=3)
        for copies, values in other.items():
            add_ensemble(results, copies, seed, lambda d, s, r, v=values: v[s])
    table = table_of(tmp_path)
    assert table is not None
    expected = holm([float(stats.ttest_rel(values, own).pvalue) for values in other.values()])
    rows = table.blocks[0].rows[1:]
    for row, p, values in zip(rows, expected, other.values(), strict=True):
        stored = getattr(row[-1], "stored", None)
        assert stored == pytest.approx(p)
        mean = sum(values) / 4 - sum(own) / 4
        assert getattr(row[-3], "mean", None) == pytest.approx(mean)
    assert "over the 2 tests of this table" in table.caption


def test_without_common_seeds_the_difference_is_that_of_the_means(tmp_path: Path) -> None:
    results = Results(tmp_path)  # no multiply-accumulates: parameters
    for seed in range(3):
        results.add("sade", seed, flat(60), experts=3)
        add_ensemble(results, 3, seed + 5, flat(58))
    table = table_of(tmp_path)
    assert table is not None
    assert lines(table)[0][1][-3:] == ("-2.00", "0", "–")
    assert "Cost: parameters of one image" not in table.caption
    assert "multiply-accumulates are not in all records" in table.caption


@pytest.mark.parametrize("each", [1, 3])
def test_only_networks_with_one_expert_are_plain(tmp_path: Path, each: int) -> None:
    results = Results(tmp_path, images=4)
    results.add("sade", 0, flat(60), experts=3)
    add_ensemble(results, 2, 0, flat(50), each=each)
    assert (table_of(tmp_path) is not None) == (each == 1)


def test_costs_of_an_ensemble_are_said_to_be_sums(tmp_path: Path) -> None:
    results = Results(tmp_path, images=4)
    results.add("sade", 0, flat(60), experts=3)

    def caption() -> str:
        (section,) = build_sections(read_records(tmp_path))[0]
        return next(t.caption for t in build_tables(section, "9") if t.name == "cost")

    assert "sums over its members" not in caption()
    add_ensemble(results, 2, 0, flat(50))
    assert "sums over its members, and n counts replicates, which share no member" in caption()
