"""``ltbench clean --compact``: smaller files, the same report, and nothing that is not understood."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from click.testing import CliRunner

from ltbench.cli.clean import command
from ltbench.execute.compact import find_heavy, make_light
from ltbench.files import read_json, write_json
from ltbench.report.build import build_report
from ltbench.trial import store

from .builder import Results

CommandLine = Callable[..., CompletedProcess[str]]


def prior(name: str, seed: int, draw: int) -> list[float]:
    """Long fractions that differ between draws."""
    parts = [1 / (3 + seed + draw + c) for c in range(4)]
    return [part / sum(parts) for part in parts]


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Records as ltbench 0.1 wrote them: indented, with a prior in every draw."""
    made = Results(tmp_path / "results", ratios=(50, 10), images=20)
    for seed in (0, 1):
        made.add("ce", seed, lambda name, s, r: 50 + s / 3 + r / 7)
        made.add("ce", seed, lambda name, s, r: 51 + s / 3 + r / 7, strategy="em", prior=prior)
        made.add(
            *("sade", seed, lambda name, s, r: 60 + s / 3 + r / 7),
            strategy="stability",
            experts=3,
            weights=lambda name, s, r: [1 / 3 + r / 100, 1 / 3, 1 / 3 - r / 100],
        )
    for path in records(tmp_path / "results"):
        write_json(path, read_json(path))
    return tmp_path / "results"


def records(results: Path) -> list[Path]:
    return sorted(results.glob("*/*/*/evaluations/*.json"))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def tables(results: Path, output: Path) -> dict[str, bytes]:
    """CSV in full precision, and the frame."""
    build_report(results, output, figures=False)
    return {name: text for name, text in contents(output).items() if not name.endswith(".html")}


def test_the_report_is_the_same_to_the_byte(
    results: Path, tmp_path: Path, ltbench_here: CommandLine
) -> None:
    before = tables(results, tmp_path / "before")
    assert any(name.endswith("tables/priors.csv") for name in before)
    assert any(name.endswith("tables/expert-weights.csv") for name in before)
    size = sum(path.stat().st_size for path in records(results))
    done = ltbench_here("clean", "--compact", "--results", results, "--yes")
    assert done.returncode == 0, done.stderr
    assert "records" in done.stdout
    assert sum(path.stat().st_size for path in records(results)) < 0.7 * size
    assert tables(results, tmp_path / "after") == before

    light = contents(results)
    again = ltbench_here("clean", "--compact", "--results", results, "--yes")
    assert (again.returncode, again.stdout) == (0, "nothing to rewrite\n")
    assert contents(results) == light


def test_the_figure_of_priors_is_the_same(results: Path) -> None:
    from ltbench.report.figures.prior import prior_figure
    from ltbench.report.records.read import read_records
    from ltbench.report.rows.sections import build_sections

    def data() -> tuple[tuple[object, ...], ...]:
        ((section,), _) = build_sections(read_records(results))
        drawing = prior_figure(section)
        assert drawing is not None
        return drawing.data

    before = data()
    assert make_light(find_heavy(results)[0]).bytes > 0
    assert data() == before


def test_it_asks_first(results: Path) -> None:
    before = contents(results)
    done = CliRunner().invoke(command, ["--compact", "--results", str(results)], input="n\n")
    assert "rewrite these 6 records" in done.output
    assert "nothing was rewritten" in done.output
    assert contents(results) == before


def test_what_cannot_be_read_is_left_as_it_is_with_one_line(
    results: Path, ltbench_here: CommandLine
) -> None:
    newer, cut, sound, *_ = records(results)
    record = json.loads(newer.read_text())
    write_json(newer, record | {"schema": 99})
    cut.write_bytes(cut.read_bytes()[:500])
    foreign = results / "toy-lt/ce/9-999999999999"
    shutil.copytree(sound.parents[1], foreign)
    (foreign / "trial.json").write_text("{}")
    kept = {path: path.read_bytes() for path in (newer, cut, *foreign.rglob("*.json"))}
    done = ltbench_here("clean", "--compact", "--results", results, "--yes")
    assert done.returncode == 1
    lines = [line for line in done.stdout.splitlines() if line.startswith("left as it is: ")]
    assert len(lines) == 3
    assert any(f"{newer}: schema 99 is newer than 1" in line for line in lines)
    assert any(f"{cut}: " in line for line in lines)
    assert "Traceback" not in done.stderr
    assert {path: path.read_bytes() for path in kept} == kept
    assert sound.read_text().count("\n") == 1


def test_a_running_trial_is_left_alone(results: Path) -> None:
    heavy, _ = find_heavy(results)
    before = contents(heavy[0].trial)
    with store.claim(heavy[0].trial):
        done = make_light(heavy)
        assert done.kept == ((heavy[0].trial, "it is running now"),)
        assert contents(heavy[0].trial).items() >= before.items()
    assert records(results)[-1].read_text().count("\n") == 1


def test_it_goes_with_nothing_that_removes(results: Path, ltbench_here: CommandLine) -> None:
    done = ltbench_here("clean", "--compact", "--other-code", "--results", results)
    assert done.returncode == 2
    assert "--compact removes nothing" in done.stderr


def test_no_folder(tmp_path: Path, ltbench_here: CommandLine) -> None:
    done = ltbench_here("clean", "--compact", "--results", tmp_path / "absent")
    assert done.returncode == 2
    assert done.stderr == f"Error: results {tmp_path / 'absent'} is not a folder\n"
