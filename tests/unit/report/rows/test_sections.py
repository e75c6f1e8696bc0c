"""What is averaged together and what never is; names of folders; failures in their place."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ltbench.report.records.names import distribution_order, safe_name, short_name
from ltbench.report.records.read import read_records
from ltbench.report.rows.rows import Row
from ltbench.report.rows.sections import Section, build_sections
from ltbench.report.tables.shift import top1

from ..builder import Results, flat


def sections_of(root: Path) -> list[Section]:
    return build_sections(read_records(root))[0]


def row_of(section: Section, label: str) -> Row:
    return next(row for row in section.rows if row.label == label)


def test_mean_over_draws_first_then_over_seeds(tmp_path: Path) -> None:
    # Seed 0 has two draws (40, 60), seed 1 four (80, 80, 80, 80): 65, not the 70 of all draws.
    Results(tmp_path, draws=2).add("ce", 0, lambda name, seed, draw: 40.0 + 20 * draw)
    Results(tmp_path, draws=4).add("ce", 1, flat(80))
    (section,) = sections_of(tmp_path)
    cell = row_of(section, "ce").cell("forward10", top1)
    assert cell is not None
    assert (cell.mean, cell.n, cell.half_width) == (65.0, 2, None)


@pytest.mark.parametrize(
    "other",
    [{"version": "2.0"}, {"variant": "imbalance=50"}, {"precision": "bf16"}, {"data": "cccccc"}],
)
def test_what_does_not_compare_gets_a_section_of_its_own(
    tmp_path: Path, other: dict[str, str]
) -> None:
    Results(tmp_path).add("ce", 0, flat(50))
    Results(tmp_path, **other).add("ce", 1, flat(90))  # type: ignore[arg-type]
    sections = sections_of(tmp_path)
    assert len(sections) == 2
    assert len({section.folder for section in sections}) == 2
    assert len({section.title for section in sections}) == 2
    for section in sections:
        cell = row_of(section, "ce").cell("uniform", top1)
        assert cell is not None
        assert cell.n == 1


def test_recipes_are_never_averaged_together(tmp_path: Path) -> None:
    results = Results(tmp_path)
    results.add("ce", 0, flat(50))
    results.add("ce", 1, flat(90), recipe={"epochs": 200})
    (section,) = sections_of(tmp_path)
    assert len(section.rows) == 2
    assert all("recipe" in row.label for row in section.rows)


def test_versions_of_methods_and_strategies_are_never_averaged_together(tmp_path: Path) -> None:
    results = Results(tmp_path)
    results.add("sade", 0, flat(60), strategy_version=2, method_version=1)
    results.add("sade", 1, flat(50), strategy_version=1, method_version=1)
    (section,) = sections_of(tmp_path)
    assert sorted(row.seeds for row in section.rows) == [(0,), (1,)]
    assert all("version 1/" in row.label for row in section.rows)


def test_training_sets_of_other_rules_are_never_averaged_together(tmp_path: Path) -> None:
    results = Results(tmp_path)
    for seed, split_seed in ((0, 0), (1, 0), (2, 7)):  # the protocol file was edited in between
        results.add("ce", seed, flat(50))
        path = results.trial_folder("ce", seed) / "trial.json"
        record = json.loads(path.read_text())
        record["identity"] = {"data": {}, "train": {"split_seed": split_seed}, "model": {}}
        path.write_text(json.dumps(record))
    (section,) = sections_of(tmp_path)
    assert sorted(row.seeds for row in section.rows) == [(0, 1), (2,)]


def test_the_latest_of_two_records_of_a_seed_counts_and_a_note_says_so(tmp_path: Path) -> None:
    results = Results(tmp_path)
    results.add("ce", 0, flat(50), created="2025-01-01")
    results.add("ce", 0, flat(60), created="2025-02-01")
    (section,) = sections_of(tmp_path)
    cell = row_of(section, "ce").cell("uniform", top1)
    assert cell is not None
    assert (cell.mean, cell.n) == (60.0, 1)
    assert any("several records" in note and "seed 0" in note for note in section.notes)


def test_diverged_seed_is_counted_and_not_averaged(tmp_path: Path) -> None:
    results = Results(tmp_path)
    results.add("ce", 0, flat(50))
    results.add("ce", 1, flat(60))
    results.fail("ce", 2)
    results.fail("ride", 0, "failed")
    (section,) = sections_of(tmp_path)
    row = row_of(section, "ce")
    cell = row.cell("uniform", top1)
    assert cell is not None
    assert (cell.mean, cell.n) == (55.0, 2)
    assert row.failure_text() == "1/3 diverged"
    assert row_of(section, "ride").failure_text() == "1/1 failed"


def test_failure_of_other_settings_is_a_row_of_its_own(tmp_path: Path) -> None:
    results = Results(tmp_path)
    results.add("sade", 0, flat(50), hyper={"tau": 2})
    results.fail("sade", 1, hyper={"tau": 4, "only_prediction_reads": 1})
    (section,) = sections_of(tmp_path)
    assert [row.label for row in section.rows] == ["sade", "sade[only_prediction_reads=1,tau=4]"]
    assert not row_of(section, "sade").failures


def test_failures_belong_to_every_row_of_the_training(tmp_path: Path) -> None:
    results = Results(tmp_path)
    results.add("ce", 0, flat(50))
    results.add("logit-adjustment", 0, flat(50), training="ce")
    results.fail("ce", 1)
    results.fail("ce", 0, hyper={"tried": "before"})  # seed 0 has a result since
    (section,) = sections_of(tmp_path)
    assert [row.failure_text() for row in section.rows] == ["1/2 diverged"] * 2


def test_failures_of_a_protocol_without_results_are_not_lost(tmp_path: Path) -> None:
    Results(tmp_path).add("ce", 0, flat(50))
    Results(tmp_path, protocol="other-lt").fail("ce", 0)
    sections, homeless = build_sections(read_records(tmp_path))
    assert len(sections) == 1
    assert [failure.protocol.name for failure in homeless] == ["other-lt"]


def test_different_definitions_under_one_name_are_noted(tmp_path: Path) -> None:
    results = Results(tmp_path)
    results.add("ce", 0, flat(50))
    path = results.add("ride", 0, flat(50))
    record = json.loads(path.read_text())
    record["distributions"]["forward10"]["definition"]["images"] = 500
    path.write_text(json.dumps(record))
    (section,) = sections_of(tmp_path)
    assert any("forward10 is not defined alike" in note for note in section.notes)


def test_order_and_short_names() -> None:
    names = [("backward2", "backward", 2.0), ("uniform", "uniform", None)]
    names += [("forward2.5", "forward", 2.5), ("forward50", "forward", 50.0)]
    names += [("few-only", "partial", None), ("backward50", "backward", 50.0)]
    ordered = sorted(names, key=lambda name: distribution_order(*name))
    short = [short_name(*name) for name in ordered]
    assert short == ["F50", "F2.5", "U", "B2", "B50", "few-only"]
    assert short_name("forward50-small", "forward", 50.0) == "forward50-small"


@pytest.mark.parametrize(
    "text",
    ["../../etc", "a/b\\c", "CON", "com1.txt", "", "...", "ü 中 %", "x" * 300, "a\0b\n", "~"],
)
def test_names_of_folders_are_safe(text: str) -> None:
    name = safe_name(text)
    assert 0 < len(name) <= 80
    assert name.isascii()
    assert not set(name) - set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-")
    assert not name.startswith((".", "-"))
    assert ".." not in name
    assert name.upper() not in {"CON", "COM1.TXT"}
