"""Ensembles with a hold-out and with networks, a member that fails, studies, and what differs."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from ltbench import compare_trials, load_logits, load_model, load_protocol, load_results, run
from ltbench.data.sources import open_data
from ltbench.models.adaptation import use_batch_statistics
from ltbench.report.records.read import read_records
from ltbench.report.rows.sections import build_sections
from ltbench.report.statistics.regret import oracles, regret
from ltbench.task import Task, build_task
from tests.in_process import without_workers

CommandLine = Callable[..., CompletedProcess[str]]

SETTINGS: dict[str, Any] = {
    "recipe.epochs": 1,
    "test.draws": 2,
    "test.ratios": (5.0,),
    "train.holdout": 0.1,
}
MIX = {"mix": ["ride", "ce"]}
ROWS = [
    *("ride+oracle", "mix+oracle", "mix+tilt", "mix+tilt[temperature=holdout]"),
    *("2*ce", "2*ce+oracle", "2*ce+em", "2*ce+tent[lr=1e-12,batch_size=2000]"),
]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ensembles") / "results"
    with pytest.MonkeyPatch.context() as patch:
        without_workers(patch)
        outcome = run(
            ROWS, "digits-lt", ensembles=MIX, seeds=1, results=folder, quiet=True, **SETTINGS
        )
    assert not outcome.failures
    return folder


@pytest.fixture(scope="module")
def task() -> Task:
    protocol = load_protocol("digits-lt", **SETTINGS)
    return build_task(protocol, open_data(protocol.data))


def folder_of(results: Path, name: str) -> Path:
    (folder,) = results.glob(f"digits-lt/{name}/0-*")
    return folder


def rows_of(results: Path, name: str, row: str) -> list[dict[str, Any]]:
    found = folder_of(results, name).glob(f"evaluations/{row}-*.json")
    return [json.loads(path.read_text()) for path in found]


def test_a_bias_fitted_on_the_hold_out_is_that_of_each_member(results: Path, task: Task) -> None:
    (joint,) = rows_of(results, "ensemble-mix", "mix+oracle")
    (alone,) = rows_of(results, "ride", "ride+oracle")
    assert joint["bias"]["kind"] == alone["bias"]["kind"] == "fitted"
    assert joint["model"]["experts"] == 4
    # ce stands first, with its closed form; then the three experts of ride, fitted as alone.
    bias = np.array(joint["bias"]["value"])
    np.testing.assert_array_equal(bias[0], np.zeros(10))
    np.testing.assert_array_equal(bias[1:], np.array(alone["bias"]["value"]))
    assert joint["bias"]["kappa"] == [1.0, *alone["bias"]["kappa"]]
    stored = load_logits(folder_of(results, "ensemble-mix"))
    assert stored.holdout is not None
    assert stored.holdout.shape == (len(task.train.holdout), 4, 10)
    z, labels = stored.logits.double().numpy(), stored.labels.numpy()
    log_pi = np.log(task.train.counts / task.train.counts.sum())
    for test_set in task.test_sets:
        chosen = test_set.indices(labels, 1) if test_set.draws > 1 else None
        if chosen is None:
            continue
        prior = np.bincount(labels[chosen], minlength=10) / len(chosen)
        with np.errstate(divide="ignore"):
            scores = (z[chosen] + bias).mean(axis=1) - log_pi + np.log(prior)
        top1 = joint["distributions"][test_set.name]["draws"]["1"]["top1"]
        assert top1 == pytest.approx(100 * (scores.argmax(1) == labels[chosen]).mean(), abs=1e-6)


def test_a_temperature_is_fitted_on_the_hold_out_of_all_members(
    ltbench_here: CommandLine, results: Path, tmp_path: Path
) -> None:
    plain, tempered = sorted(
        rows_of(results, "ensemble-mix", "mix+tilt"), key=lambda record: record["strategy_params"]
    )
    assert tempered["label"] == "mix+tilt[temperature=holdout]"
    assert tempered["distributions"] != plain["distributions"]
    # A copy whose member lost the logits of its hold-out says so, and which.
    copy = Path(shutil.copytree(results, tmp_path / "results"))
    member = folder_of(copy, "ce") / "logits.safetensors"
    kept = {key: z.clone() for key, z in load_file(member).items() if key != "holdout"}
    save_file(kept, member)
    shutil.rmtree(folder_of(copy, "ensemble-mix"))
    options = [
        word for key, value in SETTINGS.items() for word in ("--set", f"{key}={_text(value)}")
    ]
    done = ltbench_here(
        *("evaluate", "--methods", "mix+tilt[temperature=holdout],mix", "--seeds", "1", *options),
        *("--protocol", "digits-lt", "--ensemble", "mix=ride,ce", "--results", copy),
    )
    assert done.returncode == 1
    told = " ".join((done.stdout + done.stderr).split())
    assert "mix+tilt[temperature=holdout] needs the logits of the" in told
    assert "which " + str(member.parent) in told.replace("- ", "-")
    assert rows_of(copy, "ensemble-mix", "mix+none")
    assert not rows_of(copy, "ensemble-mix", "mix+tilt")


def _text(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def test_tent_adapts_the_networks_of_both_members(results: Path, task: Task) -> None:
    """With a learning rate of nothing: each network's mean logits under its own batch statistics."""
    (record,) = rows_of(results, "ensemble-2xce", "2xce+tent")
    assert record["first_draw_only"]
    labels = np.array(task.splits.test.labels)
    uniform = next(test_set for test_set in task.test_sets if test_set.name == "uniform")
    chosen = uniform.indices(labels, 0)
    pixels = torch.from_numpy(task.splits.test.read(chosen)).float() / 255
    logits = []
    for folder in sorted(results.glob("digits-lt/ce/*-*")):
        model = load_model(folder)
        mean, std = (torch.tensor(model.record["data"][k])[:, None, None] for k in ("mean", "std"))
        use_batch_statistics(model.network)
        with torch.no_grad():
            logits.append(model.network((pixels - mean) / std).mean(dim=1))
    assert len(logits) == 2
    right = sum(logits).argmax(dim=1).numpy() == labels[chosen]
    stored = record["distributions"]["uniform"]["draws"]["0"]
    assert stored["top1"] == pytest.approx(100 * right.mean(), abs=100.1 / len(chosen))
    assert not torch.equal(logits[0].argmax(dim=1), logits[1].argmax(dim=1))


