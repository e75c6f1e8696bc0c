"""A note where logits carry another prior than is stated, and none otherwise."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ltbench.report.records.carried import CarriedPrior
from ltbench.report.records.read import read_records
from ltbench.report.rows.carried_notes import FAR, describe_carried
from ltbench.report.rows.sections import build_sections

from ..builder import Results, flat


def block(few: float | None, *, error: float | None = 0.05, **more: Any) -> dict[str, Any]:
    mean = {"many": 1.0, "medium": 0.98, "few": few}
    errors = {"many": 0.01, "medium": 0.01, "few": error}
    base = {"source": "training", "images": 2000, "mean": mean, "error": errors, "experts": [mean]}
    return {**base, **more}


def tell(results: Results, training: str, seed: int, carried: Any) -> None:
    path = results.trial_folder(training, seed) / "trial.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "carried_prior": carried}))


def notes(root: Path) -> list[str]:
    (section,) = build_sections(read_records(root))[0]
    return [note for note in section.notes if "carry" in note]


def test_one_note_for_all_rows_of_a_training(tmp_path: Path) -> None:
    results = Results(tmp_path)
    for strategy in ("none", "em"):
        results.add("ce", 0, flat(50), strategy=strategy, training="ce")
    tell(results, "ce", 0, block(1.72))
    assert notes(tmp_path) == [
        "ce: its logits do not carry the training prior as they are said to: mean posterior / prior "
        "1.00 ± 0.01 many, 0.98 ± 0.01 medium, 1.72 ± 0.05 few (± standard error; 2,000 training images, "
        "seed 0); so what reasons about priors (oracle, em, tilt and the like) starts from a wrong one"
    ]


@pytest.mark.parametrize(
    ("carried", "told"),
    [
        (block(FAR + 0.01), True),
        (block(1 / FAR - 0.01), True),
        (block(FAR - 0.01), False),
        (block(1 / FAR + 0.01), False),
        (block(1.72, error=0.37), False),  # within two standard errors
        (block(1.72, error=0.35), True),
        (block(1.72, error=None), False),
        (block(None, error=None), False),
        ({"unknown": "method 'ce' states neither bias nor posterior"}, False),
        (None, False),
    ],
)
def test_when_it_is_told(tmp_path: Path, carried: Any, told: bool) -> None:
    results = Results(tmp_path)
    results.add("ce", 0, flat(50))
    tell(results, "ce", 0, carried)
    assert len(notes(tmp_path)) == told


def test_an_older_record_tells_nothing(tmp_path: Path) -> None:
    Results(tmp_path).add("ce", 0, flat(50))
    assert notes(tmp_path) == []
    assert [trial.carried for trial in read_records(tmp_path).trials] == [None]


def test_it_is_the_mean_over_seeds_that_counts(tmp_path: Path) -> None:
    results = Results(tmp_path)
    for seed, few in enumerate((1.2, 1.72)):
        results.add("ce", seed, flat(50))
        tell(results, "ce", seed, block(few))
    assert notes(tmp_path) == []
    tell(results, "ce", 0, block(1.42))
    (note,) = notes(tmp_path)
    assert "1.57 ± 0.05 few (± standard error; 2,000 training images, mean over 2 seeds)" in note


def test_what_the_record_says_is_read_in_full(tmp_path: Path) -> None:
    results = Results(tmp_path)
    results.add("sade", 0, flat(50), experts=2)
    experts = [{"many": 1.1, "medium": 0.9, "few": 2.1}, {"many": 0.9, "medium": None, "few": 0.8}]
    tell(results, "sade", 0, block(1.72, source="holdout", images=82, experts=experts))
    (trial,) = read_records(tmp_path).trials
    assert trial.carried == CarriedPrior(
        "holdout", 82, (1.0, 0.98, 1.72), (0.01, 0.01, 0.05), ((1.1, 0.9, 2.1), (0.9, None, 0.8))
    )
    assert describe_carried({0: trial.carried}).endswith(
        "1.72 ± 0.05 few; few-shot by expert 2.10, 0.80 (± standard error; 82 held-out images, seed 0)"
    )


@pytest.mark.parametrize(
    ("carried", "why"),
    [
        (
            {**block(1.0), "source": "test"},
            "carried_prior.source is 'test', not one of: holdout, tr",
        ),
        ({**block(1.0), "images": 0}, "carried_prior.images is 0, outside its range"),
        (block(-1.0), "few is -1.0, outside its range"),
        ({**block(1.0), "experts": []}, "carried_prior.experts is empty"),
        ({"source": "training"}, "carried_prior.experts is missing"),
        ([], "carried_prior is not an object"),
    ],
)
def test_a_damaged_block_is_an_unreadable_record(tmp_path: Path, carried: Any, why: str) -> None:
    results = Results(tmp_path)
    results.add("ce", 0, flat(50))
    tell(results, "ce", 0, carried)
    records = read_records(tmp_path)
    assert not records.trials
    assert any(why in str(refused) for refused in records.unreadable), records.unreadable


def test_show_tells_it_of_each_training(tmp_path: Path, ltbench_here: Any) -> None:
    """Once for rows on the same trials; of this protocol's trials alone."""
    results = Results(tmp_path / "results", protocol="digits-lt")
    other = Results(tmp_path / "results", protocol="digits-lt", variant="imbalance=5")
    for strategy in ("none", "em"):
        results.add("ce", 0, flat(50), strategy=strategy, training="ce")
    other.add("ce", 1, flat(50))
    tell(results, "ce", 0, block(1.1))
    tell(other, "ce", 1, block(1.3))
    shown = ltbench_here("show", "ce", "--protocol", "digits-lt", "--results", tmp_path / "results")
    lines = [line for line in shown.stdout.splitlines() if "posterior / prior" in line]
    assert lines == [
        f"ce in {tmp_path / 'results'}: mean posterior / prior 1.00 ± 0.01 many, 0.98 ± 0.01 medium, "
        "1.10 ± 0.05 few (± standard error; 2,000 training images, seed 0)"
    ]
