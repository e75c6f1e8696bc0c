"""Ensembles from the command line to the report: records, members that change, plain NumPy."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file

from ltbench import evaluate_trials, load_logits, load_model, load_results, plan_trials, run
from ltbench.data.sources import open_data
from ltbench.protocol.file import load_protocol_config
from ltbench.task import build_task
from ltbench.trial.checked import read_checked
from tests.in_process import without_workers

CommandLine = Callable[..., CompletedProcess[str]]
Array = NDArray[np.float64]

_NAMES = {"evaluation", "trial", "method", "label", "title", "seconds", "created"}


def read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = read_checked(path)
    return found


def record(results: Path, folder: str, row: str, kind: str = "evaluations") -> dict[str, Any]:
    (path,) = results.glob(f"digits-lt/{folder}/0-*/{kind}/{row}-*.json")
    return read(path)


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ce of the seeds 0 and 1, balanced-softmax of seed 0; see ``quick``."""
    results = tmp_path_factory.mktemp("ensembles") / "results"
    settings: dict[str, Any] = {
        "recipe.epochs": 2,
        "test.draws": 2,
        "test.ratios": (2.0, 5.0),
    }
    with pytest.MonkeyPatch.context() as patch:
        without_workers(patch)
        for methods, seeds in (("ce", 2), ("balanced-softmax", 1)):
            outcome = run(methods, "digits-lt", seeds=seeds, results=results, **settings)
            assert not outcome.failures
    return results


@pytest.fixture
def trained(once: Path, tmp_path: Path) -> Path:
    """A copy of it for one test."""
    return Path(shutil.copytree(once, tmp_path / "results"))


def test_an_ensemble_of_one_is_that_network_in_every_field_but_its_name(
    ltbench_here: CommandLine, quick: list[str], trained: Path
) -> None:
    strategies = ["none", "oracle", "em", "tilt", "bn-adapt"]
    rows = [f"{name}+{strategy}" for name in ("ce", "1*ce") for strategy in strategies]
    options = [*quick, "--results", trained, "--seeds", "1", "--arrival", "batch:200"]
    done = ltbench_here("evaluate", "--methods", ",".join(rows), *options)
    assert done.returncode == 0, done.stderr + done.stdout
    for strategy in strategies:
        for kind in ("evaluations", "streams"):
            alone = record(trained, "ce", f"ce+{strategy}", kind)
            joint = record(trained, "ensemble-1xce", f"1xce+{strategy}", kind)
            assert set(alone) == set(joint)
            assert {key for key in alone if alone[key] != joint[key]} <= _NAMES | {"stream"}
    (own,) = trained.glob("digits-lt/ce/0-*/trial.json")
    (joint_path,) = trained.glob("digits-lt/ensemble-1xce/0-*/trial.json")
    alone, joint = read(own), read(joint_path)
    for key in ("cost", "model", "recipe", "data", "precision", "environment", "seed"):
        assert alone[key] == joint[key]


def test_numbers_of_a_mixture_are_those_of_plain_numpy(
    ltbench_here: CommandLine, quick: list[str], trained: Path
) -> None:
    mixture = ["--ensemble", "plain=ce,balanced-softmax,ce", "--seeds", "1"]
    done = ltbench_here(
        "evaluate", "--methods", "plain,plain+em", *mixture, *quick, "--results", trained
    )
    assert done.returncode == 0, done.stderr + done.stdout
    (folder,) = trained.glob("digits-lt/ensemble-plain/0-*")
    assert not list(folder.glob("*.safetensors"))
    members = read(folder / "trial.json")["ensemble"]["members"]
    named = [(member["training"], member["seed"]) for member in members]
    assert named == [("balanced-softmax", 0), ("ce", 0), ("ce", 1)]
    places = [
        trained / "digits-lt" / member["training"] / f"{member['seed']}-{member['trial']}"
        for member in members
    ]
    z = np.concatenate([load_file(p / "logits.safetensors")["logits"] for p in places], axis=1)
    counts = np.array(record(trained, "ensemble-plain", "plain+none")["train_counts"], float)
    log_pi = np.log(counts / counts.sum())
    bias = np.stack([log_pi, 0 * log_pi, 0 * log_pi])
    protocol = load_protocol_config("digits-lt", {"test.draws": 2, "test.ratios": (2.0, 5.0)})
    task = build_task(protocol, open_data(protocol.data, None))
    labels = np.array(task.splits.test.labels)

    def check(row: str, scores: Callable[[Array], Array], *, exact: bool) -> dict[str, float]:
        found = record(trained, "ensemble-plain", f"plain+{row}")["distributions"]
        top1 = {}
        for test_set in task.test_sets:
            for draw in range(test_set.draws):
                chosen = test_set.indices(labels, draw)
                prior = np.bincount(labels[chosen], minlength=len(counts)) / len(chosen)
                stored = found[test_set.name]["draws"][str(draw)]
                hits = scores(prior).argmax(1) == labels
                assert abs(stored["top1"] - 100 * hits[chosen].mean()) < 1e-6
                alone = [100 * (z[chosen, e].argmax(1) == labels[chosen]).mean() for e in range(3)]
                np.testing.assert_allclose(stored["expert_top1"], alone)
                if exact:
                    recall = np.array([hits[labels == c].mean() for c in range(len(counts))])
                    assert abs(stored["exact"]["top1"] - 100 * (prior * recall).sum()) < 1e-6
            top1[test_set.name] = np.mean(
                [draw["top1"] for draw in found[test_set.name]["draws"].values()]
            )
        return top1

    def own(prior: Array) -> Array:
        mean: Array = z.mean(axis=1)
        return mean

    def oracle(prior: Array) -> Array:
        with np.errstate(divide="ignore"):
            best: Array = (z + bias).mean(axis=1) - log_pi + np.log(prior)
        return best

    none = check("none", own, exact=True)
    best = check("oracle", oracle, exact=True)
    assert any(best[name] != none[name] for name in none)
    frame = load_results(trained)
    shown = frame[(frame["label"] == "plain") & (frame["distribution"] == "backward5")]
    assert shown["top1"].mean() == pytest.approx(none["backward5"])
    block = record(trained, "ensemble-plain", "plain+oracle")["bias"]
    assert block == {"kind": "closed-form"}


