"""``ltbench evaluate --logits``: a user's own model, and a published one brought in by this door."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import numpy as np
import pytest

import ltbench as package
from ltbench import load_model, load_results
from ltbench.data.sources import open_data
from ltbench.evaluate.metrics import unpack_bits

CommandLine = Callable[..., CompletedProcess[str]]
PUBLISHED = Path(__file__).resolve().parents[2] / "results/published/digits-lt"
COUNTS = [100, 64, 41, 27, 17, 11, 7, 4, 3, 2]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Logits of the published cross-entropy network, with what else the command reads."""
    folder = tmp_path_factory.mktemp("files")
    test = open_data(package.load_protocol("digits-lt").data).test
    (trial,) = PUBLISHED.glob("ce/0-*")
    np.save(folder / "z.npy", load_model(trial)(test.read(np.arange(len(test)))).numpy())
    np.save(folder / "y.npy", test.labels)
    np.savetxt(folder / "n.csv", COUNTS, fmt="%d")
    np.save(folder / "b.npy", np.zeros(10, dtype=np.float32))
    return folder


def arguments(files: Path, results: Path, *more: str | Path) -> list[str | Path]:
    """``more`` may give an option anew: the command line itself takes each once."""
    given = {"--logits": files / "z.npy", "--labels": files / "y.npy", "--name": "mine"}
    kept = {option: value for option, value in given.items() if option not in more}
    words = [word for pair in kept.items() for word in pair]
    return ["evaluate", *words, "--results", results, *more]


def record(results: Path, pattern: str) -> dict[str, Any]:
    (path,) = results.glob(pattern)
    loaded: dict[str, Any] = json.loads(path.read_text())
    return loaded


def test_a_published_network_gets_its_own_numbers_by_this_door(
    ltbench_here: CommandLine, files: Path, tmp_path: Path
) -> None:
    """The same logits as a trial of ltbench: every test set, draw and score is that of its record."""
    results = tmp_path / "results"
    done = ltbench_here(
        *arguments(files, results, "--protocol", "digits-lt", "--bias", files / "b.npy"),
        *("--strategies", "none,oracle"),
    )
    assert done.returncode == 0, done.stderr
    assert "marked as imported" in done.stdout
    for strategy in ("none", "oracle"):
        mine = record(results, f"digits-lt/mine/0-*/evaluations/mine+{strategy}-*.json")
        theirs = record(PUBLISHED, f"ce/0-*/evaluations/ce+{strategy}-*.json")
        assert mine["label"].endswith(" (imported)")
        assert set(mine["distributions"]) == set(theirs["distributions"])
        for name, expected in theirs["distributions"].items():
            got = mine["distributions"][name]
            assert got["definition"] == expected["definition"]
            n = expected["draws"]["0"]["n"]
            same = unpack_bits(got["correct"], n) == unpack_bits(expected["correct"], n)
            # Logits are computed anew here: another machine may turn one tie in their last bits.
            assert (~same).sum() <= 1
            for draw, scores in expected["draws"].items():
                slack = 100.1 / n
                assert got["draws"][draw]["top1"] == pytest.approx(scores["top1"], abs=slack)


def test_the_row_joins_the_table_and_is_marked_everywhere(
    ltbench_here: CommandLine, files: Path, tmp_path: Path
) -> None:
    results = tmp_path / "results"
    shutil.copytree(PUBLISHED / "ce", results / "digits-lt/ce")
    done = ltbench_here(
        *arguments(files, results, "--protocol", "digits-lt", "--strategies", "none")
    )
    assert done.returncode == 0, done.stderr
    frame = load_results(results)
    assert set(frame["protocol"]) == {"digits-lt"}
    assert set(frame.loc[frame["method"] == "mine", "label"]) == {"mine (imported)"}
    assert frame.loc[frame["method"] == "mine", "parameters"].isna().all()
    assert frame["train_fingerprint"].nunique() == frame["test_fingerprint"].nunique() == 1
    status = ltbench_here("status", "--results", results)
    assert [line.split()[-1] for line in status.stdout.splitlines() if " mine " in line] == [
        "imported"
    ]
    report = ltbench_here("report", "--results", results, "--no-figures")
    assert report.returncode == 0, report.stderr
    assert "mine (imported)" in report.stdout
    assert "trained elsewhere" in report.stdout
    assert (results / "report/digits-lt/report.md").read_text().count("mine (imported)") >= 2
    trial = record(results, "digits-lt/mine/*/trial.json")
    assert trial["training"]["origin"] == "imported"
    assert trial["recipe"] == {}  # what is not known is not told


