"""The whole report: files, messages, strictness, the command, LaTeX that compiles."""

from __future__ import annotations

import io
import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from ltbench.cli.report import command
from ltbench.errors import InputError
from ltbench.report.build import build_report

from .builder import Results, flat

NASTY = 'a_b%&$#{}~^\\ "é" 中 τ [x]'


def test_one_trial_one_seed_one_method(tmp_path: Path) -> None:
    Results(tmp_path).add("ce", 0, flat(50))
    outcome = build_report(tmp_path)
    (folder,) = outcome.sections
    assert folder == tmp_path / "report" / "toy-lt"
    names = {
        path.relative_to(folder).as_posix() for path in outcome.files if path.is_relative_to(folder)
    }
    for stem in ("tables/main", "tables/groups", "tables/partial"):
        assert {f"{stem}.tex", f"{stem}.md", f"{stem}.csv"} <= names
    assert {"figures/accuracy-over-shift.pdf", "figures/accuracy-per-class.png"} <= names
    assert {"main.tex", "report.md"} <= names
    page = (folder / "report.md").read_text(encoding="utf-8")
    assert "![" in page
    assert "(figures/accuracy-over-shift.png)" in page
    assert "| ce | 1,000 | 1 | 50.0 |" in page
    assert "(toy-lt/report.md)" in (tmp_path / "report" / "index.md").read_text(encoding="utf-8")


def test_a_second_report_is_the_same_and_reads_no_report(tmp_path: Path) -> None:
    Results(tmp_path).add("ce", 0, flat(50))
    first = {path: path.read_bytes() for path in build_report(tmp_path, figures=False).files}
    second = {path: path.read_bytes() for path in build_report(tmp_path, figures=False).files}
    assert first == second


@pytest.mark.parametrize("variant", ["../../x", "a/b, c=1", "ü % 中", "CON", "y" * 400])
def test_any_variant_stays_inside_the_report(tmp_path: Path, variant: str) -> None:
    Results(tmp_path / "r", variant=variant).add("ce", 0, flat(50))
    outcome = build_report(tmp_path / "r", figures=False)
    for path in outcome.files:
        assert path.resolve().is_relative_to((tmp_path / "r" / "report").resolve())
    page = (outcome.sections[0] / "report.md").read_text(encoding="utf-8")
    assert "variant" in page.splitlines()[0]


def test_unreadable_is_listed_and_strict_refuses(tmp_path: Path) -> None:
    results = Results(tmp_path)
    results.add("ce", 0, flat(50))
    bad = results.add("ride", 0, flat(50)).parent.parent / "trial.json"
    bad.write_text("")
    console = Console(file=io.StringIO(), width=60)
    outcome = build_report(tmp_path, figures=False, console=console)
    printed = console.file.getvalue()  # type: ignore[attr-defined]
    assert f"{bad}: the file is empty" in printed
    assert [unreadable.path for unreadable in outcome.unreadable] == [bad]
    assert "trial.json" in (tmp_path / "report" / "index.md").read_text(encoding="utf-8")
    with pytest.raises(InputError, match="the file is empty") as caught:
        build_report(tmp_path, strict=True)
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)


def test_nothing_to_report_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no readable evaluation .* `ltbench run"):
        build_report(tmp_path)
    Results(tmp_path).fail("ce", 0)
    with pytest.raises(InputError, match="1 failed"):
        build_report(tmp_path)
    assert not (tmp_path / "report").exists()


def test_one_protocol_only(tmp_path: Path) -> None:
    Results(tmp_path).add("ce", 0, flat(50))
    Results(tmp_path, protocol="other-lt").add("ce", 0, flat(50))
    outcome = build_report(tmp_path, tmp_path / "out", protocol="other-lt", figures=False)
    assert outcome.sections == (tmp_path / "out" / "other-lt",)
    with pytest.raises(InputError, match="did you mean 'other-lt'"):
        build_report(tmp_path, protocol="othr-lt")


def test_output_that_is_a_file_is_an_input_error(tmp_path: Path) -> None:
    Results(tmp_path).add("ce", 0, flat(50))
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="is a file"):
        build_report(tmp_path, tmp_path / "file")
    with pytest.raises(InputError, match="cannot be written"):
        build_report(tmp_path, tmp_path / "file" / "below")


def test_command(tmp_path: Path) -> None:
    Results(tmp_path).add("ce", 0, flat(50))
    done = CliRunner().invoke(command, ["--results", str(tmp_path), "--no-figures"])
    assert done.exit_code == 0, done.output
    assert "Top-1 accuracy over test label distributions" in done.output
    assert "report written to" in done.output
    assert not (tmp_path / "report" / "toy-lt" / "figures").exists()
    assert "Examples:" in CliRunner().invoke(command, ["--help"]).output


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_latex_compiles_with_nasty_names(tmp_path: Path) -> None:
    results = Results(
        tmp_path / "r", variant=NASTY, groups={"many": [0, 1, 2, 3], "medium": []} | {"few": []}
    )
    for seed in range(3):
        results.add("x", seed, flat(50 + seed), label=NASTY, experts=2)
    results.add("y", 0, flat(50), label="[starts with a bracket", oracle=True)
    results.fail(f"{'z' * 60}_%", 0)
    (folder,) = build_report(tmp_path / "r").sections
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "main.tex"],
        cwd=folder,
        capture_output=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout.decode(errors="replace")[-2000:]
    assert (folder / "main.pdf").stat().st_size > 10_000
    for path in [*folder.glob("tables/*.tex"), *folder.glob("**/*.md")]:
        assert "nan" not in path.read_text(encoding="utf-8").lower(), path
