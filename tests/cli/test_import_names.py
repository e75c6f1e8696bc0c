"""Names of imported models, and the class order that their outputs are read in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import ltbench
from ltbench.errors import InputError
from ltbench.names import check_name
from ltbench.report.build import build_report

LABELS = np.repeat([0, 1, 2], [40, 20, 10])
LOGITS = np.eye(3, dtype="f4")[LABELS] * 3 + np.linspace(0, 1, 210, dtype="f4").reshape(70, 3)
COUNTS = np.array([200, 100, 50])


def test_a_name_with_capitals_stands_in_the_table(tmp_path: Path) -> None:
    ltbench.import_outputs(LOGITS, LABELS, counts=COUNTS, name="ResNet18", results=tmp_path)
    found = ltbench.load_results(tmp_path)
    assert set(found["method"]) == {"ResNet18"}
    report = build_report(tmp_path, figures=False)
    tables = list(Path(report.output).glob("*/report.md"))
    assert "ResNet18 (imported)" in tables[0].read_text(encoding="utf-8")


def test_names_that_differ_in_case_alone_are_refused(tmp_path: Path) -> None:
    ltbench.import_outputs(LOGITS, LABELS, counts=COUNTS, name="ResNet18", results=tmp_path)
    with pytest.raises(InputError, match="'resnet18' differs in case alone from 'ResNet18'"):
        ltbench.import_outputs(LOGITS + 1, LABELS, counts=COUNTS, name="resnet18", results=tmp_path)
    again = ltbench.import_outputs(LOGITS, LABELS, counts=COUNTS, name="ResNet18", results=tmp_path)
    assert again.folder.parent.name == "ResNet18"
    with pytest.raises(InputError, match="is that of a method of ltbench but for case \\('sade'"):
        ltbench.import_outputs(LOGITS, LABELS, counts=COUNTS, name="SADE", results=tmp_path)


@pytest.mark.parametrize("name", ["CON", "Com1.x", "Ä", "-A", "A b", "../A", "A" * 65, "K\u212a"])
def test_capitals_make_no_unsafe_name_safe(name: str) -> None:
    with pytest.raises(InputError, match="is not usable"):
        check_name(name, "--name", capitals=True)


def test_names_of_plugins_and_protocols_stay_small() -> None:
    with pytest.raises(InputError, match="is not usable"):
        check_name("ResNet18", "name")


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (
            tuple(map(str, range(11))),
            "(whole numbers by value, not sorted as text): 0 = '0', 1 = '1'",
        ),
        (("class1", "class10", "class2"), "(sorted as text): 0 = 'class1', 1 = 'class10'"),
    ],
)
def test_the_class_order_of_a_folder_is_told(
    names: tuple[str, ...], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LTBENCH_CACHE", str(tmp_path / "cache"))
    for name in names:
        for split in ("train", "test"):
            folder = tmp_path / "own" / split / name
            folder.mkdir(parents=True)
            for k in range(2):
                Image.new("RGB", (8, 8), (20 * k, 0, 0)).save(folder / f"{k}.png")
    (tmp_path / "own.toml").write_text(
        f"name='own'\nversion='1'\ntitle='Own'\n[data]\nsource='image-folder'\npath='own'\n"
        f"classes={len(names)}\nimage_size=8\n[train]\nprofile='all'\n"
        "[recipe]\nepochs=1\nbatch_size=8\nlr=0.1\n"
    )
    labels = np.repeat(np.arange(len(names)), 2)
    done = ltbench.import_outputs(
        np.eye(len(names), dtype="f4")[labels] * 3,
        labels,
        name="mine",
        protocol=str(tmp_path / "own.toml"),
        results=tmp_path / "r",
    )
    assert any(told in note for note in done.notes)


def test_a_left_out_set_is_in_the_output_and_in_the_caption(tmp_path: Path) -> None:
    labels = np.repeat([0, 1], [400, 3])
    logits = np.eye(2, dtype="f4")[labels] * 2
    for ratio in (2, 100):
        done = ltbench.import_outputs(
            *(logits, labels),
            counts=np.array([800, 6]),
            name="mine",
            results=tmp_path,
            **{"test.ratios": [ratio]},
        )
    assert any(note.startswith("no test set backward100: class 1 has 3") for note in done.notes)
    build_report(tmp_path, figures=False)
    text = next((tmp_path / "report").glob("*/report.md")).read_text(encoding="utf-8")
    caption = next(line for line in text.splitlines() if "Images per test set" in line)
    assert "Images per test set: 303 (F100), 9 (F2), 6 (U), 4 (B2)." in caption.replace(
        "450", "450"
    )
    assert "Left out for want of test images: B100 (class 1 has 3 test images" in caption