def test_without_a_protocol_sets_are_as_large_as_the_classes_allow(
    ltbench_here: CommandLine, files: Path, tmp_path: Path
) -> None:
    results = tmp_path / "results"
    few = tmp_path / "few"
    few.mkdir()
    # Class 9 keeps 12 of its 60 images: backward 25 and 50, which it leads, would leave class 0 none.
    labels = np.load(files / "y.npy")
    kept = np.sort(np.concatenate([np.flatnonzero(labels != 9), np.flatnonzero(labels == 9)[:12]]))
    np.save(few / "y.npy", labels[kept])
    np.save(few / "z.npy", np.load(files / "z.npy")[kept])
    done = ltbench_here(*arguments(few, results, "--counts", files / "n.csv"))
    assert done.returncode == 0, done.stderr
    saved = record(results, "imported/mine/0-*/evaluations/mine+none-*.json")
    shifts = {name for name in saved["distributions"] if name.startswith(("forward", "backward"))}
    forward, backward = (2, 5, 10, 25, 50), (2, 5, 10)
    assert shifts == {f"forward{r}" for r in forward} | {f"backward{r}" for r in backward}
    assert set(saved["left_out"]) == {"backward25", "backward50"}
    assert "note: no test set backward25: class 9 has 12 test images" in done.stderr
    counts = saved["distributions"]["forward50"]["definition"]["counts"]
    assert counts == [60, 38, 25, 16, 10, 6, 4, 2, 1, 1]  # class 0 is the head and has 60
    assert len(saved["distributions"]["forward2"]["draws"]) == 10
    assert saved["groups"] == {"many": [], "medium": [0, 1, 2, 3], "few": [4, 5, 6, 7, 8, 9]}
    assert not saved["protocol"]["variant"]
    again = ltbench_here(
        *arguments(few, results, "--counts", files / "n.csv", "--set", "groups.many_above=40"),
        *("--test-ratios", "3", "--set", "test.draws=2"),
    )
    assert again.returncode == 0, again.stderr
    variants = {
        json.loads(path.read_text())["protocol"]["variant"]
        for path in results.glob("imported/mine/0-*/evaluations/*.json")
    }
    assert variants == {"", "groups.many_above=40"}


