"""Ensembles whose members were trained elsewhere: from two imports to rows of a report."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import ltbench
from ltbench import evaluate_trials, import_outputs, load_logits, load_results
from ltbench.data.sources import open_data
from ltbench.task import build_task
from ltbench.trial.checked import read_checked

CommandLine = Callable[..., CompletedProcess[str]]
Array = NDArray[Any]

PAGE = Path(__file__).resolve().parents[2] / "docs" / "ensembles.md"
QUICK: dict[str, Any] = {"test.draws": 2, "test.ratios": (2.0, 5.0)}
OPTIONS = ["--protocol", "digits-lt", "--set", "test.draws=2", "--set", "test.ratios=2,5"]
BOTH = ["--methods", "both,both+oracle", "--ensemble", "both=theirs,mine"]


@pytest.fixture(scope="module")
def labels() -> Array:
    return np.array(open_data(ltbench.load_protocol("digits-lt").data).test.labels)


def made_up(labels: Array, seed: int, experts: int = 1) -> Array:
    """Logits of a model that is often right."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(len(labels), experts, 10)) * 1.5
    z: Array = (noise + 2 * np.eye(10)[labels][:, None]).astype(np.float32)
    return z


@pytest.fixture(scope="module")
def two_imports(labels: Array, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``mine`` with two experts and ``theirs`` with one, each with a bias of its own."""
    results = tmp_path_factory.mktemp("two") / "results"
    for name, seed, experts in (("mine", 0, 2), ("theirs", 1, 1)):
        bias = np.linspace(0, seed, 10, dtype=np.float32)
        z = made_up(labels, seed, experts)
        import_outputs(
            z, labels, name=name, bias=bias, protocol="digits-lt", strategies="none",
            results=results, **QUICK,
        )  # fmt: skip
    return results


@pytest.fixture
def imported(two_imports: Path, tmp_path: Path) -> Path:
    """A copy of them for one test."""
    return Path(shutil.copytree(two_imports, tmp_path / "results"))


@pytest.fixture(scope="module")
def three_imports(
    two_imports: Path, labels: Array, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The same and ``bare``, which has no bias; for tests that write nothing."""
    results = Path(shutil.copytree(two_imports, tmp_path_factory.mktemp("three") / "results"))
    import_outputs(
        made_up(labels, 5), labels, name="bare", protocol="digits-lt", strategies="none",
        results=results, **QUICK,
    )  # fmt: skip
    return results


def read(results: Path, pattern: str) -> dict[str, Any]:
    (path,) = results.glob(pattern)
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def test_two_imports_make_a_row_whose_numbers_are_those_of_plain_numpy(
    ltbench_here: CommandLine, imported: Path, labels: Array
) -> None:
    done = ltbench_here("evaluate", *BOTH, *OPTIONS, "--results", imported)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "both (imported), replicate 0: uniform top-1" in done.stdout
    folder = "digits-lt/ensemble-both/0-*"
    assert not list(imported.glob(f"{folder}/*.safetensors"))
    record = read(imported, f"{folder}/evaluations/both+oracle-*.json")
    assert record["label"] == "both+oracle (imported)"
    assert record["model"]["experts"] == 3
    z, bias = made_up(labels, 0, 2), np.zeros((3, 10))
    z = np.concatenate([z, made_up(labels, 1)], axis=1)
    bias[2] = np.linspace(0, 1, 10)
    log_pi = np.log(np.array(record["train_counts"]) / sum(record["train_counts"]))
    protocol = ltbench.load_protocol("digits-lt", **QUICK)
    task = build_task(protocol, open_data(protocol.data))
    plain = read(imported, f"{folder}/evaluations/both+none-*.json")["distributions"]
    for test_set in task.test_sets:
        chosen = test_set.indices(labels, 0)
        prior = np.bincount(labels[chosen], minlength=10) / len(chosen)
        with np.errstate(divide="ignore"):
            best = (z + bias).mean(axis=1) - log_pi + np.log(prior)
        # Without a strategy: the mean over members of each member's mean.
        own = (z[:, :2].mean(axis=1) + z[:, 2]) / 2
        for scores, stored in ((best, record["distributions"]), (own, plain)):
            hits = scores[chosen].argmax(1) == labels[chosen]
            top1 = stored[test_set.name]["draws"]["0"]["top1"]
            assert top1 == pytest.approx(100 * hits.mean(), abs=1e-6)


def test_the_report_shows_it_beside_its_members(ltbench_here: CommandLine, imported: Path) -> None:
    assert ltbench_here("evaluate", *BOTH, *OPTIONS, "--results", imported).returncode == 0
    frame = load_results(imported)
    shown = {"both (imported)", "both+oracle (imported)", "mine (imported)", "theirs (imported)"}
    assert set(frame["label"]) == shown
    bibliography = imported / "all.bib"
    told = ltbench_here(*("report", "--results", imported, "--no-figures", "--cite", bibliography))
    assert told.returncode == 0, told.stdout + told.stderr
    assert "method mine (imported)" in bibliography.read_text()
    (table,) = imported.glob("report/digits-lt*/tables/main.csv")
    assert "both+oracle (imported)" in table.read_text()
    assert "imported" in ltbench_here("status", "--results", imported).stdout
    (folder,) = imported.glob("digits-lt/ensemble-both/0-*")
    joint = load_logits(folder)
    assert joint.logits.shape[1:] == (3, 10)
    assert joint.bias is not None
    assert joint.bias.shape == (3, 10)
    before = {p: p.stat().st_mtime_ns for p in folder.rglob("*.json")}
    assert ltbench_here("evaluate", *BOTH, *OPTIONS, "--results", imported).returncode == 0
    assert {p: p.stat().st_mtime_ns for p in folder.rglob("*.json")} == before


def test_a_member_that_is_imported_again_or_gone_makes_the_row_stale(
    ltbench_here: CommandLine, imported: Path
) -> None:
    evaluate = ["evaluate", *BOTH, *OPTIONS, "--results", imported]
    assert ltbench_here(*evaluate).returncode == 0
    (path,) = imported.glob("digits-lt/theirs/0-*/trial.json")
    path.write_text(json.dumps(read_checked(path) | {"created": "2027"}))
    told = ltbench_here("report", "--results", imported, "--no-figures")
    assert "its member theirs seed 0 was imported again" in told.stdout + told.stderr
    assert "both (imported)" not in set(load_results(imported)["label"])
    assert ltbench_here(*evaluate).returncode == 0
    assert "both (imported)" in set(load_results(imported)["label"])
    path.unlink()
    refused = ltbench_here(*evaluate)
    assert refused.returncode != 0
    assert "its member theirs" not in refused.stdout
    assert "theirs" in refused.stderr


def test_arrays_that_are_not_those_of_the_record_are_refused(
    ltbench_here: CommandLine, imported: Path
) -> None:
    (mine,) = imported.glob("digits-lt/mine/0-*/logits.safetensors")
    (theirs,) = imported.glob("digits-lt/theirs/0-*/logits.safetensors")
    mine.write_bytes(theirs.read_bytes())
    refused = ltbench_here("evaluate", *BOTH, *OPTIONS, "--results", imported)
    assert refused.returncode != 0
    assert "mine seed 0 cannot be a member: the logits in" in refused.stderr
    assert not list(imported.glob("digits-lt/ensemble-both/*"))


def test_without_a_protocol_and_with_seeds(labels: Array, tmp_path: Path) -> None:
    counts = np.arange(100, 0, -10)
    for seed in range(3):
        z = made_up(labels, seed)
        import_outputs(
            z, labels, name="Mine", counts=counts, seed=seed, strategies="none", results=tmp_path
        )
    done = evaluate_trials("2*Mine", "imported", results=tmp_path, quiet=True)
    assert len(done.finished) == 1
    done = evaluate_trials("1*Mine", "imported", results=tmp_path, quiet=True)
    assert len(done.finished) == 3
    frame = load_results(tmp_path)
    alone = frame[frame["label"] == "Mine (imported)"].set_index(["seed", "distribution", "draw"])
    one = frame[frame["label"] == "1*Mine (imported)"].set_index(["seed", "distribution", "draw"])
    assert len(one)
    assert one["top1"].equals(alone["top1"])
    with pytest.raises(
        ValueError, match="2\\*Mine has no replicate 1: Mine seed 3 is not imported"
    ):
        evaluate_trials("2*Mine", "imported", seeds=[1], results=tmp_path)


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ("labels", r"its test image 0 has label \d, that of mine seed 0 \d \(\d+ of \d+ differ\)"),
        ("images", r"it has \d+ test images, mine seed 0 has \d+"),
        ("counts", "its class 0 has 99 training images, that of mine seed 0 100"),
        ("classes", "it has 11 classes, mine seed 0 has 10"),
    ],
)
def test_imports_of_other_data_are_refused_with_the_difference(
    labels: Array, tmp_path: Path, change: str, difference: str
) -> None:
    counts, other, z = np.arange(100, 0, -10), labels, made_up(labels, 1)
    import_outputs(
        made_up(labels, 0), labels, name="mine", counts=counts, strategies="none", results=tmp_path
    )
    if change == "labels":
        other = labels[::-1].copy()
    elif change == "images":
        other, z = labels[:-1], z[:-1]
    elif change == "counts":
        counts = np.array([99, *counts[1:]])
    else:
        counts, z = np.array([*counts, 5]), np.concatenate([z, z[:, :, :1]], axis=2)
    import_outputs(z, other, name="theirs", counts=counts, strategies="none", results=tmp_path)
    with pytest.raises(ValueError, match=f"member theirs seed 0 .* other data: {difference}") as e:
        evaluate_trials("x", "imported", ensembles={"x": "mine,theirs"}, results=tmp_path)
    assert "\n" not in str(e.value)
    assert not list(tmp_path.glob("imported/ensemble-*"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["x", "--ensemble", "x=mine,ce"], "ensemble 'x': member 'mine': unknown method 'mine'"),
        (["x", "--ensemble", "x=ce,mine"], "members of ensembles with other imports alone"),
        (["mine", "--ensemble", "mine=mine,theirs"], "'mine' has the name of an import"),
        (["x+tent", "--ensemble", "x=mine,theirs"], "'tent' needs the network itself"),
        (["x", "--ensemble", "x=mine[a=1],theirs"], "imported outputs, which have no parameters"),
        (["x", "--ensemble", "x=mine,theirs", "--seeds", "3,"], "seeds"),
        (["2*mine"], "2*mine has no replicate 0: mine seed 1 is not imported (seeds that are: 0)"),
        (["2*mine", "--mode", "augmented"], "--mode is for trials of ltbench, not for 2*mine"),
        (["x", "--ensemble", "x=mine,bare", "--arrival", "batch:8"], "--arrival is for trials"),
        (["x+oracle", "--ensemble", "x=mine,bare"], "bare seed 0 was imported without --bias"),
        (["x", "--ensemble", "x=mine,theirs", "--set", "train.imbalance=10"], "training images"),
    ],
)
def test_what_is_wrong_is_one_line_and_writes_nothing(
    ltbench_here: CommandLine, three_imports: Path, words: list[str], message: str
) -> None:
    refused = ltbench_here("evaluate", "--methods", *words, *OPTIONS, "--results", three_imports)
    assert refused.returncode != 0
    assert message in refused.stderr, refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1 or "Usage" in refused.stderr
    assert not list(three_imports.glob("digits-lt/ensemble-*"))


