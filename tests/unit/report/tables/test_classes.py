"""Single classes by name: all of few, the worst of many, and all of them in CSV."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from ltbench.report.build import build_report
from ltbench.report.records.read import read_records
from ltbench.report.render.latex import render_latex
from ltbench.report.render.text import render_csv, render_markdown
from ltbench.report.rows.sections import build_sections
from ltbench.report.selection import Selection, select_columns
from ltbench.report.tables.classes import classes_table
from ltbench.report.tables.table import Table

from ..builder import Results, flat, with_arrays

MANY = {"counts": [2000 - 10 * c for c in range(30)]}
GROUPS = {"many": list(range(30)), "medium": [], "few": []}


def classes_of(root: Path) -> Table:
    (section,) = build_sections(read_records(root))[0]
    table = classes_table(section, "9.9.9")
    assert table is not None
    return table


def stored(table: Table) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(render_csv(table))))


def test_few_classes_are_all_there_with_their_images(tmp_path: Path) -> None:
    results = Results(tmp_path, images=40)
    for seed in range(2):
        results.add("ce", seed, flat(50), recall=lambda c, s: None if c == 3 else 80.0 - 10 * c + s)
        results.add("ce", seed, flat(60), strategy="em")  # not its own: the same classes again
        results.add("ce", seed, flat(70), strategy="oracle", oracle=True)
    table = classes_of(tmp_path)
    rows = stored(table)
    assert [row["method"] for row in rows] == ["ce"] * 4
    assert [row["train_images"] for row in rows] == ["100", "50", "20", "5"]
    assert {row["test_images"] for row in rows} == {"40"}
    assert [row["recall"] for row in rows] == ["80.5", "70.5", "60.5", ""]
    assert rows[0]["recall_n"] == rows[3]["n"] == "2"
    text = render_markdown(table)
    for row in rows:
        assert f"| {row['class_name']} |" in text
    assert "n/a: no test images" in text
    assert table.in_terminal


def test_of_many_classes_the_worst_are_printed_and_all_stored(tmp_path: Path) -> None:
    results = Results(tmp_path, groups=GROUPS, **MANY)  # type: ignore[arg-type]
    results.add("ce", 0, flat(50), recall=lambda c, s: float((c * 7) % 30))
    results.add("other", 0, flat(50), recall=lambda c, s: float(c))
    table = classes_of(tmp_path)
    recalls = [cell.mean for block in table.blocks for *_, cell in block.rows]  # type: ignore[union-attr]
    assert recalls == [*map(float, range(10)), *map(float, range(10))]
    assert "the other 20 classes are in the CSV file" in table.caption
    rows = stored(table)
    assert len(rows) == 60
    assert [row["recall"] for row in rows if row["method"] == "other"][-1] == "29.0"
    assert render_latex(table, "x").count("ce &") == 10
    chosen = select_columns(table, Selection(columns=("recall",)))
    assert len(stored(chosen)) == 60
    assert "train_images" not in stored(chosen)[0]


def test_long_lists_stay_off_the_terminal(tmp_path: Path) -> None:
    results = Results(tmp_path, groups=GROUPS, **MANY)  # type: ignore[arg-type]
    for method in "abcdefg":
        results.add(method, 0, flat(50))
    console = Console(width=100, file=io.StringIO())
    outcome = build_report(tmp_path, console=console, figures=False)
    printed = console.file.getvalue()  # type: ignore[attr-defined]
    assert "in the files only: Single classes on the uniform test set" in printed
    assert "Recall" not in printed
    (page,) = [path for path in outcome.files if path.name == "report.md"]
    assert "Single classes on the uniform test set" in page.read_text()
    assert "Single classes" in (outcome.output / "report.html").read_text()


# -- with counts by class ------------------------------------------------------------------------


def predictions(classes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Class 1 is never predicted, class 0 is often taken for the last one."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(classes), 40)
    found = np.where(rng.random(len(labels)) < 0.6, labels, rng.integers(0, classes, len(labels)))
    found[(labels == 0) & (rng.random(len(labels)) < 0.7)] = classes - 1
    found[found == 1] = 0
    return labels, found


def test_scores_are_those_of_scikit_learn_on_every_test_set(tmp_path: Path) -> None:
    results = Results(tmp_path, images=40)
    record = results.add("ce", 0, flat(50), recall=lambda c, s: 10.0 + c)
    by_set = {
        name: predictions(4, k) for k, name in enumerate(("uniform", "forward10", "backward10"))
    }
    areas = np.array([0.5, 0.75, 1.0, np.nan])
    with_arrays(record, {n: (confusion_matrix(*p), areas, areas) for n, p in by_set.items()})
    table = classes_of(tmp_path)
    rows = stored(table)
    assert [row["test_set"] for row in rows[::4]] == ["U", "F10", "B10"]
    for name, short in (("uniform", "U"), ("forward10", "F10"), ("backward10", "B10")):
        labels, found = by_set[name]
        precision, recall, f1, _ = precision_recall_fscore_support(
            labels, found, labels=range(4), zero_division=np.nan
        )
        own = [row for row in rows if row["test_set"] == short]
        for c, row in enumerate(own):
            assert row["class_name"] == f"class {c}"
            assert float(row["f1"]) == pytest.approx(100 * f1[c])
            if c == 1:
                assert row["precision"] == ""
                assert np.isnan(precision[c])
            else:
                assert float(row["precision"]) == pytest.approx(100 * precision[c])
            if short != "U":  # there the record itself tells
                assert float(row["recall"]) == pytest.approx(100 * recall[c])
        assert [row["auroc"] for row in own] == ["50.0", "75.0", "100.0", ""]
        most = np.bincount(found[labels == 0], minlength=4)
        assert own[0]["taken_for"] == f"class 3 ({100 * most[3] / 40:.0f} %)"
    text = render_markdown(table)
    assert text.count("| F10 |") == text.count("| B10 |") == 3  # the lowest of the ends
    assert "n/a: no test images or never predicted" in text
    assert (
        "lowest recalls on the uniform test set (%): ce: class 0 (10.0), class 1 (11.0), class 2"
        in text
    )
    assert "not stored" not in text


def test_counts_of_seeds_are_put_together(tmp_path: Path) -> None:
    results = Results(
        tmp_path, counts=(10, 5, 5), groups={"many": [0, 1, 2], "medium": [], "few": []}
    )
    nothing = np.full(3, 0.5)
    for seed, wrong in enumerate(([0, 3, 2], [0, 0, 2])):
        record = results.add("ce", seed, flat(50))
        confusion = np.diag([5, 5, 5])
        confusion[0] += wrong
        with_arrays(record, {"uniform": (confusion, nothing, nothing)})
    first = stored(classes_of(tmp_path))[0]
    assert first["taken_for"] == "class 2 (24 %)"  # 4 of 17, though 3 of 10 in the first seed
    assert float(first["f1"]) == pytest.approx(np.mean([100 * 10 / 15, 100 * 10 / 12]))
    assert first["f1_n"] == "2"


def test_where_nothing_is_stored_a_line_says_what_adds_it(tmp_path: Path) -> None:
    results = Results(tmp_path, variant="recipe.epochs=4;train.imbalance=50")
    results.add("ce", 0, flat(50))
    table = classes_of(tmp_path)
    assert [column.key for column in table.columns][-1] == "recall"
    (note,) = [note for note in table.notes if "not stored" in note]
    assert note == (
        "precision, F1, AUROC and confusions by class are not stored with some records of ce;"
        " `ltbench evaluate --methods ce --protocol toy-lt --set recipe.epochs=4 --set train.imbalance=50`"
        " adds them where the logits of the trials lie"
    )


@pytest.mark.parametrize("what", ["damaged", "other draws", "other classes"])
def test_an_array_file_that_does_not_fit_counts_as_none(tmp_path: Path, what: str) -> None:
    results = Results(tmp_path)
    record = results.add("ce", 0, flat(50))
    classes = 3 if what == "other classes" else 4
    nothing = np.full(classes, 0.5)
    draws = 2 if what == "other draws" else 1
    with_arrays(record, {"uniform": (np.eye(classes, dtype=int), nothing, nothing)}, draws=draws)
    if what == "damaged":
        record.with_suffix(".npz").write_bytes(b"no archive")
    table = classes_of(tmp_path)
    assert any("not stored" in note for note in table.notes)
    assert [column.key for column in table.columns][-1] == "recall"
