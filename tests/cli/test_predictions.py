"""``ltbench predictions``: every image once, and what is counted is what the records say."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pandas as pd
import pytest

import ltbench as package
from ltbench.data.sources import open_data
from tests.in_process import once

CommandLine = Callable[..., CompletedProcess[str]]
SETTINGS = ["--protocol", "digits-lt", "--set", "recipe.epochs=1", "--set", "test.draws=2"]
SETTINGS += ["--set", "test.ratios=2"]
OVERRIDES = {"recipe": {"epochs": 1}, "test": {"draws": 2, "ratios": [2]}}


@pytest.fixture(scope="module")
def results(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trial of ce and, from its logits, an imported model without a protocol."""
    folder = tmp_path_factory.mktemp("predictions")
    results = folder / "results"
    rows = "ce,ce+em,logit-adjustment"
    words = ["run", "--methods", rows, *SETTINGS, "--seeds", "1", "--results", results]
    done = once(environment, folder, *words)
    assert done.returncode == 0, done.stdout + done.stderr
    (trial,) = results.glob("digits-lt/ce/0-*")
    stored = package.load_logits(trial)
    package.import_outputs(
        stored.logits,
        stored.labels,
        name="mine",
        counts=[9] * 10,
        results=results,
        strategies="none",
    )
    return results


def score(results: Path, label: str, distribution: str) -> float:
    frame = package.load_results(results, draws="all")
    here = frame[(frame.label == label) & (frame.distribution == distribution) & (frame.draw == 0)]
    return float(here.top1.item())


def right(frame: pd.DataFrame) -> float:
    return 100.0 * float((frame.label == frame.prediction).mean())


def test_a_fixed_row_predicts_the_whole_pool(
    ltbench_here: CommandLine, results: Path, tmp_path: Path
) -> None:
    test = open_data(package.load_protocol("digits-lt").data).test
    frames = []
    for name in ("p.csv", "p.parquet"):
        file = tmp_path / "new" / name
        done = ltbench_here("predictions", "ce", *SETTINGS, "--results", results, "-o", file)
        assert done.returncode == 0, done.stderr
        assert done.stdout == f"600 images: {file}\n"
        frames.append(pd.read_csv(file) if name == "p.csv" else pd.read_parquet(file))
    frame = frames[1]
    assert list(frame.columns) == ["index", "label", "prediction", *test.class_names]
    assert frame["index"].tolist() == list(range(600))
    assert frame.label.tolist() == [test.class_names[c] for c in test.labels]
    p = frame[list(test.class_names)]
    np.testing.assert_allclose(p.sum(axis=1), 1.0)
    assert frame.prediction.tolist() == p.idxmax(axis=1).tolist()
    assert right(frame) == pytest.approx(score(results, "ce", "uniform"))
    pd.testing.assert_frame_equal(frames[0], frame, check_dtype=False)
    assert frame.equals(package.load_predictions("ce", "digits-lt", results=results, **OVERRIDES))


@pytest.mark.parametrize(
    ("row", "distribution"),
    [("ce+em", None), ("ce+em", "backward2"), ("ce", "forward2"), ("logit-adjustment", None)],
)
def test_what_is_right_is_what_the_record_says(
    results: Path, row: str, distribution: str | None
) -> None:
    frame = package.load_predictions(
        row, "digits-lt", distribution=distribution, results=results, **OVERRIDES
    )
    assert right(frame) == pytest.approx(score(results, row, distribution or "uniform"))
    assert frame["index"].is_monotonic_increasing
    if distribution:
        drawn = package.draw_test_sets("digits-lt", **OVERRIDES)[distribution].draws
        assert frame["index"].tolist() == sorted(drawn[0].tolist())
        second = package.load_predictions(
            row, "digits-lt", distribution=distribution, draw=1, results=results, **OVERRIDES
        )
        assert second["index"].tolist() == sorted(drawn[1].tolist())


def test_an_imported_model_has_the_predictions_of_its_logits(results: Path) -> None:
    mine = package.load_predictions("mine", "imported", results=results)
    ce = package.load_predictions("ce", "digits-lt", results=results, **OVERRIDES)
    assert list(mine.columns)[3:] == [f"class {c}" for c in range(10)]
    np.testing.assert_allclose(mine.iloc[:, 3:], ce.iloc[:, 3:])


def test_nothing_of_it_enters_a_record(results: Path) -> None:
    before = {path: path.read_bytes() for path in results.rglob("*") if path.is_file()}
    package.load_predictions("ce", "digits-lt", results=results, **OVERRIDES)
    assert before == {path: path.read_bytes() for path in results.rglob("*") if path.is_file()}


WRONG = {
    "ce -o p.txt": r"p\.txt: the file must end in \.csv or \.parquet",
    "nosuch -o p.csv": r"unknown method 'nosuch'",
    "ce,ride -o p.csv": r"'ce,ride' names 2 rows; give one",
    "ride -o p.csv": r"ride with seed 0 is not trained yet",
    "ce -o p.csv --seed 3": r"ce with seed 3 is not trained yet",
    "ce -o p.csv --distribution backward3": r"no test set 'backward3'; did you mean 'backward2'\?",
    "ce -o p.csv --distribution uniform --draw 1": r"uniform has draw 0 alone for ce, no draw 1",
    "ce+em -o p.csv --distribution forward2 --draw 2": r"has draws 0 to 1 for ce\+em, no draw 2",
}


@pytest.mark.parametrize("words", WRONG)
def test_wrong_input_gets_one_line(ltbench_here: CommandLine, results: Path, words: str) -> None:
    done = ltbench_here("predictions", *words.split(), *SETTINGS, "--results", results)
    assert done.returncode == 2
    (line,) = [line for line in done.stderr.splitlines() if line.strip()]
    assert re.search(WRONG[words], line), line
    assert not Path("p.csv").exists()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("other", r"no model 'other' was imported below .*imported"),
        ("mine --seed 4", r"mine was imported into imported with another seed than 4"),
        ("mine+stability", r"which imported logits do not bring"),
    ],
)
def test_a_wrong_import_gets_one_line(
    ltbench_here: CommandLine, results: Path, words: str, expected: str
) -> None:
    place = ["--protocol", "imported", "--results", results, "-o", "p.csv"]
    done = ltbench_here("predictions", *words.split(), *place)
    assert done.returncode == 2
    (line,) = [line for line in done.stderr.splitlines() if line.strip()]
    assert re.search(expected, line), line


def test_the_table_is_imported_again_with_the_same_numbers(
    ltbench_here: CommandLine, results: Path, tmp_path: Path
) -> None:
    """What another program reads and changes comes back by ``evaluate --predictions``."""
    file, again = tmp_path / "p.csv", tmp_path / "again"
    words = [*SETTINGS, "--results"]
    assert ltbench_here("predictions", "ce", *words, results, "-o", file).returncode == 0
    done = ltbench_here(
        "evaluate", "--predictions", file, "--name", "back", "--strategies", "none", *words, again
    )
    assert done.returncode == 0, done.stderr
    for distribution in ("forward2", "uniform", "backward2"):
        expected = score(results, "ce", distribution)
        assert score(again, "back (imported)", distribution) == pytest.approx(expected)
