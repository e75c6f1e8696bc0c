"""``ltbench clean`` takes what only costs space, and nothing that anyone could miss."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from ltbench.execute import clean
from ltbench.trial import store

CommandLine = Callable[..., CompletedProcess[str]]
PUBLISHED = Path(__file__).resolve().parents[2] / "results/published/digits-lt"


def fill(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * 1000)
    return folder


def contents(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()} - {
        str(p.relative_to(folder)) for p in folder.rglob(store.CLAIM)
    }


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A finished, a failed, an interrupted and a newer trial, published ones, and a cache."""
    results = tmp_path / "results"
    (source,) = PUBLISHED.glob("ce/0-*")
    done = results / "p/ce/0-aaaaaaaaaaaa"
    shutil.copytree(source, done)
    fill(done, "checkpoint.safetensors", "starts.json", ".trial.json.x.tmp", "logits.safetensors")
    failed = fill(
        results / "p/ce/1-bbbbbbbbbbbb",
        *("failure.log", "checkpoint.safetensors", "weights.safetensors", "notes.txt"),
    )
    (failed / "failed.json").write_text(json.dumps({"schema": 1, "status": "diverged"}))
    bare = fill(results / "p/ce/4-eeeeeeeeeeee", "failure.log")
    (bare / "failed.json").write_text(json.dumps({"schema": 1, "status": "failed"}))
    fill(results / "p/ce/2-cccccccccccc", "checkpoint.safetensors", "starts.json")
    newer = fill(results / "p/ce/3-dddddddddddd", "checkpoint.safetensors")
    (newer / "trial.json").write_text(json.dumps({"schema": 99, "status": "finished"}))
    fill(results / "published/p/0-ffffffffffff", "checkpoint.safetensors")
    return results


@pytest.fixture
def cache(results: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return fill(
        results.parent / "cache",
        *("datasets/a/x.npy", "views/b/y.npy", "view-logits/c/z"),
        *("downloads/cifar.tar.gz", "measured.json", "own"),
    )


GONE = {
    "p/ce/0-aaaaaaaaaaaa/checkpoint.safetensors",
    "p/ce/0-aaaaaaaaaaaa/starts.json",
    "p/ce/0-aaaaaaaaaaaa/.trial.json.x.tmp",
    "p/ce/1-bbbbbbbbbbbb/failed.json",
    "p/ce/1-bbbbbbbbbbbb/failure.log",
    "p/ce/1-bbbbbbbbbbbb/checkpoint.safetensors",
    "p/ce/4-eeeeeeeeeeee/failed.json",
    "p/ce/4-eeeeeeeeeeee/failure.log",
}


def test_exactly_this_goes(
    ltbench_here: CommandLine, results: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LTBENCH_CACHE", str(cache))
    before = contents(results)
    done = ltbench_here("clean", "--results", results, "--yes")
    assert done.returncode == 0, done.stderr
    assert before - contents(results) == GONE
    assert not contents(results) - before
    assert not (results / "p/ce/4-eeeeeeeeeeee").exists()
    assert contents(cache) == {"downloads/cifar.tar.gz", "measured.json", "own"}
    assert "1 interrupted trials stay" in done.stdout
    again = ltbench_here("clean", "--results", results, "--yes")
    assert "nothing to remove" in again.stdout


def test_without_yes_it_asks_and_no_means_no(
    ltbench: CommandLine, results: Path, cache: Path
) -> None:
    before = contents(results.parent)
    done = ltbench("clean", "--results", results, env={"LTBENCH_CACHE": str(cache)})
    assert done.returncode in (0, 130)  # nobody is there to answer
    assert "remove these" in done.stdout
    assert "checkpoint" in done.stdout
    assert "kB" in done.stdout
    assert contents(results.parent) == before


def test_a_running_trial_and_the_cache_it_may_use_stay(
    ltbench_here: CommandLine, results: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LTBENCH_CACHE", str(cache))
    running = results / "p/ce/1-bbbbbbbbbbbb"
    with store.claim(running):
        before = contents(running)
        done = ltbench_here("clean", "--results", results, "--yes")
        assert contents(running) == before
    assert "1 running trials stay" in done.stdout
    assert len(contents(cache)) == 6


def test_what_changes_between_listing_and_removing_stays(results: Path) -> None:
    leftovers, _ = clean.find_leftovers(results, cache=False)
    retried, started = results / "p/ce/1-bbbbbbbbbbbb", results / "p/ce/4-eeeeeeeeeeee"
    (retried / "failed.json").unlink()  # a run took it up again and left a new checkpoint
    fill(retried, "checkpoint.safetensors")
    with store.claim(started):
        done = clean.remove(leftovers)
    assert (retried / "checkpoint.safetensors").exists()
    assert (started / "failed.json").exists()
    assert {place.name: reason for place, reason in done.kept} == {
        retried.name: "it was tried again meanwhile",
        started.name: "it is running now",
    }


def test_a_file_that_is_no_folder_is_refused(ltbench_here: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = ltbench_here("clean", "--results", tmp_path / "file")
    assert done.returncode == 2
    missing = ltbench_here("clean", "--results", tmp_path / "none", "--no-cache")
    assert missing.returncode == 0
    assert "nothing to remove" in missing.stdout
