"""``ltbench evaluate --logits``: what is uniform, what is the same model, and what it is called."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import numpy as np
import pytest

from ltbench import load_results

CommandLine = Callable[..., CompletedProcess[str]]
SIZES = [40, 20, 8, 5]
COUNTS = [200, 60, 20, 5]


def save(folder: Path, seed: int = 0, name: str = "z.npy") -> None:
    """Logits of a model that favours the head, on a test set that does, too."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(4), SIZES)
    scores = rng.normal(size=(len(labels), 4)) + np.log(np.array(COUNTS) / 20)
    scores[np.arange(len(labels)), labels] += 1.5
    np.save(folder / name, scores.astype(np.float32))
    np.save(folder / "y.npy", labels)
    np.savetxt(folder / "n.csv", COUNTS, fmt="%d")
    np.save(folder / "b.npy", np.zeros(4))


@pytest.fixture
def command(ltbench_here: CommandLine, tmp_path: Path) -> Callable[..., CompletedProcess[str]]:
    save(tmp_path)

    def run(*more: str, logits: str = "z.npy", counts: str = "n.csv") -> CompletedProcess[str]:
        files = ["--logits", tmp_path / logits, "--labels", tmp_path / "y.npy"]
        given = [*files, "--counts", tmp_path / counts, "--name", "mine", "--set", "test.draws=3"]
        return ltbench_here("evaluate", *given, "--results", tmp_path / "r", *more)

    return run


def records(folder: Path, pattern: str = "*") -> list[dict[str, Any]]:
    found = sorted(folder.glob(f"r/imported/mine/*/evaluations/{pattern}.json"))
    return [json.loads(path.read_text()) for path in found]


def test_uniform_is_uniform_and_reports_say_how(
    command: Callable[..., CompletedProcess[str]], ltbench_here: CommandLine, tmp_path: Path
) -> None:
    done = command("--bias", str(tmp_path / "b.npy"), "--strategies", "none,oracle,em")
    assert done.returncode == 0, done.stderr
    hits = np.load(tmp_path / "z.npy").argmax(1) == np.load(tmp_path / "y.npy")
    recall = [100 * part.mean() for part in np.split(hits, np.cumsum(SIZES)[:-1])]
    (plain,) = records(tmp_path, "mine+none-*")
    uniform = plain["distributions"]["uniform"]
    assert [d["top1"] for d in uniform["draws"].values()] == pytest.approx([np.mean(recall)] * 3)
    assert f"mine (imported): uniform top-1 {np.mean(recall):.1f}" in done.stdout
    frame = load_results(tmp_path / "r")
    own = frame[frame["strategy"] == "none"].set_index("distribution")
    assert own.loc["uniform", "top1"] == pytest.approx(np.mean(recall))
    assert own.loc["uniform", ["many", "medium", "few"]].tolist() == pytest.approx(
        [recall[0], (recall[1] + recall[2]) / 2, recall[3]]
    )
    assert own.loc["natural", "top1"] == pytest.approx(100 * hits.mean())
    assert own.loc["natural", "kind"] == "natural"
    (oracle,) = records(tmp_path, "mine+oracle-*")
    assert oracle["distributions"]["uniform"]["draws"]["0"]["prior"] == pytest.approx([0.25] * 4)
    report = ltbench_here("report", "--results", tmp_path / "r", "--no-figures")
    assert report.returncode == 0, report.stderr
    page = (tmp_path / "r/report/imported/report.md").read_text()
    assert "classes of the test set have 5 to 40 images" in page
    assert "and the test set as found" in page
    assert f"{np.mean(recall):.1f}" in page


def test_the_same_logits_are_one_training(
    command: Callable[..., CompletedProcess[str]], tmp_path: Path
) -> None:
    assert command("--strategies", "none").returncode == 0
    before = sorted(tmp_path.glob("r/**/*.json"))
    logits = np.load(tmp_path / "z.npy").astype(np.float64)
    np.savetxt(tmp_path / "rounded.csv", logits, fmt="%.4f", delimiter=",")
    shifted = logits - logits.max(1, keepdims=True)
    np.save(tmp_path / "log.npy", shifted - np.log(np.exp(shifted).sum(1, keepdims=True)))
    save(tmp_path, 1, "other.npy")
    np.savetxt(tmp_path / "half.csv", [100, 60, 20, 5], fmt="%d")
    for given, more, message in (
        ("z.npy", ["--seed", "1"], "same logits are there as seed 0"),
        ("rounded.csv", ["--seed", "1"], "same logits are there as seed 0"),
        ("log.npy", ["--seed", "1"], "same logits are there as seed 0"),
        ("rounded.csv", [], "same logits but for rounding are there from another file"),
        ("log.npy", [], "same logits but for rounding are there from another file"),
        ("other.npy", [], "'mine' has other logits for seed 0"),
        ("z.npy", ["--bias", str(tmp_path / "b.npy")], "with no --bias"),
    ):
        done = command("--strategies", "none", *more, logits=given)
        assert done.returncode == 2, given
        assert message in done.stderr
        assert "remove its folder" in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1
    done = command("--strategies", "none", counts="half.csv")
    assert done.returncode == 2
    assert "as trained on another training set" in done.stderr
    labels = np.load(tmp_path / "y.npy")
    np.save(tmp_path / "y.npy", np.roll(labels, 1))
    done = command("--strategies", "none")
    assert done.returncode == 2
    assert "same logits are there with other labels" in done.stderr
    np.save(tmp_path / "y.npy", labels)
    assert sorted(tmp_path.glob("r/**/*.json")) == before
    assert command("--strategies", "none", "--seed", "1", logits="other.npy").returncode == 0
    assert len(records(tmp_path)) == 2


