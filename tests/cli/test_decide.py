"""``ltbench decide`` and ``--mix``, against brute force on the stored logits."""

from __future__ import annotations

import csv
import json
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import numpy as np
import pytest

import ltbench as package
from ltbench.report.rows.summary import half_width

CommandLine = Callable[..., CompletedProcess[str]]
ROWS = "ce,ce+em,balanced-softmax"


@pytest.fixture(scope="module")
def mixes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mixes")
    (folder / "clinic.csv").write_text("class,count\nzero,95\nthree,5\nnine,20\n")
    (folder / "other.csv").write_text("seven,0.5\nnine,0.5\n")
    return folder


@pytest.fixture(scope="module")
def short() -> list[str]:
    """The protocol of the tests here: one epoch, one draw of each test set."""
    sets = ("recipe.epochs=1", "test.draws=1", "test.ratios=5")
    return ["--protocol", "digits-lt", *(word for value in sets for word in ("--set", value))]


@pytest.fixture(scope="module")
def results(ltbench_shared: CommandLine, short: list[str], mixes: Path) -> Path:
    """Three seeds of two methods, evaluated at ``clinic`` and not at ``other``."""
    folder = mixes / "results"
    done = ltbench_shared(
        "run", "--methods", ROWS, *short, "--seeds", "3", "--mix", mixes / "clinic.csv",
        "--results", folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "mix clinic: share 0 for 7 classes of 10 (one, two, four, five, six, ...)" in done.stdout
    return folder


def decided(ltbench: CommandLine, results: Path, *mixes: Path) -> list[dict[str, Any]]:
    words = [word for mix in mixes for word in ("--mix", mix)]
    done = ltbench("decide", *words, "--results", results, "--json")
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)["decisions"]
    return found


def brute(results: Path, method: str, shares: dict[int, float]) -> list[float]:
    """Accuracy of each seed: predictions from the stored logits, class by class."""
    found = []
    for trial in sorted((results / "digits-lt" / method).iterdir()):
        stored = package.load_logits(trial)
        predicted = stored.logits[:, 0].argmax(1).numpy()  # both methods have one expert
        labels = stored.labels.numpy()
        found.append(100 * sum(q * np.mean(predicted[labels == c] == c) for c, q in shares.items()))
    return found


def test_fixed_rows_are_what_the_logits_say(
    ltbench_here: CommandLine, results: Path, mixes: Path
) -> None:
    clinic, other = decided(ltbench_here, results, mixes / "clinic.csv", mixes / "other.csv")
    for decision, shares in (
        (clinic, {0: 95 / 120, 3: 5 / 120, 9: 20 / 120}),
        (other, {7: 0.5, 9: 0.5}),
    ):
        fixed = [row for row in decision["rows"] if row["exact"]]
        assert {row["row"] for row in fixed} == {"ce", "balanced-softmax"}
        means = [row["accuracy"] for row in fixed]
        assert means == sorted(means, reverse=True)
        values = {row["row"]: brute(results, row["row"], shares) for row in fixed}
        for row in fixed:
            own = values[row["row"]]
            assert row["accuracy"] == pytest.approx(np.mean(own), abs=1e-6)
            assert row["half_width"] == pytest.approx(half_width(own), abs=1e-6)
            assert row["interval_over"] == "seeds"
        first, second = fixed
        assert first["difference"] is None
        behind = np.array(values[second["row"]]) - np.array(values[first["row"]])
        assert second["difference"] == pytest.approx(behind.mean(), abs=1e-6)
        assert second["difference_half_width"] == pytest.approx(half_width([*behind]), abs=1e-6)
        for row in fixed:
            assert (row["forward_set"], row["backward_set"]) == ("forward5", "backward5")
            frame = package.load_results(results)
            stored = frame[frame.label == row["row"]].groupby("distribution").top1.mean()
            for key, name in (
                ("forward", "forward5"),
                ("uniform", "uniform"),
                ("backward", "backward5"),
            ):
                assert row[key] == pytest.approx(stored[name])
            assert row["macs_millions"] > 0
            assert row["training_seconds"] > 0
        assert any("flattered by the choice" in note for note in decision["notes"])


def test_rows_that_adapt_only_where_the_mix_was_evaluated(
    ltbench_here: CommandLine, results: Path, mixes: Path
) -> None:
    clinic, other = decided(ltbench_here, results, mixes / "clinic.csv", mixes / "other.csv")
    adapted = {row["row"]: row for row in clinic["rows"] if not row["exact"]}
    assert set(adapted) == {"ce+em", "ce+oracle", "balanced-softmax+oracle"}
    frame = package.load_results(results)
    own = frame[(frame.label == "ce+em") & (frame.distribution == "clinic")]
    assert adapted["ce+em"]["accuracy"] == pytest.approx(own.top1.mean())
    assert (own.kind == "mix").all()
    assert (clinic["measured"], clinic["evaluate"]) == ("clinic", [])
    assert all(row["exact"] for row in other["rows"])
    assert other["measured"] == ""
    (command,) = other["evaluate"]
    words = shlex.split(command)
    assert words[:4] == ["ltbench", "evaluate", "--methods", "ce+em"]
    assert words[words.index("--mix") + 1] == str(mixes / "other.csv")
    assert words[words.index("--seeds") + 1] == "3"