def test_again_computes_nothing_and_more_strategies_are_added(
    ltbench_here: CommandLine, files: Path, tmp_path: Path
) -> None:
    results = tmp_path / "results"
    given = arguments(files, results, "--counts", files / "n.csv", "--bias", files / "b.npy")
    given += ["--set", "test.draws=2"]
    assert ltbench_here(*given, "--strategies", "none").returncode == 0
    (folder,) = results.glob("imported/mine/0-*")
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.json")}
    assert ltbench_here(*given, "--strategies", "none,oracle").returncode == 0
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert len(list(folder.glob("evaluations/*.json"))) == 2
    other = tmp_path / "other.npy"
    np.save(other, np.load(files / "z.npy")[..., ::-1].copy())
    given[given.index("--logits") + 1] = other
    assert ltbench_here(*given, "--strategies", "none", "--seed", "1").returncode == 0
    assert len(list(results.glob("imported/mine/*"))) == 2


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--counts", "n.csv", "--strategies", "oracle"], "'oracle' needs the training prior"),
        (["--counts", "n.csv", "--strategies", "stability"], "'stability' needs augmented views"),
        (["--counts", "n.csv", "--strategies", "orakel"], "did you mean 'oracle'"),
        (["--counts", "n.csv", "--strategies", "none,none"], "named twice"),
        ([], "--counts FILE is missing"),
        (["--counts", "n.csv", "--name", "ce"], "is that of a method"),
        (["--counts", "n.csv", "--name", "../x"], "is not usable"),
        (["--counts", "n.csv", "--methods", "ce"], "--methods is for trials"),
        (["--counts", "n.csv", "--mode", "augmented"], "--mode and --precision"),
        (["--counts", "n.csv", "--set", "recipe.epochs=3"], "means nothing for imported"),
        (["--counts", "n.csv", "--set", "groups.many_abov=3"], "did you mean"),
        (
            ["--counts", "n.csv", "--test-ratios", "61", "--set", "test.size=smallest-class"],
            "smallest class would have no image: class 0 has 60 test images",
        ),
        (["--counts", "n.csv", "--seed", "-1"], "must be at least 0"),
        (["--counts", "n.csv", "--seed", "9999999999999999999"], "must be at least 0 and below"),
        (["--counts", "n.csv", "--seeds", "9999999999999999999"], "--seeds is for trials"),
        (["--counts", "n.csv", "--set", "test.max_count=1e2"], "'1e2' must be a whole number"),
        (["--counts", "n.csv", "--set", "test.max_count=abc"], "'abc' must be a whole number"),
        (["--counts", "n.csv", "--set", "test.max_count=0"], "must be at least 1"),
        (["--counts", "n.csv", "--set", "test.max_count=1e400"], "must be a whole number"),
        (["--counts", "n.csv", "--set", "test.draws=x"], "'x' must be a whole number"),
        (["--counts", "n.csv", "--set", "groups.few_below=x"], "must be a"),
        (["--counts", "n.csv", "--test-ratios", "2,x"], "must be a number"),
        (["--counts", "n.csv", "--title", " "], "--title ' ' must be 1 to 64"),
        (["--protocol", "digits-lt", "--labels", "swapped.npy"], "image 0 has label 9, there it"),
        (["--protocol", "digits-lt", "--labels", "short.npy"], "599 labels, the logits have 600"),
        (["--protocol", "digits-lt", "--counts", "other.csv"], "class 0 has 90 training images"),
    ],
)
def test_wrong_input_is_one_line_and_writes_nothing(
    ltbench_here: CommandLine, files: Path, tmp_path: Path, more: list[str], message: str
) -> None:
    np.save(files / "swapped.npy", np.load(files / "y.npy")[::-1])
    np.save(files / "short.npy", np.load(files / "y.npy")[:599])
    np.savetxt(files / "other.csv", [90, *COUNTS[1:]], fmt="%d")
    places = [str(files / word) if (files / word).is_file() else word for word in more]
    done = ltbench_here(*arguments(files, tmp_path / "results", *places))
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()[-1]) > 20
    assert not list((tmp_path / "results").rglob("*.json"))


@pytest.mark.parametrize("missing", ["labels", "name"])
def test_what_belongs_to_logits_is_asked_for(
    ltbench_here: CommandLine, files: Path, missing: str
) -> None:
    words = {"logits": files / "z.npy", "labels": files / "y.npy", "name": "mine"}
    given = [w for k, v in words.items() if k != missing for w in (f"--{k}", v)]
    done = ltbench_here("evaluate", *given)
    assert done.returncode == 2
    assert f"--logits needs --{missing} too" in done.stderr
    alone = ltbench_here("evaluate", "--labels", files / "y.npy")
    assert alone.returncode == 2
    assert "belongs to --logits FILE" in alone.stderr
    neither = ltbench_here("evaluate", "--protocol", "digits-lt")
    assert neither.returncode == 2
    assert "Missing option '--methods'" in neither.stderr


def test_classes_without_test_images_are_told_and_named(
    ltbench_here: CommandLine, tmp_path: Path
) -> None:
    """Nothing that a table would have shown is left out without a word, here and in the report."""
    labels = np.repeat([0, 1], 20)
    np.save(tmp_path / "y.npy", labels)
    np.save(tmp_path / "z.npy", np.random.default_rng(0).normal(size=(40, 3)))
    np.savetxt(tmp_path / "n.csv", [200, 50, 5], fmt="%d")
    results = tmp_path / "results"
    done = ltbench_here(
        *arguments(tmp_path, results, "--counts", tmp_path / "n.csv", "--strategies", "none")
    )
    assert done.returncode == 0, done.stderr
    for text in (
        "no test images of 1 class (class 2): it is in no test set",
        "no test set few-only: its classes have no test images",
    ):
        assert text in done.stdout + done.stderr
    shown = ltbench_here("report", "--results", results).stdout
    assert "no test set few-only: its classes have no test images" in shown