def test_one_model_under_two_imbalances_is_refused(
    ltbench_here: CommandLine, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    labels = _digits_labels()
    np.save(tmp_path / "y.npy", labels)
    np.save(tmp_path / "z.npy", rng.normal(size=(len(labels), 10)).astype(np.float32))
    given = ["--logits", tmp_path / "z.npy", "--labels", tmp_path / "y.npy", "--name", "mine"]
    given += ["--protocol", "digits-lt", "--strategies", "none", "--results", tmp_path / "r"]
    assert ltbench_here("evaluate", *given, "--set", "test.draws=1").returncode == 0
    done = ltbench_here("evaluate", *given, "--imbalance", "10", "--set", "test.draws=1")
    assert done.returncode == 2
    assert "as trained on another training set" in done.stderr
    # Another model of the same name and seed on that training set is none of a contradiction.
    np.save(tmp_path / "z.npy", rng.normal(size=(len(labels), 10)).astype(np.float32))
    done = ltbench_here("evaluate", *given, "--imbalance", "10", "--set", "test.draws=1")
    assert done.returncode == 0, done.stderr


def _digits_labels() -> Any:
    import ltbench
    from ltbench.data.sources import open_data

    return open_data(ltbench.load_protocol("digits-lt").data).test.labels


def test_a_title_is_what_tables_say_for_all_seeds(
    command: Callable[..., CompletedProcess[str]], ltbench_here: CommandLine, tmp_path: Path
) -> None:
    assert command("--strategies", "none").returncode == 0
    save(tmp_path, 1, "other.npy")
    done = command(
        "--strategies", "none", "--seed", "1", "--title", "Ours & Co_50%", logits="other.npy"
    )
    assert done.returncode == 0, done.stderr
    assert {r["label"] for r in records(tmp_path)} == {"Ours & Co_50% (imported)"}
    save(tmp_path, 2, "third.npy")
    assert command("--strategies", "none", "--seed", "2", logits="third.npy").returncode == 0
    assert {r["label"] for r in records(tmp_path)} == {"Ours & Co_50% (imported)"}
    report = ltbench_here("report", "--results", tmp_path / "r", "--no-figures")
    assert report.returncode == 0, report.stderr
    (line,) = [x for x in report.stdout.splitlines() if x.startswith("Ours & Co_50% (imported)")][
        :1
    ]
    assert " 3 " in line  # one row of three seeds
    assert (
        r"Ours \& Co\_50\%" in next(tmp_path.glob("r/report/imported/tables/main.tex")).read_text()
    )


def test_log_probabilities_with_zeros_and_a_bias_that_is_wrong(
    command: Callable[..., CompletedProcess[str]], tmp_path: Path
) -> None:
    logits = 4 * np.load(tmp_path / "z.npy").astype(np.float64)
    p = np.exp(logits - logits.max(1, keepdims=True))
    p = (p / p.sum(1, keepdims=True)).astype(np.float16)
    p[p < 1e-4] = 0
    with np.errstate(divide="ignore"):
        np.save(tmp_path / "log.npy", np.log(p.astype(np.float32)))
    done = command("--bias", str(tmp_path / "b.npy"), logits="log.npy")
    assert done.returncode == 0, done.stderr
    assert "a probability of 0; each is read as the log-probability -16.64" in done.stderr
    (trial,) = tmp_path.glob("r/imported/mine/*/trial.json")
    assert json.loads(trial.read_text())["imported"]["log_of_zero"] == pytest.approx(
        -16.64, abs=0.01
    )


def test_an_oracle_far_below_none_is_told(
    command: Callable[..., CompletedProcess[str]], ltbench_here: CommandLine, tmp_path: Path
) -> None:
    np.save(tmp_path / "b.npy", 4 * np.log(np.array(COUNTS[::-1]) / sum(COUNTS)))
    done = command("--bias", str(tmp_path / "b.npy"), "--strategies", "none,oracle")
    assert done.returncode == 0
    assert "with the true test prior accuracy is" in done.stderr
    report = ltbench_here("report", "--results", tmp_path / "r", "--no-figures")
    assert "mine+oracle (imported) is" in report.stdout.replace("\n", " ")


def test_a_right_bias_is_not_suspected(
    command: Callable[..., CompletedProcess[str]], tmp_path: Path
) -> None:
    done = command("--bias", str(tmp_path / "b.npy"), "--strategies", "none,oracle")
    assert done.returncode == 0
    assert "with the true test prior" not in done.stderr
    assert "no test set backward10: class 3 has 5 test images" in done.stderr
