"""Recalls, streams, trials, settings as frames: their numbers against the records they come from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import ltbench

from .conftest import SHORT

PUBLISHED = Path(__file__).resolve().parents[3] / "results" / "published"


def test_recalls_agree_with_the_macro_recall_and_the_groups() -> None:
    frame = ltbench.load_results(PUBLISHED)
    uniform = frame[frame.distribution == "uniform"].set_index("evaluation")
    recalls = ltbench.load_recalls(PUBLISHED)
    own = recalls[recalls.expert.isna()]
    assert set(own.evaluation) == set(uniform.index)
    means = own.groupby("evaluation").recall.mean()
    np.testing.assert_allclose(means, uniform.macro[means.index], atol=1e-9)
    few = own[own.group == "few"].groupby("evaluation").recall.mean()
    np.testing.assert_allclose(few, uniform.few[few.index], atol=1e-9)
    images = own.groupby("evaluation").n_test.sum()
    assert (images == uniform.n_images[images.index]).all()


def test_recalls_of_experts_stand_beside_those_of_the_row(results: Path) -> None:
    recalls = ltbench.load_recalls(results)
    sade = recalls[recalls.label == "sade+none"]
    assert sorted(sade.expert.dropna().unique()) == [0, 1, 2]
    assert len(sade) == 4 * 10
    trial = ltbench.load_logits(sade.trial.iloc[0], results=results)
    hits = trial.logits[:, 1].argmax(dim=1) == trial.labels
    one = sade[sade.expert == 1].set_index("class")
    for c in range(10):
        expected = 100 * hits[trial.labels == c].double().mean().item()
        assert one.recall[c] == pytest.approx(expected, abs=1e-9)
    assert one.train_count.tolist() == [90, 58, 37, 25, 16, 10, 6, 3, 2, 1]


def test_streams_windows_add_up_to_the_whole(results: Path) -> None:
    whole, parts = ltbench.load_streams(results), ltbench.load_streams(results, windows=5)
    assert set(whole.order) == {"random", "drifting"}
    assert set(whole.arrival) == {"batch:64"}
    assert set(whole.label) == {"ce", "ce+oracle", "sade+none", "sade+oracle"}
    assert set(whole.strategy) == {"none", "oracle"}
    assert (whole.window == 1).all()
    np.testing.assert_allclose(whole.top1, whole.cumulative)
    assert len(parts) == 5 * len(whole)
    key = ["label", "distribution", "order"]
    seen = parts.assign(right=parts.top1 * parts.n_images).groupby(key)
    np.testing.assert_allclose(
        (seen.right.sum() / seen.n_images.sum()).sort_index(),
        whole.set_index(key).top1.sort_index(),
    )
    # A set whose draw 0 is met once, whatever the order, has one accuracy without adaptation.
    fixed = whole[whole.label == "ce"].groupby("distribution").top1
    np.testing.assert_allclose(fixed.min(), fixed.max())
    frame = ltbench.load_results(results, draws=0)
    ce = frame[frame.label == "ce"].set_index("distribution").top1
    np.testing.assert_allclose(fixed.min(), ce[fixed.min().index])


@pytest.mark.parametrize("windows", [0, -1, 1.5, True, "2"])
def test_windows_are_a_number_from_one(results: Path, windows: object) -> None:
    with pytest.raises(ValueError, match="windows"):
        ltbench.load_streams(results, windows=windows)  # type: ignore[arg-type]


def test_trials_are_listed_and_compared(results: Path) -> None:
    trials = ltbench.list_trials(results)
    assert set(trials.training) == {"ce", "sade"}
    assert set(trials.state) == {"finished"}
    files = [list(Path(folder).glob("evaluations/*.json")) for folder in trials.folder]
    assert trials.rows.tolist() == [len(rows) for rows in files]
    assert trials.rows.min() >= 2
    assert all(Path(folder).is_dir() for folder in trials.folder)
    first, second = trials.trial
    differences = ltbench.compare_trials(first, second, results=results)
    names = differences.set_index("key")
    assert (names["first"]["training.name"], names["second"]["training.name"]) == ("ce", "sade")
    assert len(ltbench.compare_trials(first, first, results=results)) == 0


def test_a_plan_says_what_run_would_do(results: Path) -> None:
    plan = ltbench.plan_trials(
        "ce,ride", "digits-lt", seeds=1, results=results, train={"holdout": 0.1}, **SHORT
    )
    assert dict(zip(plan.training, plan.state, strict=True)) == {"ce": "finished", "ride": "new"}
    assert dict(zip(plan.training, plan.complete, strict=True)) == {"ce": True, "ride": False}
    assert not Path(plan.folder.iloc[1]).exists()


def test_cleaning_lists_first_and_removes_when_told(results: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(results / "digits-lt", tmp_path / "digits-lt")
    folder = Path(ltbench.list_trials(tmp_path).folder.iloc[0])
    (folder / "checkpoint.safetensors").write_bytes(b"12345")
    listed = ltbench.clean_results(tmp_path, cache=False)
    assert listed.bytes.tolist() == [5]
    assert not listed.removed.any()
    assert (folder / "checkpoint.safetensors").exists()
    removed = ltbench.clean_results(tmp_path, cache=False, remove=True)
    assert removed.removed.all()
    assert not (folder / "checkpoint.safetensors").exists()
    assert (folder / "trial.json").exists()


def test_settings_tell_value_source_and_departure() -> None:
    frame = ltbench.resolve_settings("sade[tau=1]", "cifar10-lt").set_index("key")
    assert frame.value["tau"] == 1.0
    assert frame.source["tau"] == "as asked"
    assert frame.published["tau"] == 2.0
    assert frame.departs["tau"]
    assert frame.value["recipe.epochs"] == 200
    assert ltbench.resolve_settings("em[map=3]").set_index("key").value["map"] == 3.0
    asked = ltbench.resolve_settings("ce+em", "digits-lt", recipe={"epochs": 7})
    assert asked[asked.key == "recipe.epochs"].value.item() == 7
    assert "map" in set(asked[asked.of == "em"].key)
    for wrong, message in (("nope", "unknown method"), ("em[mapp=1]", "mapp")):
        with pytest.raises(ValueError, match=message):
            ltbench.resolve_settings(wrong)
    with pytest.raises(ValueError, match=r"recipe\.epochs overrides a protocol"):
        ltbench.resolve_settings("ce", recipe={"epochs": 7})


def test_a_missing_folder_is_a_value_error(tmp_path: Path) -> None:
    for read in (ltbench.load_recalls, ltbench.load_streams, ltbench.load_results):
        with pytest.raises(ValueError, match="does not exist"):
            read(tmp_path / "nowhere")
