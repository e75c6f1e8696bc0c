"""``ltbench tune``, and rows that need a hold-out or the network, on the command line."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from ltbench import load_results
from ltbench.data.sources import open_data
from ltbench.protocol.file import load_protocol_config
from ltbench.task import build_task

CommandLine = Callable[..., CompletedProcess[str]]


def only(folder: Path, pattern: str) -> Any:
    (path,) = folder.glob(pattern)
    return json.loads(path.read_text())


@pytest.mark.usefixtures("trials_here")
def test_tune_chooses_on_the_holdout_and_scores_no_test_image(
    ltbench_here: CommandLine, tmp_path: Path, quick: list[str]
) -> None:
    results = tmp_path / "results"
    asked = ["tune", "logit-adjustment", *quick, "--grid", "tau=0,1,2", "--results", results]
    done = ltbench_here(*asked)
    assert done.returncode == 0, done.stderr
    folders = list(results.glob("digits-lt/*/0-*"))
    assert [f.parent.name for f in folders] == ["ce"]  # tau is read by the prediction alone
    assert not (folders[0] / "evaluations").exists()
    record = only(results, "tuning/digits-lt/logit-adjustment-*.json")
    assert record["cost"]["trials"] == 1
    assert record["cost"]["seconds"] > 0
    assert record["holdout"]["fraction"] == 0.1
    assert "train.holdout=0.1" in record["protocol"]["variant"]

    # The same scores from the stored logits, by a loop.
    protocol = load_protocol_config(
        "digits-lt", ["train.holdout=0.1", "test.ratios=2,5", "recipe.epochs=2"]
    )
    task = build_task(protocol, open_data(protocol.data))
    labels = task.splits.train.labels[task.train.holdout]
    assert np.bincount(labels).tolist() == record["holdout"]["counts"]
    logits = load_file(folders[0] / "logits.safetensors")["holdout"][:, 0].double().numpy()
    log_pi = np.log(task.train.counts / task.train.counts.sum())
    means = {}
    for candidate in record["candidates"]:
        hits = (logits - candidate["hyper"]["tau"] * log_pi).argmax(1) == labels
        recalls = np.array([hits[labels == c].mean() for c in range(10)])
        slow = {
            s.name: 100 * (s.counts @ recalls) / s.counts.sum()
            for s in task.test_sets
            if s.kind != "partial"
        }
        assert list(slow) == ["forward5", "forward2", "uniform", "backward2", "backward5"]
        assert candidate["distributions"] == pytest.approx(slow)
        assert candidate["score"] == pytest.approx(np.mean(list(slow.values())))
        assert candidate["trials"] == [folders[0].name.split("-")[1]]
        means[candidate["row"]] = candidate["score"]
    best = max(means, key=lambda label: means[label])
    assert record["chosen"] == best
    assert f"chosen: {best};" in done.stdout
    assert "use: ltbench run --methods" in done.stdout
    use = next(line for line in done.stdout.splitlines() if line.startswith("use: "))
    words = shlex.split(use.removeprefix("use: "))
    assert words[:4] == ["ltbench", "run", "--methods", best]
    for word in (*quick, "--results", str(results)):  # in whatever order
        assert word in words
    # What was asked for, not the hold-out that choosing needed.
    assert not any("holdout" in word for word in words)
    assert ltbench_here(*words[1:], "--dry-run").returncode == 0

    before = (folders[0] / "trial.json").stat().st_mtime_ns
    again = ltbench_here(*asked)  # nothing is trained again, the choice is the same
    assert again.returncode == 0
    assert (folders[0] / "trial.json").stat().st_mtime_ns == before
    assert only(results, "tuning/digits-lt/*.json")["chosen"] == best
    # A folder of choices is in nobody's way.
    assert "1 finished" in ltbench_here("status", "--results", results).stdout
    assert load_results(results).empty


@pytest.mark.usefixtures("trials_here")
def test_tune_trains_a_trial_for_each_point_that_training_reads(
    ltbench_here: CommandLine, tmp_path: Path, quick: list[str]
) -> None:
    results = tmp_path / "results"
    asked = ["tune", "sade", *quick, "--grid", "tau=1,2", "--results", results, "--dry-run"]
    done = ltbench_here(*asked)
    assert done.returncode == 0
    assert "2 trials" in done.stdout
    assert "sade[tau=1]" in done.stdout
    assert not results.exists()
    own = ltbench_here(*asked, "--set", "train.holdout=0.2")
    assert "train.holdout=0.2" in own.stdout


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--grid", "tua=1"], "has no 'tua'.*did you mean 'tau'"),
        (["--grid", "tau=x"], "tau = 'x' must be a number"),
        (["--grid", "tau=1,1.0"], "names 2 points, of which only 1 differ"),
        (["--grid", "tau=1", "--set", "train.holdout=0.9"], "holdout = 0.9 must be at most 0.5"),
        ([], "Missing option '--grid'"),
    ],
)
def test_wrong_input_of_tune_is_one_line(
    extra: list[str], message: str, ltbench_here: CommandLine, tmp_path: Path, quick: list[str]
) -> None:
    done = ltbench_here("tune", "sade", *quick, *extra, "--results", tmp_path / "results")
    assert done.returncode == 2
    assert re.search(message, done.stderr)
    assert not list((tmp_path / "results").glob("*/*/*"))


def test_ride_gets_an_oracle_with_a_holdout_and_tent_draw_0(
    ltbench_here: CommandLine, tmp_path: Path, quick: list[str]
) -> None:
    results = tmp_path / "results"
    held = ["--set", "train.holdout=0.1"]
    done = ltbench_here("run", "--methods", "ride,ride+tent", *quick, *held, "--results", results)
    assert done.returncode == 0, done.stdout + done.stderr
    oracle = only(results, "*/ride/*/evaluations/ride+oracle-*.json")
    assert oracle["bias"]["kind"] == "fitted"
    assert torch.tensor(oracle["bias"]["value"]).shape == (3, 10)
    assert oracle["uses_true_prior"] is True
    tent = only(results, "*/ride/*/evaluations/ride+tent-*.json")
    assert tent["first_draw_only"] is True
    assert tent["bias"] is None
    frame = load_results(results, draws=0)
    assert set(frame.label) == {"ride", "ride+tent", "ride+oracle"}
    assert frame.groupby("label").size().nunique() == 1  # the same test sets for all
    assert set(frame[frame.label == "ride+oracle"].bias_kind) == {"fitted"}
    shown = ltbench_here("show", "ride", *quick[:2], *held, "--set", "recipe.epochs=2",
                         "--results", results)  # fmt: skip
    assert "ride+oracle in " in shown.stdout
    assert "standard error of b" in shown.stdout
    report = ltbench_here("report", "--results", results, "--no-figures")
    assert "‡ ride+oracle: prior in the logits fitted" in " ".join(report.stdout.split())
    assert "§ ride+tent: draw 0 only" in " ".join(report.stdout.split())
    again = ltbench_here("run", "--methods", "ride,ride+tent", *quick, *held, "--results", results)
    assert "uniform" not in again.stdout  # all rows are complete


@pytest.mark.usefixtures("trials_here")
def test_without_a_holdout_ride_has_no_oracle_of_its_own_accord(
    ltbench_here: CommandLine, tmp_path: Path, quick: list[str]
) -> None:
    dry = ["--results", tmp_path / "results", "--dry-run"]
    plain = ltbench_here("run", "--methods", "ride", *quick, *dry)
    assert "oracle" not in plain.stdout
    asked = ltbench_here("run", "--methods", "ride+oracle", *quick, *dry)
    assert asked.returncode == 0
    assert "ride+oracle stands on an unreliable guess" in asked.stdout


def test_a_strategy_that_lacks_something_is_refused_before_any_work(
    ltbench_here: CommandLine, tmp_path: Path, quick: list[str]
) -> None:
    plugin = tmp_path / "greedy.py"
    plugin.write_text(
        "from ltbench.strategy import Adapted, Strategy\n"
        "class Greedy(Strategy):\n"
        "    name, title, needs = 'greedy', 'greedy', frozenset({'holdout'})\n"
        "    def adapt(self, test, source, rng):\n"
        "        return Adapted(source.method.predict(test.logits))\n"
    )
    run = ["run", *quick, "--results", tmp_path / "results"]
    held = ltbench_here(*run, "--methods", "ce+greedy", "--plugin", plugin)
    assert held.returncode == 2
    assert "`--set train.holdout=0.1` trains with a tenth of them held out" in held.stderr
    mode = ltbench_here(*run, "--methods", "ce+tent", "--mode", "augmented")
    assert mode.returncode == 2
    assert "needs the trained network and clean test images" in mode.stderr
    assert not list((tmp_path / "results").glob("*"))


@pytest.mark.usefixtures("trials_here")
def test_tune_searches_the_recipe_on_the_holdout(ltbench_here: CommandLine, tmp_path: Path) -> None:
    results = tmp_path / "results"
    base = ["--protocol", "digits-lt", "--set", "test.draws=2", "--set", "test.ratios=2,5"]
    asked = ["tune", "logit-adjustment", *base, "--results", results]
    asked += ["--grid", "tau=0,1", "--grid", "recipe.lr=0.02,0.1", "--grid", "recipe.epochs=1,2"]
    done = ltbench_here(*asked)
    assert done.returncode == 0, done.stderr
    record = only(results, "tuning/digits-lt/*.json")
    assert len(record["candidates"]) == 8
    assert record["cost"]["trials"] == 4  # tau is read by the prediction alone
    told = [(c["recipe"]["recipe.lr"], c["recipe"]["recipe.epochs"]) for c in record["candidates"]]
    assert set(told) == {(lr, n) for lr in ("0.02", "0.1") for n in ("1", "2")}
    for candidate in record["candidates"]:
        for trial in candidate["trials"]:
            recipe = only(results, f"digits-lt/ce/0-{trial}/trial.json")["recipe"]
            assert recipe["lr"] == float(candidate["recipe"]["recipe.lr"])
            assert recipe["epochs"] == int(candidate["recipe"]["recipe.epochs"])
    best = max(record["candidates"], key=lambda candidate: candidate["score"])
    assert record["chosen"] == best["row"]
    assert not list(results.glob("digits-lt/*/*/evaluations"))
    use = next(line for line in done.stdout.splitlines() if line.startswith("use: "))
    words = shlex.split(use.removeprefix("use: "))
    for key, value in best["recipe"].items():
        assert f"{key}={value}" in words
    assert not any("holdout" in word for word in words)
    assert ltbench_here(*words[1:], "--dry-run").returncode == 0


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--grid", "recipe.lrr=1"], "a recipe has no 'lrr'.*did you mean 'lr'"),
        (["--grid", "recipe.milestones=0.5"], "is a list of numbers"),
        (["--grid", "recipe.lr=0.1,0.10"], "are the same training"),
        (["--grid", "recipe.lr=0.1", "--set", "recipe.lr=0.2"], "given twice, by --grid and as"),
        (["--grid", "recipe.lr=0.1", "--grid", "recipe.lr=0.2"], "'recipe.lr' is given twice"),
        (["--grid", "recipe.lr=x"], "lr = 'x' must be a number"),
        (["--grid", "lr=1"], "fields of the recipe are recipe.lr"),
    ],
)
def test_wrong_recipe_grids_are_one_line(
    extra: list[str], message: str, ltbench_here: CommandLine, tmp_path: Path, quick: list[str]
) -> None:
    done = ltbench_here("tune", "ce", *quick, *extra, "--results", tmp_path / "results")
    assert done.returncode == 2
    assert re.search(message, done.stderr)
    assert not list((tmp_path / "results").glob("*/*/*"))
