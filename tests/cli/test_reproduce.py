"""``ltbench reproduce``: a study is data, its command trains, evaluates, reports and resumes."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from ltbench import list_protocols, load_protocol, load_results
from ltbench.errors import InputError, LtbenchError
from ltbench.execute.estimate import gpu_step
from ltbench.execute.request import Request
from ltbench.execute.study import plan_study, request_for
from ltbench.names import parse_rows
from ltbench.protocol.protocol import FEATURES, LISTS
from ltbench.registry import load_registries
from ltbench.report import build
from ltbench.resolve.rows import resolve_row

CommandLine = Callable[..., CompletedProcess[str]]

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

[views]
pairs = 1

[[study]]
name = "first"
seeds = [0, 1]
methods = ["ce", "ce+em"]

[[study]]
name = "second"
seeds = [0]
set = ["train.imbalance=10"]
methods = ["ce", "sade[tau=1]"]
"""


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text(STUDY, encoding="utf-8")
    return path


def stamps(folder: Path) -> dict[str, int]:
    records = [*folder.rglob("trial.json"), *folder.rglob("evaluations/*.json")]
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in sorted(records)}


def test_a_study_is_run_reported_and_not_run_again(
    tiny: Path, ltbench_here: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nobody looks at the figures.
    monkeypatch.setattr(build, "build_report", partial(build.build_report, figures=False))
    ltbench, results = ltbench_here, tmp_path / "results"
    words = ["reproduce", tiny, "--results", results]
    planned = ltbench(*words, "--dry-run")
    assert planned.returncode == 0, planned.stderr
    assert "first: tiny 1.0: 2 trials" in planned.stdout
    assert "second: tiny 1.0 (train.imbalance=10): 2 trials" in planned.stdout
    assert re.search(r"study: 4 trials to do; about .* on this machine \(cpu", planned.stdout)
    assert not results.exists()

    done = ltbench(*words)
    assert done.returncode == 0, done.stdout + done.stderr
    frame = load_results(results)
    found = frame[~frame["uses_true_prior"]].groupby("variant")["label"].agg(set).to_dict()
    assert found == {
        "": {"ce", "ce+em"},
        "train.imbalance=10": {"ce", "sade[tau=1]", "sade[tau=1]+none"},
    }
    assert set(frame[frame["variant"] == ""]["seed"]) == {0, 1}
    index = (results / "report" / "index.md").read_text()
    assert "variant train.imbalance=10" in index.replace("\\", "")

    before = stamps(results)
    again = ltbench(*words, "--no-report")
    assert again.returncode == 0
    assert "nothing is left but the report" in again.stdout
    assert stamps(results) == before

    (results / "report" / "index.md").unlink()
    more = ltbench(*words, "--seeds", "2", "--parts", "second", "--no-report", "--quiet")
    assert more.returncode == 0
    assert not more.stdout
    assert not (results / "report" / "index.md").exists()
    now = stamps(results)
    assert (
        len([path for path in now if path.endswith("trial.json")]) == 4 + 2
    )  # seed 1 of two trainings
    assert {path: now[path] for path in before} == before
    frame = load_results(results)
    assert set(frame[frame["variant"] != ""]["seed"]) == {0, 1}


@pytest.mark.parametrize("protocol", list_protocols())
def test_every_study_that_ships_is_made_of_rows_that_exist(protocol: str, tmp_path: Path) -> None:
    loaded = load_protocol(protocol)
    if not loaded.study:
        pytest.skip(f"{protocol} declares no study")
    base = Request(methods="", protocol=protocol, results=tmp_path / "r", dry_run=True)
    if loaded.data.source in (LISTS, FEATURES) and loaded.name != "digits-features":
        # Cannot be planned without its images or features.
        missing = (
            "give --data-dir|pretrained weights .*caffe_resnet152.pth cannot be read"
            "|how long its features are is not known without their folder|the features of .* are not here"
        )
        with pytest.raises(LtbenchError, match=missing):
            plan_study(base)
        for part in loaded.study:
            for row in parse_rows(",".join(part.methods)):
                resolve_row(row, loaded, load_registries())
        return
    plans = plan_study(base)
    assert [p.part.name for p in plans] == [part.name for part in loaded.study]
    for planned in plans:
        asked = planned.part.seeds or loaded.seeds
        assert {trial.trial.seed for trial in planned.plan.trials} == set(asked)
        assert planned.seconds > 0
    assert not (tmp_path / "r").exists()


def test_the_study_of_cifar100_is_the_one_that_was_asked_for() -> None:
    """Five methods with every strategy that needs neither hold-out nor network, in this order; then
    the hold-out table."""
    study = load_protocol("cifar100-lt").study
    assert [part.name for part in study] == [
        *("imbalance-100", "imbalance-50", "imbalance-10", "holdout")
    ]
    assert study[0].methods == study[1].methods == study[2].methods
    assert [part.set for part in study] == [
        *((), ("train.imbalance=50",), ("train.imbalance=10",), ("train.holdout=0.1",))
    ]
    assert {row.partition("+")[0] for row in study[0].methods} == {
        *("ce", "balanced-softmax", "logit-adjustment", "ride", "sade")
    }
    strategies = load_registries(()).strategies.plugins
    stored = {n for n, p in strategies.items() if not {"holdout", "network"} & p.cls.needs}
    named = {row.partition("+")[2] for row in study[0].methods}
    own = {"stability", "none"}  # sade's own and the rows that every trial gets, as oracle
    without = {"oracle", "mlls"}  # em was chosen before mlls on held-out images
    assert stored - without == (named - {""}) | own
    held = {n for n, p in strategies.items() if "holdout" in p.cls.needs}
    for method in ("ce", "sade"):
        assert held <= {r.partition("+")[2] for r in study[3].methods if r.startswith(method)}


def test_the_dry_run_tells_what_a_gpu_takes_by_measured_steps(
    ltbench_here: CommandLine, tmp_path: Path
) -> None:
    """200 epochs of 85 steps, four trainings; nothing of a network that was not measured."""
    words = ["--seeds", "1", "--results", tmp_path / "r", "--dry-run"]
    part = ["--parts", "imbalance-100"]
    told = ltbench_here("reproduce", "cifar100-lt", *part, *words).stdout
    one, three = (200 * 85 * gpu_step(experts, graph=True) for experts in (1, 3))
    assert (one, three) == (pytest.approx(87, rel=0.01), pytest.approx(135, rel=0.01))
    minutes, seconds = divmod(int(2 * (one + three)), 60)
    assert f"training alone takes about {minutes} min {seconds} s there" in told, told
    assert "5.1 ms a step with one head, 7.9 ms with three experts" in told
    assert "H200" not in ltbench_here("reproduce", "digits-lt", *words).stdout


def test_what_is_asked_for_holds_for_every_part_unless_the_part_sets_it(tiny: Path) -> None:
    base = Request(methods="", protocol=str(tiny), overrides={"recipe.epochs": "2"}, jobs=1)
    first, second = load_protocol(str(tiny)).study
    asked = request_for(second, base)
    assert asked.methods == "ce,sade[tau=1]"
    assert asked.seeds == (0,)
    assert asked.overrides == {"train.imbalance": "10", "recipe.epochs": "2"}
    assert asked.jobs == 1
    seeds = request_for(first, Request(methods="", protocol=str(tiny), seeds=(5,))).seeds
    assert seeds == (5,)
    clash = Request(methods="", protocol=str(tiny), overrides={"train.imbalance": "20"})
    with pytest.raises(InputError, match=r"train\.imbalance is set by part 'second' of the study"):
        request_for(second, clash)


def test_a_part_tells_where_its_name_may_no_longer_fit(tiny: Path, tmp_path: Path) -> None:
    def notes(**overrides: str) -> list[str]:
        asked = {key.replace("_", ".", 1): value for key, value in overrides.items()}
        base = Request(
            methods="", protocol=str(tiny), overrides=asked, results=tmp_path, dry_run=True
        )
        (part,) = plan_study(base, ["first"])
        return [note for note in part.plan.notes if "name" in note]

    told = "part 'first' has its name from the protocol file; here with train.imbalance=20"
    assert notes(train_imbalance="20", recipe_epochs="2") == [told]
    assert notes(recipe_epochs="2") == []


BAD = {
    "no study": ("", "mine declares no study; \\[\\[study\\]\\] in .*mine.toml would list"),
    "unknown key": ('[[study]]\nname = "a"\nmethod = ["ce"]\n', "did you mean 'methods'"),
    "no name": ('[[study]]\nmethods = ["ce"]\n', "lacks 'name'"),
    "unusable name": ('[[study]]\nname = "A B"\nmethods = ["ce"]\n', "name 'A B' is not usable"),
    "no rows": ('[[study]]\nname = "a"\nmethods = []\n', "the list is empty"),
    "twice": (
        '[[study]]\nname = "a"\nmethods = ["ce"]\n' * 2,
        "mine.study: two parts are called 'a'",
    ),
    "unknown row": ('[[study]]\nname = "a"\nmethods = ["cee"]\n', "unknown method 'cee'.*'ce'"),
    "bad set": (
        '[[study]]\nname = "a"\nmethods = ["ce"]\nset = ["imbalance"]\n',
        r"mine.study\[0\]: set 'imbalance' must look like recipe.epochs=40",
    ),
    "unknown override": (
        '[[study]]\nname = "a"\nmethods = ["ce"]\nset = ["train.imbalanc=5"]\n',
        "did you mean 'imbalance'",
    ),
    "seeds": (
        '[[study]]\nname = "a"\nmethods = ["ce"]\nseeds = [0, 0]\n',
        r"seeds = \[0, 0\] must differ",
    ),
    "a table": ("[study]\n", r"mine.study\[0\] lacks 'name'"),
}


@pytest.mark.parametrize(("text", "expected"), BAD.values(), ids=BAD)
def test_a_wrong_study_is_one_line(
    text: str, expected: str, ltbench_here: CommandLine, tmp_path: Path
) -> None:
    base = STUDY[: STUDY.index("[[study]]")].replace('"tiny"', '"mine"')
    if not text:  # a protocol that inherits none
        base = base.replace('extends = "digits-lt"', "study = []\nextends = 'digits-lt'")
    file = tmp_path / "mine.toml"
    file.write_text(base + text, encoding="utf-8")
    done = ltbench_here("reproduce", file, "--results", tmp_path / "r", "--dry-run")
    assert done.returncode == 2, done.stdout
    line = done.stderr.strip().splitlines()
    assert len(line) == 1, done.stderr
    assert line[0].startswith("Error: ")
    assert re.search(expected, line[0]), line[0]
    assert not (tmp_path / "r").exists()


def test_an_unknown_part_and_a_missing_protocol(
    tiny: Path, ltbench_here: CommandLine, tmp_path: Path
) -> None:
    done = ltbench_here("reproduce", tiny, "--parts", "frist", "--results", tmp_path / "r")
    assert done.returncode == 2
    assert "no part 'frist' (it has: first, second); did you mean 'first'?" in done.stderr
    done = ltbench_here("reproduce", "digit-lt")
    assert done.returncode == 2
    assert "did you mean 'digits-lt'?" in done.stderr


def test_help_says_what_to_expect(ltbench_here: CommandLine) -> None:
    told = ltbench_here("reproduce", "--help").stdout
    for word in ("CPU cores", "H200", "87 s", "135 s", "cluster", "--dry-run", "--parts"):
        assert word in told


def test_show_lists_the_parts(tiny: Path, ltbench_here: CommandLine) -> None:
    shown = ltbench_here("show", tiny).stdout
    assert "[study: first]" in shown
    assert "set = [train.imbalance=10]" in shown
