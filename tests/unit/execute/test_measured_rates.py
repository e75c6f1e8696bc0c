"""Plans estimate from what this machine measured; the file of it can harm nothing."""

from __future__ import annotations

import json
import multiprocessing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from ltbench.cli.plan_table import print_plan
from ltbench.errors import InputError
from ltbench.execute import evaluate_trial, measured_rates
from ltbench.execute.estimate import MACHINE, ROUGH, SIBLING, Estimate, told_basis
from ltbench.execute.job import Settings
from ltbench.execute.measured_rates import (
    add_rate,
    conditions,
    is_of_one_piece,
    measured_path,
    read_rates,
)
from ltbench.execute.plan import Plan
from ltbench.execute.prepare import prepare
from ltbench.execute.request import Request
from ltbench.execute.run_trial import run_job
from ltbench.protocol.file import load_protocol_config
from ltbench.trial import store
from ltbench.trial.trial import Trial

CPU = torch.device("cpu")
KIND = {"method": "ce", "threads": 1}
OTHER = {"method": "sade", "threads": 1}
QUICK: dict[str, Any] = {"recipe.epochs": 2, "test.draws": 1, "test.ratios": (2.0,)}


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LTBENCH_CACHE", str(tmp_path / "cache"))


def stored() -> list[Any]:
    return list(json.loads(measured_path().read_text())["trainings"])


def medians() -> dict[str, float]:
    return {json.loads(key)["method"]: rate for key, rate in read_rates(CPU).medians.items()}


def plan(tmp_path: Path, methods: str = "ce", *, results: str = "results", **changes: Any) -> Plan:
    asked = {"seeds": (0,), "device": "cpu", "overrides": QUICK, "jobs": 1, **changes}
    return prepare(Request(methods, "digits-lt", results=tmp_path / results, **asked))


def test_the_median_of_the_last_five(tmp_path: Path) -> None:
    for rate in (1.0, 2.0, 100.0, 101.0, 102.0, 103.0, 9000.0):
        add_rate(KIND, rate)
    add_rate(OTHER, 7)
    assert medians() == {"ce": 102.0, "sade": 7.0}
    assert [len(entry["images_per_second"]) for entry in stored()] == [5, 1]


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), float("inf"), 1e300, True, "5", None])
def test_what_is_no_rate_is_left_out(rate: Any) -> None:
    add_rate(KIND, rate)
    assert not measured_path().exists()


def test_the_kinds_measured_last_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measured_rates, "_KINDS", 3)
    for number in (0, 1, 2, 0, 3):
        add_rate({"method": str(number)}, 10.0)
    assert list(medians()) == ["2", "0", "3"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x80\x04\x95 a pickle",
        b'{"format": 1, "trainings": [{"conditions": {"method": "ce"}',
        b"[]",
        b"null",
        b'{"format": 2, "trainings": [{"conditions": {"method": "x"}, "images_per_second": [3]}]}',
        b'{"format": 1, "trainings": 5}',
        b'{"format": 1, "trainings": {"a": 1}}',
        b"[" * 200_000,
        b" " * 1_000_001,
    ],
    ids=["empty", "pickle", "cut", "list", "null", "newer", "number", "object", "deep", "large"],
)
def test_a_file_that_is_not_ours_counts_as_empty_and_is_written_anew(content: bytes) -> None:
    measured_path().parent.mkdir()
    measured_path().write_bytes(content)
    assert not read_rates(CPU).medians
    add_rate(KIND, 10.0)
    assert medians() == {"ce": 10.0}


@pytest.mark.parametrize(
    "rates", ["[]", "[0]", "[NaN]", "[Infinity]", '["5"]', "[true]", "{}", "9"]
)
def test_an_entry_that_is_none_goes_and_the_others_stay(rates: str) -> None:
    measured_path().parent.mkdir()
    good = '{"conditions": {"method": "ce"}, "images_per_second": [10]}'
    bad = f'{{"conditions": {{"method": "sade"}}, "images_per_second": {rates}}}'
    nested = '{"conditions": {"method": ["x"]}, "images_per_second": [10]}'
    measured_path().write_text(f'{{"format": 1, "trainings": [{bad}, {good}, {nested}, 3]}}')
    assert medians() == {"ce": 10.0}


def test_a_cache_that_cannot_be_used_is_no_failure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LTBENCH_CACHE", str(tmp_path / "file"))
    add_rate(KIND, 10.0)
    assert not read_rates(CPU).medians
    monkeypatch.setenv("LTBENCH_CACHE", str(tmp_path / "cache"))
    measured_path().mkdir(parents=True)  # a folder of that name
    add_rate(KIND, 10.0)
    assert not read_rates(CPU).medians
    assert [each.name for each in measured_path().parent.iterdir()] == ["measured.json"]


def test_no_home_folder_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(measured_rates, "cache_root", nowhere)
    add_rate(KIND, 10.0)
    assert not read_rates(CPU).medians


