"""The commands of docs/own-data.md run in order, each owner on a small generated set."""

from __future__ import annotations

import csv
import re
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
from PIL import Image, ImageDraw

from ltbench.report.page import picture

CommandLine = Callable[..., CompletedProcess[str]]
PAGE = (Path(__file__).resolve().parents[2] / "docs" / "own-data.md").read_text(encoding="utf-8")
_, BIRDS, SCANS, SMEARS = PAGE.split("\n## ")
COLOURS = ((220, 60, 60), (60, 200, 60), (70, 70, 230))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LTBENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def here(tmp_path: Path) -> Path:
    folder = tmp_path / "cwd"
    folder.mkdir(exist_ok=True)
    return folder


def draw(path: Path, label: int, rng: np.random.Generator) -> None:
    """A disc or a square on grey, with noise: a class that can be learned."""
    image = Image.new("RGB", (16, 16), (90, 90, 90))
    x, y = (int(v) for v in rng.integers(1, 6, 2))
    pen = ImageDraw.Draw(image)
    (pen.rectangle if label % 2 else pen.ellipse)((x, y, x + 8, y + 8), fill=COLOURS[label % 3])
    noisy = np.asarray(image, dtype=float) + rng.normal(0, 40, (16, 16, 3))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(path)


def folders(root: Path, counts: dict[str, int]) -> None:
    rng = np.random.default_rng(0)
    for label, (name, count) in enumerate(counts.items()):
        for number in range(count):
            draw(root / name / f"{number}.png", label, rng)


def commands(part: str) -> list[list[str]]:
    lines = re.findall(r"^    (ltbench .+)$", part, re.MULTILINE)
    return [shlex.split(line, comments=True)[1:] for line in lines]


def tables(part: str) -> dict[str, str]:
    """Files that the text shows: named in it, each before its block, in the same order."""
    blocks = re.findall(r"```csv\n(.*?)```", part, re.DOTALL)
    shown = part.split("```csv")
    names: list[str] = []
    for text in shown[:-1]:
        last = text.rstrip().rsplit("\n\n", 1)[-1]
        names += re.findall(r"`(\w+\.csv)`", last)
    assert len(names) == len(blocks) > 0
    return dict(zip(names, blocks, strict=True))


def shorter(protocol: Path) -> None:
    """One epoch, and one draw of every test set."""
    text = protocol.read_text(encoding="utf-8")
    for name, number in (("epochs", 1), ("draws", 1)):
        text, found = re.subn(rf"(?m)^{name} = \d+", f"{name} = {number}", text)
        assert found == 1, name
    protocol.write_text(text, encoding="utf-8")


def play(
    part: str,
    here: Path,
    ltbench: CommandLine,
    between: dict[str, Callable[[], None]],
    *,
    figures: bool = False,
) -> dict[str, str]:
    """Output by the first word; ``between``: what the owner does after a command that begins so.

    figures: whether the report draws them, as the page has it.
    """
    for name, text in tables(part).items():
        (here / name).write_text(text, encoding="utf-8")
    said: dict[str, str] = {}
    for words in commands(part):
        plain = words[0] == "report" and not figures
        done = ltbench(*words, *(["--no-figures"] if plain else []))
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        assert "Traceback" not in done.stderr
        said[words[0]] = " ".join(done.stdout.split())
        between.get(words[0], lambda: None)()
    return said


