"""A second report draws only what changed, with the same bytes; what is damaged is drawn anew."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from ltbench.report import content, drawn, kept
from ltbench.report.build import build_report
from ltbench.report.figures import all as figures
from ltbench.report.page.picture import Picture
from ltbench.report.selection import Selection

from .builder import Results, flat

Files = dict[Path, bytes]


class First(NamedTuple):
    """A report, its results and its cache, which tests copy; ``drawn``: the numbers of its figures."""

    files: Files
    drawn: list[int]
    results: Path
    cache: Path


@pytest.fixture(scope="module")
def first(no_pdf: None, tmp_path_factory: pytest.TempPathFactory) -> First:
    folder = tmp_path_factory.mktemp("first")
    for protocol in ("toy-lt", "other-lt"):
        for seed in range(2):
            Results(folder / "r", protocol=protocol).add("ce", seed, flat(50 + seed))
    Results(folder / "r", protocol="toy-lt").add("ride", 0, flat(40))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LTBENCH_CACHE", str(folder / "cache"))
        numbers = noted(patch)
        return First(report(folder / "r"), numbers, folder / "r", folder / "cache" / "figures")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LTBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "figures"


@pytest.fixture
def results(first: First, cache: Path, tmp_path: Path) -> Path:
    shutil.copytree(first.cache, cache)
    return shutil.copytree(first.results, tmp_path / "r")


@pytest.fixture
def drawings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    return noted(monkeypatch)


def noted(patch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of the figures that are drawn, whether or not they show something."""
    numbers: list[int] = []
    kinds = figures.figure_kinds()[:1]  # the others are kept alike
    plain = drawn._task

    def noting(draw: drawn.Draw, number: int) -> drawn.Task:
        task = plain(draw, number)

        def noted() -> Picture | None:
            numbers.append(number)
            return task()

        return noted

    patch.setattr(drawn, "_task", noting)
    patch.setattr(figures, "figure_kinds", lambda: kinds)
    patch.setattr(kept, "affordable", lambda tasks: 0)  # a helper would count for itself
    return numbers


def report(results: Path, **options: object) -> Files:
    outcome = build_report(results, **options)  # type: ignore[arg-type]
    return {path.relative_to(outcome.output): path.read_bytes() for path in outcome.files}


def test_the_second_report_draws_nothing_and_is_the_same(
    first: First, results: Path, drawings: list[int]
) -> None:
    assert first.drawn == [1, 2]
    assert any(path.suffix == ".png" for path in first.files)
    assert report(results) == first.files
    assert drawings == []


def test_only_the_section_of_a_new_record_is_drawn_anew(
    results: Path, drawings: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Results(results, protocol="toy-lt").add("ce", 2, flat(47))
    second = report(results)
    assert len(drawings) == 1
    pictures = {path for path in second if path.suffix == ".png"}
    monkeypatch.setenv("LTBENCH_CACHE", str(tmp_path / "other"))
    anew = report(results)
    assert second == anew
    assert pictures


def test_another_process_knows_them_by_the_same_digest(first: First, tmp_path: Path) -> None:
    """Neither the order of sets nor the address of an object enters it."""
    code = """
import sys
from pathlib import Path
from ltbench.report import drawn
from ltbench.report.build import build_report
from ltbench.report.figures import all as figures
kinds = figures.figure_kinds()[:1]
figures.figure_kinds = lambda: kinds
drawn._task = lambda draw, number: lambda: None  # digests are known before
build_report(Path(sys.argv[1]), Path(sys.argv[2]))
"""
    environment = os.environ | {"PYTHONHASHSEED": "7"}
    words = [sys.executable, "-c", code, str(first.results), str(tmp_path / "report")]
    subprocess.run(words, env=environment, check=True, timeout=200)
    found = {path.name for path in (tmp_path / "cache" / "figures").iterdir()}
    assert found == {path.name for path in first.cache.iterdir()}


@pytest.mark.parametrize("change", ["record", "selection", "program"])
def test_whatever_a_figure_depends_on_counts(
    first: First,
    results: Path,
    drawings: list[int],
    monkeypatch: pytest.MonkeyPatch,
    change: str,
) -> None:
    options = {}
    if change == "record":  # as long as before, and of the same time
        path = next(results.glob("toy-lt/ride/*/evaluations/*.json"))
        times, text = path.stat().st_mtime_ns, path.read_text()
        path.write_text(text.replace('"top1": 40', '"top1": 30'))
        assert path.read_text() != text
        os.utime(path, ns=(times, times))
    elif change == "selection":
        options = {"selection": Selection(methods=("ce",))}
    else:
        monkeypatch.setattr(content, "program", lambda: "another")
    after = report(results, **options)
    assert drawings
    if change == "program":
        assert after == first.files
    else:
        shown = Path("toy-lt/figures/accuracy-over-shift.csv")
        assert after[shown] != first.files[shown]


@pytest.mark.parametrize("damage", ["bit", "cut", "empty", "folder"])
def test_a_damaged_picture_is_drawn_anew(
    first: First, results: Path, drawings: list[int], cache: Path, damage: str
) -> None:
    largest = max(cache.iterdir(), key=lambda path: path.stat().st_size)
    whole = bytearray(largest.read_bytes())
    if damage == "bit":
        whole[len(whole) // 2] ^= 1
        largest.write_bytes(whole)
    elif damage == "folder":
        largest.unlink()
        largest.mkdir()
    else:
        largest.write_bytes(whole[: len(whole) // 2] if damage == "cut" else b"")
    assert report(results) == first.files
    assert len(drawings) == 1


def test_a_cache_that_cannot_be_written_costs_nothing_but_time(
    first: First, results: Path, drawings: list[int], cache: Path
) -> None:
    shutil.rmtree(cache)
    cache.write_text("a file where the folder should be")
    assert report(results) == first.files
    assert sorted(drawings) == first.drawn


def test_what_nobody_uses_goes(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = Picture("x", "caption", {".png": b"png" * 100}, "<svg/>")
    for place, name in enumerate(("old", "first", "second", "third")):
        kept.keep_picture(name, picture)
        age = 40 * 24 * 3600.0 if name == "old" else 100.0 - place
        os.utime(cache / name, (time.time() - age,) * 2)
    kept.sweep_kept()
    assert {path.name for path in cache.iterdir()} == {"first", "second", "third"}
    assert kept.kept_picture("first") == picture  # so it was used last
    monkeypatch.setattr(kept, "_MOST", 2 * (cache / "first").stat().st_size)
    kept.sweep_kept()
    assert {path.name for path in cache.iterdir()} == {"first", "third"}