def _add_many(name: str) -> None:
    for _ in range(20):
        add_rate({"method": name}, 10.0)


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="needs fork")
def test_writers_at_the_same_time_leave_a_whole_file() -> None:
    fork = multiprocessing.get_context("fork")
    writers = [fork.Process(target=_add_many, args=(name,)) for name in ("a", "b", "c")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    assert stored()  # of some a figure may be lost, what is there can be read
    assert set(medians()) <= {"a", "b", "c"}
    assert set(medians().values()) == {10.0}
    assert [each.name for each in measured_path().parent.iterdir()] == ["measured.json"]


@pytest.mark.parametrize(
    ("changes", "of_settings"),
    [
        ({"model.backbone": "resnet20"}, {}),
        ({"data.image_size": 64}, {}),
        ({"recipe.batch_size": 64}, {}),
        ({"recipe.norm_batch": 32}, {}),
        ({"recipe.augment": "cutout"}, {}),
        ({}, {"threads": 2}),
        ({}, {"speed": "compile"}),
        ({"recipe.norm_batch": 32}, {"processes": 2}),
        ({"recipe.norm_batch": 32}, {"accumulate": 2}),
    ],
)
def test_what_changes_the_cost_is_another_kind(
    changes: dict[str, Any], of_settings: dict[str, Any]
) -> None:
    def told(sets: dict[str, Any], settings: Settings) -> dict[str, str | int]:
        protocol = load_protocol_config("cifar100-lt", sets)
        trial = Trial(protocol, "ce", {}, 1, "", protocol.recipe, 0, "float32", "a", "b")
        return conditions(trial, 1, settings, CPU, streamed=False)

    plain = Settings(results="results", device="cpu")
    assert told(changes, replace(plain, **of_settings)) != told({}, plain)
    assert told({"recipe.epochs": 3}, plain) == told({}, replace(plain, results="elsewhere"))


def test_pieces_are_told_from_the_record() -> None:
    whole = {"resumed_elsewhere": False, "preemptions": 0}
    assert is_of_one_piece(whole)
    assert not is_of_one_piece({**whole, "preemptions": 1})
    assert not is_of_one_piece({**whole, "resumed_elsewhere": True})


def test_a_training_tells_the_next_plan_how_long_it_takes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from rich.console import Console

    def words(planned: Plan) -> str:
        print_plan(planned, Console(width=200, no_color=True))
        return capsys.readouterr().out

    first = plan(tmp_path)
    assert first.trials[0].estimate.basis == ROUGH
    assert "(a rough estimate)" in words(first)
    run_job(first.trials[0].job, lambda event: None, lambda: False)
    record = json.loads((first.trials[0].folder / store.TRIAL).read_text())
    (entry,) = stored()
    assert entry["images_per_second"] == [record["cost"]["images_per_second"]]

    # In another results folder: a straight line in the epochs, at the measured rate.
    ten, twenty = (
        plan(tmp_path, results="other", overrides={**QUICK, "recipe.epochs": 2 * n})
        for n in (10, 20)
    )
    assert ten.trials[0].estimate.basis == MACHINE
    assert "(training time measured on this machine)" in words(ten)
    images = sum(record["data"]["train_counts"])
    expected = 20 * images / record["cost"]["images_per_second"]
    more = twenty.trials[0].estimate.seconds - ten.trials[0].estimate.seconds
    assert more == pytest.approx(expected, rel=1e-6)

    beside = plan(tmp_path, seeds=(1,))
    assert beside.trials[0].estimate.basis == SIBLING
    assert plan(tmp_path, "sade", seeds=(1,)).trials[0].estimate.basis == ROUGH
    other = {**QUICK, "recipe.batch_size": 16}
    assert plan(tmp_path, results="other", overrides=other).trials[0].estimate.basis == ROUGH
    both = plan(tmp_path, "ce,sade", results="other")
    assert "(training time of 1 measured on this machine, of 1 a rough estimate)" in words(both)

    # A trial whose rate cannot be written down ends as well.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measured_rates, "write_text", _refused)
        run_job(beside.trials[0].job, lambda event: None, lambda: False)
    assert (beside.trials[0].folder / store.TRIAL).exists()
    assert stored() == [entry]


def _refused(*args: object, **kwargs: object) -> None:
    raise InputError("read-only")


def test_an_evaluation_tells_the_next_plan_how_long_it_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = {"ce": 500.0, "ce+em": 300.0}
    add = evaluate_trial.add_row_seconds
    monkeypatch.setattr(
        evaluate_trial, "add_row_seconds", lambda asked, s: add(asked, slow.get(asked["row"], s))
    )
    first = plan(tmp_path, "ce,ce+em")
    run_job(first.trials[0].job, lambda event: None, lambda: False)
    found = json.loads(measured_path().read_text())["evaluations"]
    told = {entry["conditions"]["row"]: entry["seconds"] for entry in found}
    assert (told["ce"], told["ce+em"]) == ([500.0], [300.0])
    kinds = {json.dumps(entry["conditions"]) for entry in found}
    again = plan(tmp_path, "ce,ce+em", seeds=(1,))
    assert 800 < again.trials[0].estimate.seconds < 810
    assert 500 < plan(tmp_path, "ce", seeds=(1,)).trials[0].estimate.seconds < 510
    # One of its rows was never evaluated here, on other test sets none was.
    assert plan(tmp_path, "ce,ce+tilt", seeds=(1,)).trials[0].estimate.seconds < 100
    other = {**QUICK, "test.draws": 2}
    assert plan(tmp_path, "ce", seeds=(1,), overrides=other).trials[0].estimate.seconds < 100
    # Of a row that has some of its test sets, the seconds of the others tell nothing.
    more = {**QUICK, "test.ratios": (2.0, 5.0)}
    run_job(plan(tmp_path, "ce", overrides=more).trials[0].job, lambda event: None, lambda: False)
    found = json.loads(measured_path().read_text())["evaluations"]
    assert {json.dumps(entry["conditions"]) for entry in found} == kinds


def test_what_is_only_evaluated_stands_on_no_training() -> None:
    assert told_basis([Estimate(3.0, 0, "")]) == "a rough estimate"
    done = [Estimate(3.0, 0, ""), Estimate(3.0, 0, SIBLING)]
    assert told_basis(done) == "training time measured on finished trials of it"