def test_what_an_ensemble_costs_is_the_sum_over_its_members(
    ltbench_here: CommandLine, quick: list[str], trained: Path
) -> None:
    options = [*quick, "--results", trained, "--seeds", "1"]
    assert ltbench_here("evaluate", "--methods", "2*ce", *options).returncode == 0
    (path,) = trained.glob("digits-lt/ensemble-2xce/0-*/trial.json")
    joint = read(path)
    parts = [read(p) for p in sorted(trained.glob("digits-lt/ce/*/trial.json"))]
    for key in ("training", "inference"):
        total = sum(part["cost"]["seconds"][key] for part in parts)
        assert joint["cost"]["seconds"][key] == pytest.approx(total, abs=2e-3)
    for key in ("parameters", "macs", "experts"):
        assert joint["model"][key] == sum(part["model"][key] for part in parts)
    assert ltbench_here("report", "--results", trained, "--no-figures").returncode == 0
    (table,) = (trained / "report").glob("digits-lt*/tables/cost.csv")
    assert any(line.startswith("2*ce,") for line in table.read_text().splitlines())


def test_a_member_that_is_missing_or_another_one_makes_the_row_stale(
    ltbench_here: CommandLine, quick: list[str], trained: Path
) -> None:
    evaluate = ["evaluate", "--methods", "2*ce", *quick, "--results", trained, "--seeds", "1"]
    assert ltbench_here(*evaluate).returncode == 0
    assert "2*ce" in set(load_results(trained)["label"])
    (path,) = trained.glob("digits-lt/ce/1-*/trial.json")
    (joint,) = trained.glob("digits-lt/ensemble-2xce/0-*")
    path.write_text(json.dumps(read_checked(path) | {"weights_sha256": "0" * 64}))
    told = ltbench_here("report", "--results", trained, "--no-figures")
    line = next(line for line in (told.stdout + told.stderr).splitlines() if "stale" in line)
    assert "ensemble 2*ce is stale: its member ce seed 1 was trained again" in line
    assert "not counted" in line
    assert "2*ce" not in set(load_results(trained)["label"])
    assert "stale" in ltbench_here("status", "--results", trained).stdout
    written = {p: p.stat().st_mtime_ns for p in joint.rglob("*.json")}
    done = ltbench_here(*evaluate)
    assert done.returncode == 0, done.stderr
    assert all(p.stat().st_mtime_ns != written[p] for p in joint.rglob("*.json"))
    assert "2*ce" in set(load_results(trained)["label"])
    written = {p: p.stat().st_mtime_ns for p in joint.rglob("*.json")}
    assert ltbench_here(*evaluate).returncode == 0
    assert {p: p.stat().st_mtime_ns for p in joint.rglob("*.json")} == written
    path.unlink()
    assert "2*ce" not in set(load_results(trained)["label"])
    told = ltbench_here("report", "--results", trained, "--no-figures")
    assert "its member ce seed 1 is not there, or not finished" in told.stdout + told.stderr
    refused = ltbench_here(*evaluate)
    assert refused.returncode != 0
    assert "2*ce has no replicate 0: ce seed 1 is not trained yet" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_an_ensemble_is_one_model_in_python(
    ltbench_here: CommandLine, quick: list[str], trained: Path
) -> None:
    mixture = ["--ensemble", "mix=2*ce,balanced-softmax", "--methods", "mix", "--seeds", "1"]
    done = ltbench_here("evaluate", *mixture, *quick, "--results", trained, "--quiet")
    assert done.returncode == 0, done.stderr
    (folder,) = trained.glob("digits-lt/ensemble-mix/0-*")
    model = load_model(folder)
    protocol = load_protocol_config("digits-lt")
    splits = build_task(protocol, open_data(protocol.data, None)).splits
    images = splits.test.read(np.arange(len(splits.test)))
    logits = model(images)
    assert logits.shape == (len(splits.test), 3, 10)
    stored = record(trained, "ensemble-mix", "mix+none")["distributions"]["uniform"]["draws"]["0"]
    right = np.asarray(model.predict(images)) == splits.test.labels
    assert 100 * right.mean() == pytest.approx(stored["top1"])
    pixels = torch.from_numpy(images[:8]).float() / 255
    mean, std = (torch.tensor(model.record["data"][key])[:, None, None] for key in ("mean", "std"))
    with torch.no_grad():
        torch.testing.assert_close(
            model.network((pixels - mean) / std), logits[:8], atol=1e-4, rtol=1e-4
        )
    (path,) = trained.glob("digits-lt/ce/1-*/trial.json")
    path.unlink()
    with pytest.raises(
        ValueError, match="the ensemble is stale: its member ce seed 1 is not there"
    ):
        load_model(folder)


