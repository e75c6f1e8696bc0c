"""Key numbers of README, docs/tilt.md and the notes are those of the published records."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import pandas as pd
import pytest

from ltbench import load_results

ROOT = Path(__file__).resolve().parents[2]
TILT, README = "docs/tilt.md", "README.md"
FULL, SHORT = (
    "results/published/notes/cifar100-lt.md",
    "results/published/notes/cifar100-lt-short.md",
)
SETS = ("forward50", "forward10", "uniform", "backward10", "backward50")


@lru_cache(maxsize=1)
def accuracies() -> pd.DataFrame:
    """A line for every draw."""
    frame = load_results(ROOT / "results/published", draws="all")
    return frame[frame["protocol"].str.startswith("cifar100-lt")]


def top1(
    row: str,
    where: str = "mean",
    seed: int | None = None,
    *,
    draw: int | None = None,
    protocol: str = "cifar100-lt",
    variant: str = "",
) -> float:
    """Of a distribution, or the mean over a family of them; over draws and seeds unless one is named."""
    frame = accuracies()
    chosen = frame[
        (frame["label"] == row) & (frame["protocol"] == protocol) & (frame["variant"] == variant)
    ]
    if seed is not None:
        chosen = chosen[chosen["seed"] == seed]
    if draw is not None:
        chosen = chosen[chosen["draw"] == draw]
    if where == "mean":
        chosen = chosen[chosen["kind"].isin(["forward", "uniform", "backward"])]
    elif where in ("partial", "permuted", "dirichlet"):
        chosen = chosen[chosen["kind"] == where]
    else:
        chosen = chosen[chosen["distribution"] == where]
    assert len(chosen), (row, where)
    return float(chosen.groupby(["seed", "distribution"])["top1"].mean().mean())


def short(row: str, where: str = "mean", variant: str = "") -> float:
    return top1(row, where, protocol="cifar100-lt-short", variant=variant)


def holdout(row: str) -> float:
    return short(row, variant="train.holdout=0.1")


def first(row: str) -> list[float]:
    """Draw 0 on the five sets for which figures are published."""
    return [top1(row, where, draw=0) for where in SETS]


def over_draws(row: str, where: str) -> float:
    """Standard deviation of a single draw."""
    frame = accuracies()
    chosen = frame[(frame["label"] == row) & (frame["distribution"] == where)]
    chosen = chosen[chosen["protocol"] == "cifar100-lt"]
    return float(chosen.groupby("seed")["top1"].std().mean())


def by_seed(*rows: str) -> list[float]:
    return [top1(row, seed=seed) for row in rows for seed in (0, 1)]


FIVE = "{} / {} / {} / {} / {}"
CLAIMS: list[tuple[str, str, Callable[[], list[float]]]] = [
    (
        TILT,
        "with its own `stability` has {} and `sade+tilt` {}. **On one head it still helps**: `ce+tilt` "
        "has {} and {} (seeds 0 and 1), subtraction of the log prior (`logit-adjustment`) {} and {}; "
        "`balanced-softmax+tilt` has {} and {}, `balanced-softmax` {} and {}.",
        lambda: [
            *(top1("sade"), top1("sade+tilt")),
            *by_seed("ce+tilt", "logit-adjustment", "balanced-softmax+tilt", "balanced-softmax"),
        ],
    ),
    (TILT, "`sade+tilt` led `sade` by {} points", lambda: [short("sade+tilt") - short("sade")]),
    (
        TILT,
        "failed on the uniform set ({}, the plain mean `sade+none` {})",
        lambda: [short("sade", "uniform"), short("sade+none", "uniform")],
    ),
    (
        TILT,
        "at backward 50 it is {} below it and {} above subtraction of the log prior. On the uniform set "
        "subtraction is better ({}, `tilt` {})",
        lambda: [
            top1("ce+oracle", "backward50") - top1("ce+tilt", "backward50"),
            top1("ce+tilt", "backward50") - top1("logit-adjustment", "backward50"),
            top1("logit-adjustment", "uniform"),
            top1("ce+tilt", "uniform"),
        ],
    ),
    (
        TILT,
        "permuted, `ce+tilt` ({}) is below subtraction ({}) and `ce+em` ({})",
        lambda: [top1(row, "permuted") for row in ("ce+tilt", "logit-adjustment", "ce+em")],
    ),
    (TILT, "on the same l the true prior gives {}", lambda: [top1("sade+oracle")]),
    (
        TILT,
        "({}, {}, {}; `sade+oracle` {}, {}, {})",
        lambda: [
            top1(row, where)
            for row in ("sade", "sade+oracle")
            for where in ("backward10", "backward25", "backward50")
        ],
    ),
    (
        README,
        "`sade` {}, `ride` {}, `balanced-softmax` {}, `logit-adjustment` {}, `ce` {}.",
        lambda: [
            top1(row) for row in ("sade", "ride", "balanced-softmax", "logit-adjustment", "ce")
        ],
    ),
    (
        README,
        "refuted on SADE ({}) and helps one head (`ce` {}, `balanced-softmax` {})",
        lambda: [top1(row) for row in ("sade+tilt", "ce+tilt", "balanced-softmax+tilt")],
    ),
    (FULL, f"Draw 0, as published: {FIVE} (F50", lambda: first("sade")),
    (FULL, f"Draw 0, mean of two seeds: {FIVE}, published", lambda: first("ce")),
    (FULL, f"Draw 0: {FIVE}, published", lambda: first("ride")),
    (FULL, "Its mean is {}", lambda: [top1("sade")]),
    (
        FULL,
        "the mean of ten is {}, and a single draw moves this cell by {}",
        lambda: [top1("ce", "backward10"), over_draws("ce", "backward10")],
    ),
    (
        FULL,
        "One draw moves F50 by {} and B50 by {}",
        lambda: [over_draws("ride", "forward50"), over_draws("ride", "backward50")],
    ),
    (
        FULL,
        "`balanced-softmax` {} and {} (quoted 46.5 and 43.0), `logit-adjustment` {} and {} (45.3), "
        "`sade+none` {}.",
        lambda: [
            *(
                top1(row, "uniform", k)
                for row in ("balanced-softmax", "logit-adjustment")
                for k in (0, 1)
            ),
            top1("sade+none", "uniform"),
        ],
    ),
    (
        FULL,
        "`sade` over `sade+none` +{} at F50, +{} at B50, {} on the uniform set, +{} in the mean",
        lambda: [
            top1("sade", where) - top1("sade+none", where)
            for where in ("forward50", "backward50", "uniform", "mean")
        ],
    ),
    (
        FULL,
        "it changes nothing ({}, `none` {}). `entropy` and `pseudo-label` lose to `none` on both: {} "
        "and {} on `sade`, {} and {} on `ride`",
        lambda: [
            *(top1(row) for row in ("ride+stability", "ride", "sade+entropy", "sade+pseudo-label")),
            *(top1(row) for row in ("ride+entropy", "ride+pseudo-label")),
        ],
    ),
    (
        FULL,
        "`sade+tilt` {}; `ce+tilt` {} and {}, `logit-adjustment` {} and {}; `balanced-softmax+tilt` {} "
        "and {}, `balanced-softmax` {} and {}.",
        lambda: [
            top1("sade+tilt"),
            *by_seed("ce+tilt", "logit-adjustment", "balanced-softmax+tilt", "balanced-softmax"),
        ],
    ),
    (
        FULL,
        "`em` has {} on `sade`, {} and {} on `ce`",
        lambda: [top1("sade+em"), *by_seed("ce+em")],
    ),
    (
        FULL,
        "`sade` has {}, `sade+none` {}, `sade+em` {}, the oracle {}; with a Dirichlet prior {}, {}, {} "
        "and {}.",
        lambda: [
            top1(row, kind)
            for kind in ("permuted", "dirichlet")
            for row in ("sade", "sade+none", "sade+em", "sade+oracle")
        ],
    ),
    (
        SHORT,
        "({}, `sade+none` {}), though",
        lambda: [short("sade", "uniform"), short("sade+none", "uniform")],
    ),
    (
        SHORT,
        "{} against {} in the mean of eleven. **The full budget turned that round**, {} against {}, and "
        "likewise that subtraction of the log prior is better than `ce+tilt` (here {} and {};",
        lambda: [
            *(short("sade+tilt"), short("sade"), top1("sade+tilt"), top1("sade")),
            *(short("logit-adjustment"), short("ce+tilt")),
        ],
    ),
    (
        SHORT,
        "in the mean ({} and {}; {}; draw 0 only)",
        lambda: [short("ce+bn-adapt"), short("ce+tent"), short("ce")],
    ),
    (
        SHORT,
        "`ce+tilt-holdout` has {} where `ce+tilt` has {}, subtraction of the log prior {} and the oracle "
        "{}; `bcts-em` has {}, `bbse` {} and `rlls` {}, `none` {}:",
        lambda: [
            holdout(row)
            for row in (
                *("ce+tilt-holdout", "ce+tilt", "logit-adjustment", "ce+oracle"),
                *("ce+bcts-em", "ce+bbse", "ce+rlls", "ce"),
            )
        ],
    ),
]


def text_of(page: str) -> str:
    return " ".join((ROOT / page).read_text(encoding="utf-8").split())


@pytest.mark.parametrize(("page", "words", "numbers"), CLAIMS, ids=[c[1][:40] for c in CLAIMS])
def test_a_sentence_has_the_numbers_of_the_records(
    page: str, words: str, numbers: Callable[[], list[float]]
) -> None:
    expected = words.format(*(f"{number:.1f}" for number in numbers()))
    assert words.count("{}") == len(numbers())
    assert expected in text_of(page)


def test_the_table_of_tilt_is_that_of_the_records() -> None:
    lines = (ROOT / TILT).read_text(encoding="utf-8").splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("| top-1: mean of ten"))
    rows = [line for line in lines[start + 2 : start + 20] if line.startswith("| `")]
    assert len(rows) == 13
    for line in rows:
        name, seeds, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        row = name.split("`")[1]
        found = [top1(row, where) for where in (*SETS, "mean", "partial", "permuted")]
        assert cells == [f"{value:.1f}" for value in found], row
        frame = accuracies()
        chosen = frame[(frame["label"] == row) & (frame["protocol"] == "cifar100-lt")]
        assert int(seeds) == chosen["seed"].nunique()