def test_ensembles_belong_to_no_import(
    ltbench_here: CommandLine, imported: Path, labels: Array
) -> None:
    np.save(imported / "z.npy", made_up(labels, 7))
    np.save(imported / "y.npy", labels)
    given = ["--logits", imported / "z.npy", "--labels", imported / "y.npy", "--name", "other"]
    told = ltbench_here("evaluate", *given, "--ensemble", "both=mine,theirs", *OPTIONS)
    assert told.returncode == 2
    assert "import each model, then `ltbench evaluate --methods both" in told.stderr
    done = ltbench_here("evaluate", *BOTH, *OPTIONS, "--set", "seeds=2", "--results", imported)
    assert done.returncode == 0, done.stderr
    assert "note: both has no replicate 1: mine seed 1 is not imported" in done.stderr
    nothing = ltbench_here(
        *("run", "--methods", "ce", "--protocol", "imported", "--results", imported)
    )
    assert nothing.returncode == 2
    assert "'ce' is no ensemble: rows of the protocol 'imported'" in nothing.stderr
    words = ["--methods", "x", "--ensemble", "x=mine,nobody", "--protocol", "imported"]
    nobody = ltbench_here("evaluate", *words, "--results", imported)
    assert nobody.returncode == 2
    assert "its member 'mine' is not imported under" in nobody.stderr