def written_rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_birds(ltbench_here: CommandLine, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture, "KINDS", ("png",))  # no PDF, whose fonts take most of the time
    monkeypatch.setenv(
        "LTBENCH_CACHE", str(here.parent / "cache")
    )  # other tests shall not find these
    folders(here / "photos", {"crow": 40, "blue tit": 22, "waxwing": 12})
    after_new = {"new": lambda: shorter(here / "birds.toml")}
    said = play(BIRDS, here, ltbench_here, after_new, figures=True)
    assert "Mix garden: crow 70 %, blue tit 20 %, waxwing 10 %" in said["decide"]
    assert "to measure them" not in said["decide"]
    rows = written_rows(here / "garden-rows.csv")
    assert {row["row"] for row in rows if row["exact"] == "True"} == {"ce", "balanced-softmax"}
    (adapted,) = [row for row in rows if row["row"] == "ce+em"]
    assert adapted["interval_over"] == "seeds"
    assert all(row["backward_set"] and row["uniform"] for row in rows)
    guesses = written_rows(here / "guesses.csv")
    assert {"file", "label", "prediction", "crow", "blue tit", "waxwing"} == set(guesses[0])
    assert "Your mix" in (here / "results/report/report.html").read_text(encoding="utf-8")
    assert (here / "results/report/birds/figures/confusion.png").stat().st_size > 5000


def scans(here: Path) -> dict[str, str]:
    """The patient of each file."""
    rng = np.random.default_rng(1)
    patient: dict[str, str] = {}
    lines = ["file,label,patient"]
    for number in range(40):
        name, label = ("melanoma", 1) if number % 4 == 0 else ("naevus", 0)
        for shot in range(1 + number % 3):
            file = f"scans/{number}-{shot}.png"
            draw(here / file, label, rng)
            patient[file] = f"P{number}"
            lines.append(f"{file},{name},P{number}")
    (here / "scans.csv").write_text("\n".join(lines), encoding="utf-8")
    return patient


def theirs(here: Path) -> None:
    """A network that is right of all but every seventh image."""
    lines = ["file,melanoma,naevus"]
    test = [row for row in written_rows(here / "moles.csv") if row["split"] == "test"]
    for number, row in enumerate(test):
        sick = (row["label"] == "melanoma") != (number % 7 == 0)
        lines.append(f"{row['file']},{2.5 if sick else -2.5},{-1.25 if sick else 1.5}")
    (here / "theirs.csv").write_text("\n".join(lines), encoding="utf-8")


def test_scans(ltbench_here: CommandLine, here: Path) -> None:
    patient = scans(here)

    def after_new() -> None:
        shorter(here / "moles.toml")
        theirs(here)

    said = play(SCANS, here, ltbench_here, {"new": after_new})
    sides: dict[str, set[str]] = {}
    for row in written_rows(here / "moles.csv"):
        sides.setdefault(patient[row["file"]], set()).add(row["split"])
    assert all(len(found) == 1 for found in sides.values())
    for mix in ("Mix clinic: naevus 80 %", "Mix screening: naevus 97 %"):
        assert mix in said["decide"]
    assert "theirs (imported)" in said["decide"]
    assert "over test images, class by class (fewer than three seeds)" in said["decide"]


def test_smears(ltbench_here: CommandLine, here: Path) -> None:
    folders(here / "smears/train", {"negative": 400, "positive": 4})
    folders(here / "smears/test", {"negative": 200, "positive": 10})

    def after_new() -> None:
        protocol = here / "smears.toml"
        shorter(protocol)
        text = protocol.read_text(encoding="utf-8")
        assert "# holdout = 0.1 " in text
        protocol.write_text(text.replace("# holdout = 0.1 ", "holdout = 0.1 "), encoding="utf-8")

    said = play(SMEARS, here, ltbench_here, {"new": after_new})
    binary = written_rows(here / "results/report/smears/tables/binary.csv")
    uniform = [row for row in binary if row["test_set"] == "U" and "+" not in row["method"]]
    assert {row["method"] for row in uniform} == {"ce", "balanced-softmax"}
    assert all(row["sensitivity_at_threshold"] and row["specificity"] for row in uniform)
    assert "to answer negative whatever the image has 99.5 % here" in said["decide"]
    assert "to answer negative whatever the image has 90.9 % here" in said["decide"]
    assert "Sensitivity Specificity" in said["decide"]


def test_the_page_ends_each_part_with_a_decision() -> None:
    parts: Sequence[str] = (BIRDS, SCANS, SMEARS)
    for part in parts:
        assert "**The decision.**" in part
        assert next(words[0] for words in commands(part)) == "new"
        assert "decide" in [words[0] for words in commands(part)]