def test_the_command_that_is_named_measures_them(
    ltbench_here: CommandLine, results: Path, mixes: Path, tmp_path: Path
) -> None:
    same = tmp_path / "swapped.csv"  # other numbers, the same shares as a mix that comes
    same.write_text("nine,1\nthree,1\n")
    results = Path(shutil.copytree(results, tmp_path / "copied"))  # others look at it as it was
    (before,) = decided(ltbench_here, results, same)
    done = ltbench_here(*shlex.split(before["evaluate"][0])[1:])
    assert done.returncode == 0, done.stderr
    again = tmp_path / "again.csv"
    again.write_text("three,50\nnine,50\n")
    (after,) = decided(ltbench_here, results, again)
    assert after["measured"] == "swapped"
    assert "ce+em" in {row["row"] for row in after["rows"]}
    assert after["evaluate"] == []


def test_tables_csv_and_python_say_the_same(
    ltbench_here: CommandLine, results: Path, mixes: Path, tmp_path: Path
) -> None:
    output = tmp_path / "decision.csv"
    mix = mixes / "clinic.csv"
    done = ltbench_here("decide", "--mix", mix, "--results", results, "--output", output)
    assert done.returncode == 0, done.stderr
    assert "Mix clinic: zero 79.2 %, nine 16.7 %, three 4.17 %" in done.stdout
    rows = list(csv.DictReader(output.read_text(encoding="utf-8").splitlines()))
    frame = package.decide_mix({"zero": 95, "three": 5, "nine": 20}, results, name="clinic")
    assert [row["row"] for row in rows] == frame.row.tolist()
    assert [float(row["accuracy"]) for row in rows] == pytest.approx(frame.accuracy.tolist())
    assert frame.attrs["evaluate"] == []
    assert package.decide_mix(mix, results).equals(frame)
    for row in rows:
        assert f"{float(row['accuracy']):.1f}" in done.stdout


def test_the_report_has_a_table_of_mixes(
    ltbench_here: CommandLine, results: Path, tmp_path: Path
) -> None:
    done = ltbench_here(
        "report", "--results", results, "--no-figures", "--output", tmp_path / "report"
    )
    assert done.returncode == 0, done.stderr
    (table,) = (tmp_path / "report").glob("digits-lt*/tables/mixes.md")
    text = table.read_text()
    assert "clinic: zero 79.2 %, nine 16.7 %, three 4.17 %; 7 classes not named, share 0." in text
    partial = table.with_name("partial.md").read_text()
    assert "clinic" not in partial
    adaptation = table.with_name("adaptation.md").read_text()
    assert re.search(r"\| ce\+em \| clinic \|", adaptation)


def test_a_mix_without_images_is_left_out_and_told(
    ltbench_here: CommandLine, short: list[str], tmp_path: Path
) -> None:
    mix = tmp_path / "thin.csv"
    mix.write_text("zero,999\none,1\n")
    common = [*short, "--mix", mix, "--results", tmp_path / "r"]
    done = ltbench_here("run", "--methods", "ce", *common, "--seeds", "1")
    assert done.returncode == 0, done.stderr
    assert "no test set thin: " in done.stdout
    done = ltbench_here("report", "--results", tmp_path / "r", "--no-figures")
    assert "Left out for want of test images: thin" in " ".join(done.stdout.split())
    (decision,) = decided(ltbench_here, tmp_path / "r", mix)
    assert [row["interval_over"] for row in decision["rows"]] == ["images"]


