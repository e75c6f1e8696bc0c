"""An ensemble whose member is trained again while its files are read is not evaluated."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import ltbench.python.logits as python_logits
from ltbench import load_logits, load_results, run
from ltbench.errors import LtbenchError
from ltbench.execute import trial_files
from ltbench.execute.context import load_tensors
from ltbench.execute.prepare import prepare
from ltbench.execute.request import Request
from ltbench.execute.run_trial import run_job
from ltbench.trial import store
from ltbench.trial.checked import read_checked
from tests.in_process import without_workers

QUICK: dict[str, Any] = {"recipe.epochs": 1, "test.draws": 1, "test.ratios": (2.0,)}


@pytest.fixture(scope="module", autouse=True)
def here() -> Iterator[None]:
    """Trials within this process."""
    with pytest.MonkeyPatch.context() as patch:
        without_workers(patch)
        yield


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    results = tmp_path_factory.mktemp("members") / "results"
    assert not run("ce", "digits-lt", seeds=2, results=results, quiet=True, **QUICK).failures
    return results


def trained_again(folder: Path, *, finished: bool) -> None:
    """What another process does: the record goes, arrays come, and then a record."""
    record = read_checked(folder / store.TRIAL)
    (folder / store.TRIAL).unlink()
    if finished:
        text = json.dumps(record | {"weights_sha256": "0" * 64})
        (folder / store.TRIAL).write_text(text)


def racing(folder: Path, file: str, *, finished: bool) -> Callable[[Path], dict[str, Tensor]]:
    """Reads arrays as ever; before those of ``file`` the member in ``folder`` becomes another."""
    done: list[Path] = []

    def read(path: Path) -> dict[str, Tensor]:
        if path == folder / file and not done:
            done.append(path)
            trained_again(folder, finished=finished)
        return load_tensors(path)

    return read


@pytest.mark.parametrize("finished", [False, True])
@pytest.mark.parametrize(
    ("row", "file", "file_name"),
    [
        ("2*ce", store.LOGITS, "2xce+none"),
        ("2*ce+bn-adapt", store.WEIGHTS, "2xce+bn-adapt"),
    ],
)
def test_nothing_is_written_from_a_member_that_changed_meanwhile(
    trained: Path,
    monkeypatch: pytest.MonkeyPatch,
    row: str,
    file: str,
    file_name: str,
    finished: bool,
) -> None:
    (member,) = trained.glob("digits-lt/ce/1-*")
    before = (member / store.TRIAL).read_text()
    request = Request(row, "digits-lt", seeds=(0,), results=trained, device="cpu", overrides=QUICK)
    (planned,) = prepare(request).trials
    monkeypatch.setattr(trial_files, "load_tensors", racing(member, file, finished=finished))
    words = "was trained again" if finished else "is not there, or not finished"
    try:
        with pytest.raises(LtbenchError, match=f"its member ce seed 1 {words}.* while it was read"):
            run_job(planned.job, lambda event: None, lambda: False)
        assert not list(planned.folder.glob(f"evaluations/{file_name}-*"))
        (member / store.TRIAL).write_text(before)
        run_job(planned.job, lambda event: None, lambda: False)
        assert list(planned.folder.glob(f"evaluations/{file_name}-*"))
        assert row in set(load_results(trained)["label"])
    finally:
        (member / store.TRIAL).write_text(before)
        for path in planned.folder.rglob("*.json"):
            path.unlink()


def test_logits_of_an_ensemble_are_not_half_of_one_member(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not run("2*ce", "digits-lt", seeds=1, results=trained, quiet=True, **QUICK).failures
    (folder,) = trained.glob("digits-lt/ensemble-2xce/0-*")
    (member,) = trained.glob("digits-lt/ce/1-*")
    before = (member / store.TRIAL).read_text()
    reading = racing(member, store.LOGITS, finished=True)
    monkeypatch.setattr(python_logits, "load_tensors", reading)
    with pytest.raises(ValueError, match="is stale: its member ce seed 1 was trained again"):
        load_logits(folder)
    (member / store.TRIAL).write_text(before)
    assert torch.isfinite(load_logits(folder).logits).all()