def test_no_import_gets_the_name_of_an_ensemble_of_imports(
    ltbench_here: CommandLine, imported: Path, labels: Array
) -> None:
    assert ltbench_here("evaluate", *BOTH, *OPTIONS, "--results", imported).returncode == 0
    with pytest.raises(ValueError, match="name='both' is that of an ensemble of imports"):
        import_outputs(
            made_up(labels, 6), labels, name="both", protocol="digits-lt", results=imported
        )


def test_a_dry_run_lists_the_members_beside_the_plan(
    ltbench_here: CommandLine, imported: Path
) -> None:
    words = ["--methods", "ce,both", "--ensemble", "both=mine,theirs", *OPTIONS]
    told = ltbench_here("run", *words, "--results", imported, "--dry-run")
    assert told.returncode == 0, told.stderr
    assert "both 0: new, ensemble of imports: mine seed 0, theirs seed 0" in told.stdout
    assert "ce" in told.stdout
    assert not list(imported.glob("digits-lt/ensemble-*"))
    asked: dict[str, Any] = {"ensembles": {"both": "mine,theirs"}, "results": imported, **QUICK}
    states = []
    for _ in range(2):
        plan = ltbench.plan_trials("ce,both", "digits-lt", seeds=1, **asked).set_index("training")
        assert list(plan.index) == ["ce", "both"]
        states.append((plan.loc["both", "state"], bool(plan.loc["both", "complete"])))
        evaluate_trials("both", "digits-lt", **asked)
    assert states == [("new", False), ("finished", True)]
    assert plan.loc["both", "labels"] == "both (imported)"