def test_imported_outputs_meet_a_mix(ltbench_here: CommandLine, tmp_path: Path) -> None:
    """Classes of unlike size: recalls and intervals are those of all their images."""
    rng = np.random.default_rng(0)
    sizes = np.array([30, 20, 10])
    labels = np.repeat(np.arange(3), sizes)
    np.save(tmp_path / "y.npy", labels)
    np.save(tmp_path / "z.npy", (rng.normal(size=(60, 3)) + 2 * np.eye(3)[labels]).astype("f4"))
    (tmp_path / "n.csv").write_text("30\n20\n10\n")
    (tmp_path / "ward.csv").write_text("0,3\n2,1\n")
    done = ltbench_here(
        "evaluate", "--logits", tmp_path / "z.npy", "--labels", tmp_path / "y.npy",
        "--counts", tmp_path / "n.csv", "--name", "mine", "--mix", tmp_path / "ward.csv",
        "--strategies", "none", "--results", tmp_path / "r",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (decision,) = decided(ltbench_here, tmp_path / "r", tmp_path / "ward.csv")
    assert decision["measured"] == "ward"
    predicted = np.load(tmp_path / "z.npy").argmax(axis=1)
    recall = [np.mean(predicted[labels == c] == c) for c in range(3)]
    (row,) = [row for row in decision["rows"] if row["exact"]]
    assert row["accuracy"] == pytest.approx(100 * (0.75 * recall[0] + 0.25 * recall[2]))
    shrunk = (sizes * recall + 1) / (sizes + 2)
    variance = np.array([0.75, 0, 0.25]) ** 2 @ (shrunk * (1 - shrunk) / (sizes + 2))
    assert row["interval_over"] == "images"
    assert row["half_width"] == pytest.approx(100 * 1.959963984540054 * variance**0.5)
    frame = package.load_results(tmp_path / "r")
    assert frame[frame.distribution == "ward"].n_images.unique().tolist() == [40]


def test_two_classes_at_1_to_200(ltbench_here: CommandLine, tmp_path: Path) -> None:
    """Of 1000 negatives ``keen`` misjudges 20 and of 10 positives 1; ``idle`` sees no positive."""
    labels = np.repeat([0, 1], [1000, 10])
    (tmp_path / "n.csv").write_text("2000\n10\n")
    (tmp_path / "names.txt").write_text("negative\npositive\n")
    (tmp_path / "clinic.csv").write_text("negative,200\npositive,1\n")
    np.save(tmp_path / "y.npy", labels)
    noise = np.random.default_rng(0).normal(0, 0.1, (1010, 2))
    keen = np.concatenate((np.arange(980) * 0, np.ones(20), np.ones(9), [0])).astype(int)
    for name, predicted in (("keen", keen), ("idle", np.zeros(1010, dtype=int))):
        np.save(tmp_path / "z.npy", (4 * np.eye(2)[predicted] + noise).astype("f4"))
        done = ltbench_here(
            "evaluate", "--logits", tmp_path / "z.npy", "--labels", tmp_path / "y.npy",
            "--counts", tmp_path / "n.csv", "--classes", tmp_path / "names.txt", "--name", name,
            "--strategies", "none", "--results", tmp_path / "r",
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    (decision,) = decided(ltbench_here, tmp_path / "r", tmp_path / "clinic.csv")
    recalls = {row["row"]: (row["specificity"], row["sensitivity"]) for row in decision["rows"]}
    assert recalls["keen (imported)"] == pytest.approx((98.0, 90.0))
    assert recalls["idle (imported)"] == pytest.approx((100.0, 0.0))
    assert decision["notes"][0] == (
        "to answer negative whatever the image has 99.5 % here, no less than idle (imported), keen"
        " (imported); the accuracy hardly counts the other classes: see their recalls"
    )
    done = ltbench_here("decide", "--mix", tmp_path / "clinic.csv", "--results", tmp_path / "r")
    assert "Sensitivity: recall of positive; specificity: recall of negative." in " ".join(
        done.stdout.split()
    )


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        ("zeroo,1", "m.csv", r"mix m: no class is called 'zeroo'; did you mean 'zero'\?"),
        ("zero,1\nzero,1", "m.csv", r"class 'zero' is given twice"),
        ("zero,-1", "m.csv", r"m\.csv, line 1: class 'zero' has '-1'"),
        ("zero,1", "M x.csv", r"the file's name 'M x' is not usable"),
        ("zero,1", "a.b.csv", r"no '\.' may stand in the file's name"),
    ],
)
def test_wrong_mixes_get_one_line(
    text: str, name: str, expected: str, ltbench_here: CommandLine, results: Path, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(text)
    for words in (["decide"], ["evaluate", "--methods", "ce", "--protocol", "digits-lt"]):
        done = ltbench_here(*words, "--mix", tmp_path / name, "--results", results)
        assert done.returncode == 2
        (line,) = [x for x in done.stderr.splitlines() if x.strip()]
        if words == ["decide"] or "zeroo" not in text:
            assert re.search(expected, line), line


def test_results_that_cannot_be_ranked_get_one_line(
    ltbench_here: CommandLine, results: Path, mixes: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    mix = ["--mix", mixes / "clinic.csv"]
    for words, expected in (
        (["--results", tmp_path / "none"], r"results folder .*none does not exist"),
        (["--results", tmp_path / "empty"], r"no readable evaluation under"),
        (["--results", results, "--protocol", "digit-lt"], r"no evaluation of protocol 'digit-lt'"),
        (["--results", results, *mix], r"clinic.* is given twice"),
    ):
        done = ltbench_here("decide", *mix, *words)
        assert done.returncode == 2
        assert re.search(expected, done.stderr), done.stderr