def test_regret_is_that_of_plain_numpy_on_the_members_logits(results: Path, task: Task) -> None:
    sections, *_ = build_sections(read_records(results))
    rows = [row for section in sections for row in section.rows]
    found = oracles(rows)
    (row,) = (row for row in rows if row.label == "2*ce")
    places = sorted(results.glob("digits-lt/ce/*-*"))
    z = np.concatenate([load_file(p / "logits.safetensors")["logits"].numpy() for p in places], 1)
    labels = np.array(task.splits.test.labels)
    log_pi = np.log(task.train.counts / task.train.counts.sum())
    for test_set in task.test_sets:
        behind = []
        for draw in range(test_set.draws):
            chosen = test_set.indices(labels, draw)
            prior = np.bincount(labels[chosen], minlength=10) / len(chosen)
            own = z[chosen].mean(axis=1)
            with np.errstate(divide="ignore"):
                best = own - log_pi + np.log(prior)
            hits = [100 * (s.argmax(1) == labels[chosen]).mean() for s in (best, own)]
            behind.append(hits[0] - hits[1])
        assert regret(row, found, test_set.name) == {0: pytest.approx(np.mean(behind), abs=1e-6)}


def test_diff_tells_ensembles_apart(
    ltbench_here: CommandLine, results: Path, tmp_path: Path
) -> None:
    one, two = (folder_of(results, f"ensemble-{name}") for name in ("2xce", "mix"))
    copy = Path(shutil.copytree(results, tmp_path / "results"))
    same = ltbench_here("diff", one, folder_of(copy, "ensemble-2xce"))
    assert same.returncode == 0
    assert same.stdout.splitlines()[-1].startswith("identical in")
    found = compare_trials(one, two).set_index("key")
    assert list(found.loc["training.hyper.members", ["first", "second"]]) == ["ce, ce", "ce, ride"]
    assert "identity.members" in found.index
    assert found.loc["model.experts", "second"] == "4"
    told = ltbench_here("diff", one, two).stdout
    assert re.search(r"training\.name +2\*ce +mix", told)