def test_show_says_what_an_ensemble_is(ltbench_here: CommandLine) -> None:
    told = ltbench_here("show", "2*ce").stdout
    assert "2*ce: an ensemble of 2 networks of ce, which differ in their seeds" in told
    assert "replicate r has the seeds 2 r to 2 r + 1" in " ".join(told.split())
    under = ["--protocol", "digits-lt", "--set", "ensembles.mix=2*ce,sade"]
    assert "ensemble mix: 2*ce, sade" in ltbench_here("show", "mix", *under).stdout
    assert "mix = [2*ce, sade]" in ltbench_here("show", "digits-lt", *under[2:]).stdout


def test_ensembles_by_name_from_python(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_workers(monkeypatch)
    settings: dict[str, Any] = {"recipe.epochs": 2, "test.draws": 2, "test.ratios": (2.0, 5.0)}
    other = settings | {"methods.balanced-softmax.recipe.epochs": 3}
    asked: dict[str, Any] = {"ensembles": {"mix": ["2*ce", "balanced-softmax"]}, "seeds": 1}
    done = evaluate_trials("mix", "digits-lt", results=trained, **asked, **settings)
    assert not done.failures
    plan = plan_trials(["mix"], "digits-lt", results=trained, **asked, **settings)
    assert list(plan[plan["training"] == "mix"]["complete"]) == [True]
    plan = plan_trials(["mix"], "digits-lt", results=trained, mixed_recipe=True, **asked, **other)
    assert list(plan[plan["training"] == "mix"]["complete"]) == [False]
    (folder,) = trained.glob("digits-lt/ensemble-mix/0-*")
    joint = load_logits(folder)
    assert joint.logits.shape[1:] == (3, 10)
    places = [*trained.glob("digits-lt/balanced-softmax/0-*"), *trained.glob("digits-lt/ce/0-*")]
    places += trained.glob("digits-lt/ce/1-*")
    for e, place in enumerate(places):
        alone = load_logits(place)
        assert torch.equal(joint.logits[:, e : e + 1], alone.logits)
        assert torch.equal(joint.labels, alone.labels)
    assert joint.holdout is None
    assert joint.bias is None
    (places[2] / "trial.json").unlink()
    with pytest.raises(ValueError, match="is stale: its member ce seed 1 is not there"):
        load_logits(folder)


def test_run_trains_the_members_that_are_missing_before_the_ensemble(
    ltbench_here: CommandLine, quick: list[str], trained: Path
) -> None:
    options = [*quick, "--results", trained, "--seeds", "2", "--jobs", "2"]
    done = ltbench_here("run", "--methods", "2*ce+oracle", *options)
    assert done.returncode == 0, done.stdout + done.stderr
    seeds = sorted(p.name.partition("-")[0] for p in trained.glob("digits-lt/ce/*"))
    assert seeds == ["0", "1", "2", "3"]
    frame = load_results(trained)
    assert set(frame[frame["label"] == "2*ce+oracle"]["seed"]) == {0, 1}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--ensemble", "plain"], "--ensemble 'plain' must look like NAME=ce,ce"),
        (["--ensemble", "a.b=ce"], "no '.' may stand in the name"),
        (["--ensemble", "x=ce", "--ensemble", "x=sade"], "--ensemble x is given twice"),
        (["--ensemble", "x=ce+em"], "methods only, without a strategy"),
        (["--ensemble", "x=cee"], "ensemble 'x': member 'cee': unknown method 'cee'"),
    ],
)
def test_a_wrong_ensemble_is_one_line(
    ltbench_here: CommandLine, options: list[str], message: str, tmp_path: Path
) -> None:
    told = ltbench_here(
        *("run", "--dry-run", "--methods", "x", "--protocol", "digits-lt", *options),
        *("--results", tmp_path / "none"),
    )
    assert told.returncode != 0
    assert message in told.stderr
    assert "Traceback" not in told.stderr
