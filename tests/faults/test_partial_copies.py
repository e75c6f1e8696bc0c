"""What a copied trial lacks is named; whatever is there serves every row that needs no more."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from safetensors.torch import load_file, save_file

from ltbench import load_results

CommandLine = Callable[..., CompletedProcess[str]]
SETTINGS = ["--protocol", "digits-lt", "--set", "recipe.epochs=1", "--set", "test.draws=2"]
SETTINGS += ["--set", "test.ratios=2", "--set", "train.holdout=0.1", "--seeds", "1"]


@pytest.fixture(scope="module")
def whole(ltbench: CommandLine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    results = tmp_path_factory.mktemp("whole") / "results"
    done = ltbench("run", "--methods", "sade+none,ride+none", *SETTINGS, "--results", results)
    assert done.returncode == 0, done.stdout
    return results


@pytest.fixture
def copy(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(whole, tmp_path / "results")
    return tmp_path / "results"


@pytest.fixture
def empty_cache(ltbench_here: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LTBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def file_of(results: Path, method: str, name: str) -> Path:
    (path,) = results.glob(f"digits-lt/{method}/0-*/{name}.safetensors")
    return path


def strategies(results: Path, method: str) -> set[str]:
    frame = load_results(results)
    return set(frame[frame.method == method].strategy)


def failed(done: CompletedProcess[str]) -> list[str]:
    return re.findall(r"^failed: (.*)$", done.stdout, re.MULTILINE)


def test_logits_alone_serve_what_needs_no_network(
    copy: Path, empty_cache: Path, ltbench_here: CommandLine
) -> None:
    weights = file_of(copy, "sade", "weights")
    weights.unlink()
    rows = "sade+entropy,sade+em,sade+bbse"
    done = ltbench_here("evaluate", "--methods", rows, *SETTINGS, "--results", copy)
    assert done.returncode == 0, done.stdout
    assert strategies(copy, "sade") == {"none", "oracle", "entropy", "em", "bbse"}
    rows = "sade,sade+tent,sade+pseudo-label"
    done = ltbench_here("evaluate", "--methods", rows, *SETTINGS, "--results", copy)
    assert done.returncode == 1
    (line,) = failed(done)
    assert line == (
        f"sade seed 0: sade, sade+tent: needs the trained network, and {weights} is missing"
    )
    assert "pseudo-label" in strategies(copy, "sade")
    status = ltbench_here("status", "--results", copy).stdout
    assert f"digits-lt sade seed 0: sade+tent: needs the trained network, and {weights}" in status
    again = ltbench_here("evaluate", "--methods", "sade+em", *SETTINGS, "--results", copy)
    assert again.returncode == 0  # what is complete needs nothing


def test_streams_need_no_more_than_their_rows(
    copy: Path, empty_cache: Path, ltbench_here: CommandLine
) -> None:
    file_of(copy, "sade", "weights").unlink()
    asked = ["evaluate", "--methods", "sade,sade+none", *SETTINGS, "--arrival", "batch:64"]
    done = ltbench_here(*asked, "--results", copy)
    assert done.returncode == 1
    (line,) = failed(done)
    assert line.startswith("sade seed 0: sade: needs the trained network")
    streams = {path.name.rpartition("-")[0] for path in copy.rglob("streams/*.json")}
    assert streams == {"sade+none-batch64", "sade+oracle-batch64"}


def test_views_that_are_cached_serve_without_the_network(
    copy: Path, empty_cache: Path, ltbench_here: CommandLine, tmp_path: Path
) -> None:
    asked = ["evaluate", "--methods", "sade", *SETTINGS, "--results"]
    elsewhere = shutil.copytree(copy, tmp_path / "elsewhere")
    assert ltbench_here(*asked, elsewhere).returncode == 0
    file_of(copy, "sade", "weights").unlink()
    assert ltbench_here(*asked, copy).returncode == 0
    (one,) = copy.rglob("evaluations/sade+stability-*.json")
    (two,) = elsewhere.rglob("evaluations/sade+stability-*.json")
    assert (
        json.loads(one.read_text())["distributions"]
        == (json.loads(two.read_text())["distributions"])
    )


def test_the_mode_augmented_needs_the_network(
    copy: Path, empty_cache: Path, ltbench_here: CommandLine
) -> None:
    weights = file_of(copy, "sade", "weights")
    weights.unlink()
    asked = ["evaluate", "--methods", "sade+none", *SETTINGS, "--mode", "augmented"]
    done = ltbench_here(*asked, "--results", copy)
    assert done.returncode == 1
    assert failed(done)[0].endswith(f"needs the trained network, and {weights} is missing")


def test_weights_without_logits_name_the_logits(copy: Path, ltbench_here: CommandLine) -> None:
    logits = file_of(copy, "sade", "logits")
    logits.unlink()
    asked = ["evaluate", "--methods", "sade+em", *SETTINGS, "--results", copy]
    done = ltbench_here(*asked)
    assert done.returncode == 1
    (line,) = failed(done)
    assert line == (
        f"sade seed 0: sade+em: {logits} is missing, the test logits that every row is computed "
        "from; the record can be reported, not evaluated again"
    )


def test_logits_without_those_of_the_holdout(copy: Path, ltbench_here: CommandLine) -> None:
    for method in ("sade", "ride"):
        path = file_of(copy, method, "logits")
        save_file({"logits": load_file(path)["logits"]}, path)
    rows = "sade+em,sade+bbse,ride+em,ride+entropy"
    done = ltbench_here("evaluate", "--methods", rows, *SETTINGS, "--results", copy)
    assert done.returncode == 1
    lines = {line.split()[0]: line for line in failed(done)}
    assert re.fullmatch(
        r"sade seed 0: sade\+bbse needs the logits of the \d+ held-out images, which \S+ lacks; .*",
        lines["sade"],
    )
    assert "ride+em needs the logits" in lines["ride"]  # never a bias that is only guessed
    assert {"em"} < strategies(copy, "sade")
    assert {"entropy"} < strategies(copy, "ride")
    assert "em" not in strategies(copy, "ride")


def test_logits_without_a_record_say_so(copy: Path, ltbench_here: CommandLine) -> None:
    (record,) = copy.glob("digits-lt/sade/*/trial.json")
    record.unlink()
    done = ltbench_here("evaluate", "--methods", "sade+em", *SETTINGS, "--results", copy)
    assert done.returncode == 2
    assert f"{record} is missing, so its logits count for nothing" in done.stderr


def test_tune_names_logits_that_are_missing(copy: Path, ltbench_here: CommandLine) -> None:
    asked = ["tune", "sade", *SETTINGS, "--grid", "tau=2", "--results", copy]
    assert ltbench_here(*asked).returncode == 0
    logits = file_of(copy, "sade", "logits")
    logits.unlink()
    done = ltbench_here(*asked)
    assert done.returncode == 1
    assert done.stderr == f"Error: {logits} is not there\n"
