"""``ltbench new protocol --images`` and ``--table``: what is written fits the images and runs at once."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
from PIL import Image

from ltbench import load_protocol, load_results
from ltbench.data.sources import open_data
from ltbench.scaffold.own_data import look_at_folder
from ltbench.scaffold.write_own import write_own_protocol
from ltbench.task import build_task

CommandLine = Callable[..., CompletedProcess[str]]


def photos(folder: Path, counts: dict[str, int], side: int = 20) -> Path:
    random = np.random.RandomState(0)
    for name, count in counts.items():
        (folder / name).mkdir(parents=True)
        for number in range(count):
            pixels = random.randint(0, 256, (side + 3, side, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    return folder


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LTBENCH_CACHE", str(tmp_path / "cache"))


def test_from_class_folders_to_a_row(ltbench_here: CommandLine, tmp_path: Path) -> None:
    here = tmp_path / "cwd"
    photos(here / "my birds", {'a "crow"': 40, "owl": 20, "zaunkönig": 7})
    made = ltbench_here("new", "protocol", "birds", "--images", "my birds")
    assert made.returncode == 0, made.stderr
    assert "a test set drawn from images that have none, 20% of each class and 5" in made.stdout
    protocol = load_protocol(str(here / "birds.toml"))
    task = build_task(protocol, open_data(protocol.data))
    assert task.train.counts.tolist() == [32, 15, 2]
    assert task.left_out == {}
    assert all(task.groups.values())
    assert protocol.data.image_size == 16
    done = ltbench_here(
        "run", "--methods", "ce", "--protocol", "birds.toml", "--seeds", "1",
        "--set", "recipe.epochs=1", "--device", "cpu",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    found = load_results(here / "results")
    assert {"forward2", "backward2", "uniform"} <= set(found["distribution"])


def test_the_expected_mix_names_every_class(tmp_path: Path) -> None:
    """Taken out of its comment it says something of all classes: none has share 0 unnoticed."""
    photos(tmp_path / "set", {"a, b": 30, "c": 20, 'd "e"': 12, "é": 9, "g": 8})
    written = write_own_protocol("x", tmp_path / "set", tmp_path)
    text = written.protocol.read_text(encoding="utf-8")
    text = text.replace("# [test.mixes]", "[test.mixes]").replace("# expected", "expected")
    written.protocol.write_text(text, encoding="utf-8")
    protocol = load_protocol(str(written.protocol))
    assert dict(protocol.test.mixes["expected"]) == dict(
        zip(written.data.classes, written.data.train.tolist(), strict=True)
    )


def test_a_patient_stays_on_one_side(ltbench_here: CommandLine, tmp_path: Path) -> None:
    here = tmp_path / "cwd"
    photos(here / "scans", {"ill": 24, "well": 40})
    files = sorted((here / "scans").rglob("*.png"))
    lines = [
        f"scans/{path.parent.name}/{path.name},{path.parent.name},{path.parent.name}{number // 3}"
        for number, path in enumerate(files)
    ]
    (here / "scans.csv").write_text("file,label,patient\n" + "\n".join(lines))
    done = ltbench_here("new", "protocol", "loose", "--table", "scans.csv")
    assert "columns that did not count: patient; where images of one value" in done.stdout
    done = ltbench_here("new", "protocol", "kept", "--table", "scans.csv", "--group", "patient")
    assert done.returncode == 0, done.stderr
    assert "with equal values of patient on one side" in done.stdout
    assert "ltbench decide --mix expected.csv" in done.stdout
    patient = {line.split(",")[0]: line.split(",")[2] for line in lines}
    sides: dict[str, set[str]] = {}
    for line in (here / "kept.csv").read_text().splitlines()[1:]:
        file, _, side = line.split(",")
        sides.setdefault(patient[file], set()).add(side)
    assert all(len(found) == 1 for found in sides.values())
    for words, expected in (
        (
            ("--table", "kept.csv", "--group", "x"),
            "kept.csv has no column 'x', which --group names",
        ),
        (("--table", "scans.csv", "--group", "patint"), "did you mean 'patient'?"),
        (("--images", "scans", "--group", "patient"), "--group patient needs --table"),
        (("--group", "patient"), "--group patient needs --table"),
    ):
        done = ltbench_here("new", "protocol", "third", *words)
        assert done.returncode == 2
        assert expected in done.stderr
        assert not (here / "third.toml").exists()


def test_a_split_folder_and_a_table_are_taken_as_they_are(tmp_path: Path) -> None:
    root = tmp_path / "set"
    photos(root / "train", {"a": 12, "b": 6, "c": 3})
    photos(root / "test", {"a": 6, "b": 6, "c": 6})
    written = write_own_protocol("one", root, tmp_path / "here")
    assert written.table is None
    assert load_protocol(str(written.protocol)).data.source == "image-folder"
    protocol = load_protocol(str(written.protocol))
    assert Path(protocol.data.path) == root.resolve()
    lines = ["file,label,split"]
    lines += [
        f"set/{path.relative_to(root).as_posix()},{path.parent.name},{path.parent.parent.name}"
        for path in sorted(root.rglob("*.png"))
    ]
    (tmp_path / "list.csv").write_text("\n".join(lines))
    listed = write_own_protocol("two", tmp_path / "list.csv", tmp_path)
    assert (listed.table, listed.data.train.tolist()) == (None, [12, 6, 3])
    assert load_protocol(str(listed.protocol)).data.source == "table"


@pytest.mark.parametrize(
    ("train", "groups"),
    [
        ((1000, 5), (1, 0, 1)),
        ((300, 60, 4), (1, 1, 1)),
        ((30, 20, 10, 8, 6, 4), (2, 2, 2)),
        ((50, 50, 50), (0, 3, 0)),  # of equal size: nothing to tell apart
    ],
)
def test_groups_are_thirds_where_the_usual_ones_leave_one_empty(
    tmp_path: Path, train: tuple[int, ...], groups: tuple[int, ...]
) -> None:
    for split, counts in (("train", train), ("test", [4] * len(train))):
        for place, count in enumerate(counts):
            folder = tmp_path / split / f"c{place}"
            folder.mkdir(parents=True)
            for number in range(count):
                (folder / f"{number}.png").write_bytes(b"not looked at")
    data = look_at_folder(tmp_path)
    from ltbench.shift.groups import class_groups

    found = class_groups(data.train, data.groups)
    assert tuple(map(len, found.values())) == groups
    assert data.ratios == (2,)  # four images of each class: a fifth of them is none
    assert data.sides == ()


def test_a_ratio_that_leaves_a_class_without_images_is_not_written(tmp_path: Path) -> None:
    photos(tmp_path / "train", {"a": 9, "b": 8, "c": 7})
    photos(tmp_path / "test", {"a": 60, "b": 6, "c": 2})
    written = write_own_protocol("x", tmp_path, tmp_path)
    protocol = load_protocol(str(written.protocol))
    task = build_task(protocol, open_data(protocol.data))
    assert task.left_out == {}
    asked = {set_.name for set_ in task.test_sets}
    assert {f"forward{r:g}" for r in protocol.test.ratios} <= asked
    assert protocol.test.ratios == (2,)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("method", "m", "--images", "x"), "are for protocols, not for a method"),
        (("protocol", "m", "--images", "nowhere"), "nowhere does not exist"),
        (("protocol", "m", "--images", "x", "--table", "y"), "not both"),
        (("protocol", "digits-lt", "--images", "x"), "is called 'digits-lt' already"),
        (("protocol", "m", "--images", "x"), "x has no images"),
        (("protocol", "m", "--table", "x"), "x is a folder; give --images x"),
    ],
)
def test_what_cannot_be_is_one_line(
    ltbench_here: CommandLine, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    (tmp_path / "cwd" / "x").mkdir()
    done = ltbench_here("new", *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.rglob("*.toml"))


def test_a_class_too_small_to_split_is_named_with_what_helps(
    ltbench_here: CommandLine, tmp_path: Path
) -> None:
    folder = photos(tmp_path / "cwd" / "x", {"a": 20, "b": 4})
    done = ltbench_here("new", "protocol", "m", "--images", "x")
    assert done.returncode == 2
    assert "class 'b' has 4 images" in done.stderr
    assert "ltbench data split x --min-per-class 1 -o m.csv" in done.stderr
    shutil.rmtree(folder / "b")
    photos(folder, {"c": 9})
    assert ltbench_here("new", "protocol", "m", "--images", "x").returncode == 0


def test_training_images_alone_and_a_class_of_one_image(
    ltbench_here: CommandLine, tmp_path: Path
) -> None:
    """The hint is a command that works."""
    here = tmp_path / "cwd"
    photos(here / "alone" / "train", {"a": 20, "b": 10})
    done = ltbench_here("new", "protocol", "alone", "--images", "alone")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "--images alone/train" in done.stderr
    done = ltbench_here("new", "protocol", "alone", "--images", "alone/train")
    assert done.returncode == 0, done.stderr
    photos(here / "thin", {"a": 20, "b": 1})
    for words in (
        ("data", "split", "thin", "--min-per-class", "1", "-o", "thin.csv"),
        ("new", "protocol", "thin", "--images", "thin"),
    ):
        done = ltbench_here(*words)
        assert done.returncode == 2
        assert "class 'b' has one image" in done.stderr
        assert "leave the class out" in done.stderr
        assert "--min-per-class" not in done.stderr