FLAKY = '''
from torch.nn import functional as F
from ltbench import Method


class Flaky(Method):
    """Breaks on real batches alone, which no check before a run sees."""

    name = title = "flaky"

    def loss(self, logits, targets, *, progress, rng=None):
        if len(targets) > 15:
            raise ZeroDivisionError("no luck today")
        return F.cross_entropy(logits[:, 0], targets)
'''


def test_a_member_that_fails_costs_the_ensemble_alone(
    ltbench_here: CommandLine, results: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(results, tmp_path / "results"))
    plugin = tmp_path / "flaky.py"
    plugin.write_text(FLAKY)
    options = [
        word for key, value in SETTINGS.items() for word in ("--set", f"{key}={_text(value)}")
    ]
    done = ltbench_here(
        *("run", "--methods", "bad,ce+em,2*ce+tilt", "--ensemble", "bad=ce,flaky", "--seeds", "1"),
        *("--protocol", "digits-lt", "--plugin", plugin, "--results", copy, *options),
    )
    assert done.returncode == 1
    told = done.stdout + done.stderr
    assert "failed: flaky seed 0: " in told
    assert "no luck today" in told
    assert "failed: bad seed 0: its member flaky seed 0 is not trained" in told
    shown = set(load_results(copy)["label"])
    assert {"ce+em", "2*ce+tilt"} <= shown
    assert not {label for label in shown if label.startswith("bad")}
    status = ltbench_here("status", "--results", copy).stdout
    line = next(line for line in status.splitlines() if "ensemble-bad" in line)
    assert "failed" in line
    assert ltbench_here("report", "--results", copy, "--no-figures").returncode == 0


STUDY = """
extends = "digits-lt"
name = "tiny"
version = "1.0"
title = "Tiny"

[recipe]
epochs = 1

[test]
ratios = [2]
draws = 1

[ensembles]
plain = ["ce", "balanced-softmax"]

[[study]]
name = "only"
seeds = [0]
methods = ["2*ce+em", "plain+tilt"]
"""


def test_a_study_of_ensembles_is_reproduced_and_not_run_again(
    ltbench_here: CommandLine, tmp_path: Path
) -> None:
    protocol, results = tmp_path / "tiny.toml", tmp_path / "results"
    protocol.write_text(STUDY, encoding="utf-8")
    words = ["reproduce", protocol, "--results", results]
    planned = ltbench_here(*words, "--dry-run")
    assert planned.returncode == 0, planned.stderr
    assert "study: 5 trials to do" in planned.stdout
    done = ltbench_here(*words, "--no-report")
    assert done.returncode == 0, done.stdout + done.stderr
    shown = set(load_results(results)["label"])
    assert {"2*ce+em", "plain+tilt"} <= shown
    before = {path: path.stat().st_mtime_ns for path in results.rglob("*.json")}
    again = ltbench_here(*words, "--no-report")
    assert again.returncode == 0
    assert "nothing is left but the report" in again.stdout
    assert ltbench_here("report", "--results", results, "--no-figures").returncode == 0
    assert "plain+tilt" in next(results.glob("report/*/tables/main.csv")).read_text()
    assert {path: path.stat().st_mtime_ns for path in before} == before
