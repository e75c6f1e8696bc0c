"""F5: one flipped bit in a file of a finished trial, at places drawn by a seed."""

from __future__ import annotations

import json
import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

CommandLine = Callable[..., CompletedProcess[str]]
SETTINGS = ["--protocol", "digits-lt", "--set", "recipe.epochs=1", "--set", "test.draws=2"]
SETTINGS += ["--set", "test.ratios=2", "--seeds", "1"]


@pytest.fixture(scope="module")
def whole(ltbench: CommandLine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    results = tmp_path_factory.mktemp("bits") / "results"
    done = ltbench("run", "--methods", "ce,focal", *SETTINGS, "--results", results)
    assert done.returncode == 0, done.stdout
    return results


@pytest.fixture
def results(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "results"))


def flip(path: Path, seed: int, start: int = 0) -> None:
    content, generator = bytearray(path.read_bytes()), random.Random(seed)
    content[generator.randrange(start, len(content))] ^= 1 << generator.randrange(8)
    path.write_bytes(content)


def numbers_of(path: Path) -> int:
    """Where the numbers of a safetensors file begin."""
    return 8 + int.from_bytes(path.read_bytes()[:8], "little")


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("file", "row"), [("logits", "ce+em"), ("weights", "ce+tent")])
def test_f05_a_bit_of_logits_or_weights_makes_no_number(
    file: str, row: str, seed: int, results: Path, ltbench_here: CommandLine
) -> None:
    (path,) = results.glob(f"digits-lt/ce/0-*/{file}.safetensors")
    flip(path, seed, numbers_of(path))
    done = ltbench_here("evaluate", "--methods", row, *SETTINGS, "--results", results)
    assert done.returncode == 1
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("failed: ")]
    assert f"{path} is damaged (its numbers do not match their checksum)" in line
    assert not list(results.rglob(f"evaluations/{row}-*.json"))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("file", ["trial.json", "evaluations/ce+none-*.json", "history.jsonl"])
def test_f05_a_bit_of_a_record_leaves_the_other_trials(
    file: str, seed: int, results: Path, ltbench_here: CommandLine
) -> None:
    """What is no record any more is told with its path; the other method's row stays as it was."""
    (path,) = results.glob(f"digits-lt/ce/0-*/{file}")
    assert ltbench_here("report", "--results", results, "--no-figures").returncode == 0
    (table,) = (results / "report").glob("*/tables/main.csv")
    before = [line for line in table.read_text().splitlines() if line.startswith("focal,")]
    flip(path, seed)
    done = ltbench_here("report", "--results", results, "--no-figures")
    assert done.returncode == 0, done.stderr
    tables = (results / "report").glob("*/tables/main.csv")
    lines = [line for table in tables for line in table.read_text().splitlines()]
    assert set(before) <= set(lines)
    try:
        json.loads(path.read_bytes())
    except ValueError:
        assert file == "history.jsonl" or re.search(re.escape(str(path)), done.stdout)
