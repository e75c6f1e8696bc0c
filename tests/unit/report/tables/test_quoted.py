"""Published figures beside measured ones: both ways to average, gaps, candidates for what differs."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from ltbench.registry import load_registries
from ltbench.report.published.quoted import quoted_rows
from ltbench.report.records.read import read_records
from ltbench.report.render.latex import render_latex
from ltbench.report.render.text import render_markdown
from ltbench.report.rows.sections import build_sections
from ltbench.report.tables.all import build_tables
from ltbench.report.tables.table import Table

from ..builder import Results, Score, flat


def published(distribution: str, off: float = 0.0) -> float:
    """What sade-readme says of ce, and a little more."""
    scores = {
        **{"forward50": 62.3, "forward10": 56.2, "uniform": 41.4},
        **{"backward10": 25.8, "backward50": 17.5},
    }
    return scores.get(distribution, 50.0) + off


def quoted_of(root: Path) -> Table | None:
    (section,) = build_sections(read_records(root))[0]
    return next((t for t in build_tables(section, "9") if t.name == "quoted"), None)


def add(root: Path, score: Score, *, method: str = "ce", seeds: int = 1, **more: str) -> Results:
    results = Results(root, protocol="cifar100-lt", ratios=(10, 50), draws=3, **more)  # type: ignore[arg-type]
    for seed in range(seeds):
        results.add(method, seed, score)
    return results


def far_notes(table: Table) -> list[str]:
    return [note for note in table.notes if "Candidates" in note]


def test_draw_0_and_the_mean_stand_beside_what_is_quoted(tmp_path: Path) -> None:
    add(tmp_path, lambda n, s, d: published(n, 0.4 if n == "uniform" or d == 0 else 1.0))
    table = quoted_of(tmp_path)
    assert table is not None
    lines = [line for line in render_markdown(table).splitlines() if line.startswith("| ce")]
    assert lines == [
        "| ce | measured, draw 0 | 1 | 62.7 | 56.6 | 41.8 | 26.2 | 17.9 |",
        "| ce | measured, mean of 3 | 1 | 63.1 | 57.0 | 41.8 | 26.6 | 18.3 |",
        "| ce | quoted, sade-readme | – | 62.3 | 56.2 | 41.4 | 25.8 | 17.5 |",
        "| ce | draw 0 minus sade-readme | 1 | 0.4 | 0.4 | 0.4 | 0.4 | 0.4 |",
        "| ce | mean of 3 minus sade-readme | 1 | 0.8 | 0.8 | 0.4 | 0.8 | 0.8 |",
        "| ce | quoted, openlt | – | – | – | 40.3 | – | – |",
        "| ce | draw 0 minus openlt | 1 | – | – | 1.5 | – | – |",  # no draws: no second gap
    ]
    assert [block.quoted for block in table.blocks] == [frozenset({2, 5})]
    latex = [line for line in render_latex(table, "x").splitlines() if "\\color{gray}" in line]
    assert [("sade-readme" in line, "openlt" in line) for line in latex] == [
        (True, False),
        (False, True),
    ]
    assert "github.com/Vanint/SADE-AgnosticLT" in " ".join(table.notes)
    assert "(n = 1)" in table.caption


def test_methods_have_a_block_each(tmp_path: Path) -> None:
    add(tmp_path, flat(50))
    add(tmp_path, flat(50), method="ride")
    table = quoted_of(tmp_path)
    assert table is not None
    assert [{row[0] for row in block.rows} for block in table.blocks] == [{"ce"}, {"ride"}]


def test_no_gap_to_another_budget_and_nothing_quoted_for_a_variant(tmp_path: Path) -> None:
    Results(tmp_path / "s", protocol="cifar100-lt-short", ratios=(10, 50)).add("ce", 0, flat(50))
    table = quoted_of(tmp_path / "s")
    assert table is not None
    assert "other budget" in table.title
    sources = [str(row[1]) for block in table.blocks for row in block.rows]
    assert sources == [
        *("measured, draw 0", "measured, mean of 2", "quoted, sade-readme", "quoted, openlt")
    ]
    assert far_notes(table) == []
    assert quoted_rows("cifar100-lt", "recipe.epochs=40") == []
    Results(tmp_path / "v", protocol="cifar100-lt", variant="train.imbalance=50").add(
        "ce", 0, flat(50)
    )
    assert quoted_of(tmp_path / "v") is None


def test_a_gap_over_one_point_names_candidates_and_where(tmp_path: Path) -> None:
    def score(n: str, s: int, d: int) -> float:
        far = n == "backward50" or (n == "forward50" and d > 0)
        return published(n, 1.8 if far else 0.9)

    add(tmp_path, score, seeds=2)
    table = quoted_of(tmp_path)
    assert table is not None
    first, second = far_notes(table)
    assert first.startswith(
        "ce, more than 1 point from sade-readme (draw 0: B50; mean of 3: F50, B50). Candidates for"
        " what differs, not causes: "
    )
    assert "constants of CIFAR-10 there" in first
    assert "augments the images of shifted sets" in first
    assert "one draw per shifted test set there, the mean of 3 here" in first
    assert first.endswith("one run there, 2 seeds here")
    assert second.startswith("ce, more than 1 point from openlt (draw 0: U).")
    assert "shifted" not in second  # only the uniform set is far


def test_small_gaps_have_no_footnote(tmp_path: Path) -> None:
    add(tmp_path, lambda n, s, d: published(n, -0.5))
    table = quoted_of(tmp_path)
    assert table is not None
    assert far_notes(table) == []


@pytest.mark.parametrize(("gamma", "told"), [(0.1, True), (0.01, False)])
def test_settings_are_told_where_those_of_the_records_differ(
    tmp_path: Path, gamma: float, told: bool
) -> None:
    results = Results(tmp_path, protocol="cifar100-lt", ratios=(10, 50))
    recipe = {"gamma": gamma, "batch_size": 128, "lr": 0.1, "weight_decay": 5e-4}
    results.add("ride", 0, flat(90), hyper={"diversity_factor": -0.45}, recipe=recipe)
    table = quoted_of(tmp_path)
    assert table is not None
    (note,) = far_notes(table)
    assert ("recipe.gamma 0.01 there, 0.1 here (RIDE's own" in note) == told
    assert "batch_size" not in note
    assert "diversity_factor" not in note
    assert "keeps the epoch of the best test accuracy" in note


def test_what_is_said_of_settings_is_what_the_methods_quote() -> None:
    """The report may not import methods, so that a source repeats some of their settings."""
    known = load_registries().methods
    checked = 0
    for quoted in quoted_rows("cifar100-lt", ""):
        if quoted.key == "openlt":
            continue  # an implementation of its own
        reference = known.get(quoted.label.partition("+")[0]).cls.reference.settings
        for key, value in quoted.settings.items():
            assert reference[key] == value, (quoted.key, quoted.label, key)
            checked += 1
    assert checked > 15


def test_every_score_of_the_file_is_read() -> None:
    """A score without a point would be a whole number, which is no score there."""
    path = Path(quoted_rows.__code__.co_filename).with_name("quoted.toml")
    scores = re.findall(
        r"^(?:forward|backward|uniform)\d* = (\S+)$", path.read_text(), re.MULTILINE
    )
    rows = [row for protocol in ("cifar100-lt", "cifar10-lt") for row in quoted_rows(protocol, "")]
    assert sorted(map(float, scores)) == sorted(v for row in rows for v in row.scores.values())
    assert json.dumps([dict(row.settings) for row in rows])
