"""``ltbench evaluate``: what else a user's own model may bring, by its options."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pandas as pd
import pytest

CommandLine = Callable[..., CompletedProcess[str]]
NAMES = ["owl", "ant", "bee"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)

    def scores(
        labels: np.ndarray[tuple[int], np.dtype[np.int64]],
    ) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        z = rng.normal(size=(len(labels), 2, 3))
        z[np.arange(len(labels)), :, labels] += 1.5
        return z

    labels, held = np.repeat([0, 1, 2], [30, 30, 30]), np.repeat([0, 1, 2], [12, 6, 4])
    z = scores(labels)
    np.save(tmp_path / "z.npy", z)
    (tmp_path / "y.txt").write_text("\n".join(NAMES[y] for y in labels))
    (tmp_path / "classes.json").write_text(json.dumps({name: c for c, name in enumerate(NAMES)}))
    np.savetxt(tmp_path / "n.csv", [120, 60, 12], fmt="%d")
    np.save(tmp_path / "h.npy", scores(held))
    np.save(tmp_path / "hy.npy", held)
    views = np.stack([z + rng.normal(size=z.shape) / 3 for _ in range(4)])
    np.save(tmp_path / "v.npy", views.astype("f4"))
    frame = pd.DataFrame(z.mean(axis=1), columns=NAMES)
    frame.insert(0, "label", [NAMES[y] for y in labels])
    frame.insert(0, "index", range(90))
    frame.to_csv(tmp_path / "p.csv", index=False)
    return tmp_path


def given(folder: Path, *more: str) -> list[str]:
    files = {"logits": "z.npy", "labels": "y.txt", "classes": "classes.json", "counts": "n.csv"}
    words = [word for k, name in files.items() for word in (f"--{k}", str(folder / name))]
    rest = [str(folder / w) if (folder / w).is_file() else w for w in more]
    return ["evaluate", *words, "--name", "Mine", "--results", str(folder / "r"), *rest]


def test_every_option_reaches_the_strategies(ltbench_here: CommandLine, folder: Path) -> None:
    extras = ["--holdout-logits", "h.npy", "--holdout-labels", "hy.npy", "--view-logits", "v.npy"]
    wanted = "none,bbse,rlls,bcts-em,stability,mlls[temperature=holdout]"
    done = ltbench_here(*given(folder, *extras, "--strategies", wanted, "--set", "test.draws=1"))
    assert done.returncode == 0, done.stderr
    (trial,) = (folder / "r").glob("imported/Mine/*")
    assert len(list(trial.glob("evaluations/*.json"))) == 6
    record = json.loads((trial / "trial.json").read_text())
    assert record["data"]["class_names"] == NAMES
    assert {"holdout_logits", "holdout_labels", "view_logits", "classes"} <= set(
        record["imported"]["arrays"]
    )
    report = ltbench_here("report", "--results", folder / "r", "--no-figures")
    assert "Mine+stability (imported)" in report.stdout


def test_a_table_needs_no_other_file(ltbench_here: CommandLine, folder: Path) -> None:
    table = ["evaluate", "--predictions", folder / "p.csv", "--name", "mine"]
    done = ltbench_here(*table, "--counts", folder / "n.csv", "--results", folder / "r")
    assert done.returncode == 0, done.stderr
    assert "mine (imported): uniform top-1" in done.stdout
    assert ltbench_here(*table[:3]).returncode == 2
    both = ltbench_here(*table, "--logits", folder / "z.npy", "--results", folder / "r")
    assert "--logits and --labels go without" in both.stderr


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--strategies", "bbse"], "--holdout-logits FILE and --holdout-labels FILE give them"),
        (["--strategies", "stability"], "--view-logits FILE gives them"),
        (["--holdout-logits", "h.npy"], "--holdout-labels FILE is missing"),
        (["--holdout-labels", "hy.npy"], "--holdout-logits FILE is missing"),
        (["--view-logits", "z.npy"], "expected (V, 90, 2, 3) or (90, V, 2, 3)"),
    ],
)
def test_what_is_missing_names_its_option(
    ltbench_here: CommandLine, folder: Path, more: list[str], message: str
) -> None:
    done = ltbench_here(*given(folder, *more))
    assert done.returncode == 2
    assert message in done.stderr.splitlines()[-1]
    assert not list((folder / "r").rglob("*.json"))


def test_options_without_logits_are_refused(ltbench_here: CommandLine, folder: Path) -> None:
    done = ltbench_here("evaluate", "--holdout-logits", folder / "h.npy")
    assert done.returncode == 2
    assert "--holdout-logits belongs to --logits FILE" in done.stderr
