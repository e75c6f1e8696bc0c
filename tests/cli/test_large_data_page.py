"""docs/large-data.md: its numbers are those of the protocols, its rehearsal runs as it stands."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from ltbench.data.official_lists import LISTS
from ltbench.protocol.file import load_protocol_config
from tests.list_sets import write_gratings

CommandLine = Callable[..., CompletedProcess[str]]
PAGE = (Path(__file__).resolve().parents[2] / "docs" / "large-data.md").read_text(encoding="utf-8")
REHEARSAL = PAGE.split("\n## A rehearsal")[1]
LARGE = ("imagenet-lt", "places-lt", "inat18-lt")


def fenced(language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", REHEARSAL, re.DOTALL | re.MULTILINE)
    return str(found)


def commands(text: str) -> list[list[str]]:
    return [shlex.split(line)[1:] for line in re.findall(r"^    (ltbench .+)$", text, re.MULTILINE)]


def small_set(here: Path) -> None:
    """Laid out like ImageNet: a folder a class below ``train`` and ``val``."""
    write_gratings(here / "small", head=40, test=4)
    (here / "small/test").rename(here / "small/val")
    for name in ("train.txt", "test.txt"):
        (here / "small" / name).unlink()


def test_the_rehearsal_runs_as_it_stands(
    ltbench_here: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LTBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("LTBENCH_LOADERS", "0")  # a process of them takes longer than the images
    small_set(tmp_path)
    exec(compile(fenced("python"), "large-data.md", "exec"), {})
    tested = Path("test.txt").read_text().splitlines(keepends=True)
    assert len(tested) == 40
    published = [line for line in tested if not line.endswith(" 9\n")][::-2]
    Path("small_forward2.txt").write_text("".join(published))
    Path("rehearsal.toml").write_text(fenced("toml"))
    said = []
    words = commands(REHEARSAL)
    assert [each[0] for each in words] == ["data", "run", "run", "report"]
    for each in words:
        plain = ["--no-figures"] if each[0] == "report" else []  # nobody looks at them
        done = ltbench_here(*each, *plain)
        assert done.returncode == 0, (each, done.stdout, done.stderr)
        said.append(done.stdout)
    check, dry, run, report = (" ".join(text.split()) for text in said)
    assert f"forward2: small_forward2.txt, {len(published)} lines, no published list" in check
    assert "not here, so drawn by ltbench: small_backward2.txt" in check
    assert f"forward2: {len(published)} (9 classes" in check
    for text in (dry, run):
        assert "published test lists that are not here: small_backward2.txt" in text
    assert "Rehearsal" in report
    records = [
        json.loads(path.read_text())
        for path in Path("results/rehearsal/ce").glob("0-*/evaluations/*.json")
    ]
    plain = next(each for each in records if each["strategy"] == "none")["distributions"]
    assert plain["forward2"]["definition"]["published"]["file"] == "small_forward2.txt"
    assert plain["forward2"]["definition"]["counts"][9] == 0
    assert plain["forward2"]["draws"]["0"]["n"] == len(published)
    assert plain["forward2"]["draws"]["1"]["n"] == len(published)
    assert plain["backward2"]["definition"]["published"] is None


def test_lists_on_the_page_are_those_of_the_protocols() -> None:
    rows = dict(re.findall(r"^\| `(\w+\.txt)` \| (.*) \|$", PAGE, re.MULTILINE))
    known = {each.file: each.blob for each in reversed(LISTS)}
    seen = 0
    for name in LARGE:
        for asked in load_protocol_config(name).data.lists.values():
            lines, _, blob = rows[asked.file].split(" | ")
            assert int(lines.replace(",", "")) == asked.lines
            assert blob == f"`{asked.blob}`"
            assert known[asked.file] == asked.blob
            seen += 1
    assert seen == len(rows) == 8


def test_every_published_list_that_a_protocol_names_is_known() -> None:
    files = {each.file for each in LISTS}
    for name in LARGE:
        test = load_protocol_config(name).test
        for ratio in test.ratios:
            for kind in ("forward", "backward"):
                assert test.published.replace("{name}", f"{kind}{ratio:g}") in files


def test_commands_of_the_page_name_options_that_there_are(ltbench_here: CommandLine) -> None:
    for each in commands(PAGE):
        shown = ltbench_here(*(each[:2] if each[0] == "data" else each[:1]), "--help").stdout
        for option in (word for word in each if word.startswith("--")):
            assert option in shown, (each, option)


@pytest.mark.parametrize("name", [*LARGE, "imagenet-lt-r10"])
def test_without_images_it_is_said_what_is_needed(name: str, ltbench_here: CommandLine) -> None:
    done = ltbench_here("data", "check", name)
    assert done.returncode == 2
    assert done.stdout.count(" needs: ") == 1
    assert "give --data-dir" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "transcribed" in Path(load_protocol_config(name).origin).read_text().lower()