def test_the_snippet_of_the_page_runs(
    labels: Array, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (snippet,) = re.findall(r"```python\n(.+?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    given = {"mine": made_up(labels, 0), "theirs": made_up(labels, 1), "labels": labels}
    exec(snippet, {"ltbench": ltbench, "zeros": np.zeros(10, np.float32), **given})
    shown = set(load_results("results")["label"])
    assert {"both (imported)", "both+tilt (imported)", "theirs (imported)"} <= shown


def test_what_all_members_bring_the_ensemble_has_too(
    ltbench_here: CommandLine, labels: Array, tmp_path: Path
) -> None:
    """Hold-out and views side by side; where one lacks them it is refused."""
    results, held = tmp_path / "results", np.arange(10).repeat(4)
    rng = np.random.default_rng(5)
    for seed, name in enumerate(("mine", "theirs", "bare")):
        extras: dict[str, Any] = {}
        if name != "bare":
            views = np.stack([made_up(labels, 10 * seed + v)[:, 0] for v in range(4 + 2 * seed)])
            noise = rng.normal(size=(40, 10))
            extras = {
                "holdout_logits": (noise + 2 * np.eye(10)[held]).astype(np.float32),
                "holdout_labels": held,
                "view_logits": views,
            }
        import_outputs(
            made_up(labels, seed), labels, name=name, bias=np.zeros(10, dtype=np.float32),
            protocol="digits-lt", strategies="none", results=results, **extras, **QUICK,
        )  # fmt: skip
    rows = "both+stability,both+bcts-mlls"
    words = (*OPTIONS, "--results", results)
    done = ltbench_here("evaluate", "--methods", rows, "--ensemble", "both=mine,theirs", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    (folder,) = results.glob("digits-lt/ensemble-both/0-*")
    joint = load_logits(folder)
    assert joint.holdout is not None
    assert joint.holdout.shape == (40, 2, 10)
    for row in ("stability", "bcts-mlls"):
        done = ltbench_here(
            "evaluate", "--methods", f"pair+{row}", "--ensemble", "pair=mine,bare", *words
        )
        assert done.returncode == 2
        assert f"{row!r} needs" in done.stderr
        assert done.stderr.count("\n") == 1
