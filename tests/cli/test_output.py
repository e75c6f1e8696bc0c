"""What a command prints: to a reader that leaves, to a full disk, into 80 columns."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from rich.cells import cell_len

from ltbench.cli.blocks import table_blocks
from tests.zygote import started

CommandLine = Callable[..., CompletedProcess[str]]
PUBLISHED = Path(__file__).resolve().parents[2] / "results/published/digits-lt"


@pytest.fixture
def results(tmp_path: Path) -> Path:
    for name in ("ce", "sade"):
        (trial,) = PUBLISHED.glob(f"{name}/0-*")
        shutil.copytree(trial, tmp_path / "results/digits-lt" / name / trial.name)
    return tmp_path / "results"


def words_for(results: Path) -> dict[str, list[str]]:
    trials = [str(path.parent) for path in sorted(results.rglob("trial.json"))]
    return {
        "help": ["--help"],
        "run --help": ["run", "--help"],
        "list": ["list", "methods"],
        "show": ["show", "sade", "--protocol", "digits-lt"],
        "status": ["status", "--results", str(results)],
        "diff": ["diff", *trials],
        "plan": ["run", "--methods", "ce", "--protocol", "digits-lt", "--dry-run"],
        "report": [
            *("report", "--results", str(results), "--no-figures"),
            *("--cite", str(results / "x.bib")),
        ],
    }


# Each command has one of the two fates, the one that writes files has both.
LEFT = ["help", "list", "status", "plan", "report"]
FULL = ["run --help", "show", "diff", "report"]


def test_every_command_has_one_of_them() -> None:
    assert {*LEFT, *FULL} == words_for(Path()).keys()


@pytest.mark.parametrize("name", LEFT)
def test_a_reader_that_leaves_gives_141_and_whole_files(
    name: str, results: Path, command: list[str], environment: dict[str, str]
) -> None:
    process = started(
        [*command, *words_for(results)[name]],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    error = process.stderr.read().decode()
    process.stderr.close()
    assert process.wait(60) == 141, error
    assert error == ""
    if name == "report":
        assert (results / "report/report.html").read_text().rstrip().endswith("</html>")
        assert (results / "report/index.md").exists()
        assert (results / "report/results.parquet").exists()
        assert "@" in (results / "x.bib").read_text()
        assert not list(results.rglob("*.tmp"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only some systems have a full disk")
@pytest.mark.parametrize("name", FULL)
def test_a_full_disk_behind_stdout_is_one_line(
    name: str, results: Path, command: list[str], environment: dict[str, str]
) -> None:
    with Path("/dev/full").open("w") as full:
        process = started(
            [*command, *words_for(results)[name]],
            env=environment,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    _, error = process.communicate(timeout=60)
    assert process.returncode == 1
    assert error == "Error: the output cannot be written: No space left on device\n"
    if name == "report":
        assert (results / "report/report.html").exists()


HEADINGS = ("row", "mean", "F100", "F50", "U")
LINES = [("sade[tau=1] *", "41.62 ± 0.88", "77.1", "9.0", "1.0"), ("ce", "failed", "-", "-", "-")]


@pytest.mark.parametrize("width", [20, 30, 40, 80])
def test_a_wide_table_is_cut_between_columns(width: int) -> None:
    blocks = table_blocks(HEADINGS, LINES, width)
    cells = [line.split() for block in blocks for line in block.splitlines()]
    for text in (*HEADINGS, "41.62", "77.1", "9.0", "1.0", "failed"):
        assert any(text in line for line in cells)
    for block in blocks:
        assert block.splitlines()[1].startswith("sade[tau=1] *")
        assert max(map(cell_len, block.splitlines())) <= max(width, 13 + 2 + 12)
    assert len(table_blocks(HEADINGS, LINES, 80)) == 1


@pytest.fixture
def narrow(ltbench_here: CommandLine, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    monkeypatch.setenv("COLUMNS", "80")
    return ltbench_here


def test_tune_fits_80_columns_and_a_pipe(
    narrow: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ["tune", "logit-adjustment", "--protocol", "digits-lt", "--set", "recipe.epochs=1"]
    asked += ["--grid", "tau=0,0.125,1,2", "--seeds", "1", "--results", tmp_path / "r"]
    monkeypatch.setenv("TERM", "xterm-256color")
    done = narrow(*asked)
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout
    assert "…" not in done.stdout
    start = done.stdout.index("hold-out accuracy")
    table = done.stdout[start : done.stdout.index("chosen: ")].splitlines()
    assert max(map(len, table)) <= 80
    headings = [line.split() for line in table if line.startswith("row ")]
    assert [h for line in headings for h in line if h != "row"] == [
        *("mean", "F20", "F10", "F5", "F2", "U", "B2", "B5", "B10", "B20")
    ]


def test_the_plan_fits_80_columns(narrow: CommandLine, tmp_path: Path) -> None:
    rows = "sade[tau=1.25],ce+em[map=3],ce+tilt,ride[experts=2,diversity_factor=-0.125,max_margin=0.25]"
    asked = ["run", "--methods", rows, "--protocol", "digits-lt", "--dry-run"]
    done = narrow(*asked, "--results", tmp_path / "r")
    assert done.returncode == 0, done.stderr
    assert "…" not in done.stdout
    table = [line for line in done.stdout.splitlines() if line[:1] in "┏┃┡│└"]
    assert max(map(len, table)) <= 80
    joined = "".join(line.split("│")[1].strip() for line in table if line.startswith("│"))
    assert "ride[experts=2,diversity_factor=-0.125" in joined


def test_status_fits_80_columns(narrow: CommandLine, results: Path) -> None:
    failed = results / "digits-lt/sade/1-aaaaaaaaaaaa"
    failed.mkdir()
    (failed / "failed.json").write_text(
        '{"schema": 1, "status": "diverged", "error": "' + "the loss is not finite " * 8 + '"}'
    )
    done = narrow("status", "--results", results)
    table = done.stdout.splitlines()
    assert max(map(len, table)) <= 80
    assert "…" not in done.stdout
    assert any(line.split()[:4] == ["digits-lt", "sade", "1", "diverged"] for line in table)
