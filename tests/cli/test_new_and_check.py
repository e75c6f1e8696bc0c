"""``ltbench new`` and ``check``: what is written works, and its own tests pass."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from ltbench import load_results

CommandLine = Callable[..., CompletedProcess[str]]


@pytest.mark.parametrize(
    ("kind", "file"), [("method", "my_x.py"), ("strategy", "my_x.py"), ("protocol", "my_x.toml")]
)
def test_what_new_writes_keeps_the_contract_and_passes_its_test(
    ltbench_here: CommandLine, tmp_path: Path, kind: str, file: str
) -> None:
    folder = tmp_path / "deep" / "plugins"
    done = ltbench_here("new", kind, "my-x", "--output", folder)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in folder.iterdir()) == sorted([file, "test_my_x.py"])
    checked = ltbench_here("check", folder / file)
    assert checked.returncode == 0, checked.stdout
    assert "MISSING" not in checked.stdout
    assert checked.stdout.count("\n  ok ") >= 7
    tested = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(folder)],
        cwd=folder, env=dict(os.environ), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert tested.returncode == 0, tested.stdout
    again = ltbench_here("new", kind, "my-x", "--output", folder)
    assert again.returncode == 2
    assert "exists; choose another name" in again.stderr


def test_from_new_to_a_row(ltbench_here: CommandLine, tmp_path: Path, quick: list[str]) -> None:
    """As the command itself says: new, check, run with --plugin; method and strategy together."""
    for kind, name in (("method", "focal"), ("strategy", "my-em")):
        assert ltbench_here("new", kind, name, "--output", tmp_path).returncode == 0
    plugins = ["--plugin", tmp_path / "focal.py", "--plugin", tmp_path / "my_em.py"]
    results = tmp_path / "results"
    done = ltbench_here(
        "run", "--methods", "focal,focal+my-em", *quick, *plugins, "--results", results
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert set(load_results(results)["label"]) == {"focal", "focal+my-em", "focal+oracle"}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("sade", "is called 'sade' already"),
        ("../x", "is not usable"),
        ("Con", "is not usable"),
        ("", "is not usable"),
    ],
)
def test_unusable_names_are_refused(
    ltbench_here: CommandLine, tmp_path: Path, name: str, message: str
) -> None:
    done = ltbench_here("new", "method", name, "--output", tmp_path / "out")
    assert done.returncode == 2
    assert message in done.stderr
    assert not (tmp_path / "out").exists()


def test_what_is_missing_is_told_in_plain_words(ltbench_here: CommandLine, tmp_path: Path) -> None:
    assert ltbench_here("new", "method", "mine", "--output", tmp_path).returncode == 0
    file = tmp_path / "mine.py"
    text = file.read_text()
    file.write_text(text.replace("return sum(", "return 2 * logits.sum(0) + sum("))
    done = ltbench_here("check", file)
    assert done.returncode == 1
    assert "MISSING  The loss is one finite float32 number" in done.stdout
    assert "it must be one number, for example the mean over the batch" in done.stdout
    assert "missing" in done.stdout.splitlines()[-1]
    file.write_text(text.replace("return sum(", "return summ("))
    done = ltbench_here("check", file, "--quiet")
    assert "NameError: name 'summ' is not defined, raised at mine.py:" in done.stdout
    file.write_text(text.replace("def loss", "def lost"))
    done = ltbench_here("check", file)
    assert done.returncode == 2
    assert "Mine does not define loss" in done.stderr
    file.write_text("import nothing_of_that_name\n")
    done = ltbench_here("check", file)
    assert done.returncode == 2
    assert "cannot be imported: ModuleNotFoundError" in done.stderr


def test_names_are_checked_too(ltbench_here: CommandLine) -> None:
    for name in ("sade", "stability", "digits-lt"):
        done = ltbench_here("check", name, "--quiet")
        assert done.returncode == 0, done.stdout
    done = ltbench_here("check", "sad")
    assert done.returncode == 2
    assert "did you mean 'sade'" in done.stderr
