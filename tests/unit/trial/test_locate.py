"""The same hash is the same trial, wherever its copies lie."""

from __future__ import annotations

from pathlib import Path

import pytest

from ltbench.errors import InputError
from ltbench.trial import store
from ltbench.trial.locate import locate_trial


def put(results: Path, place: str, *files: str) -> Path:
    folder = results / place
    folder.mkdir(parents=True)
    for name in files:
        (folder / name).write_text("{}")
    return folder


def test_the_users_own_copy_wins(tmp_path: Path) -> None:
    own = put(tmp_path, "digits-lt/ce/0-abcdef012345", store.TRIAL, store.WEIGHTS)
    put(tmp_path, "published/digits-lt/ce/0-abcdef012345", store.TRIAL, store.WEIGHTS)
    for text in ("abcdef012345", "abcd"):
        assert locate_trial(text, tmp_path) == own
        assert locate_trial(text, tmp_path, holding=store.WEIGHTS) == own


def test_the_copy_with_weights_is_loaded(tmp_path: Path) -> None:
    own = put(tmp_path, "digits-lt/ce/0-abcdef012345", store.TRIAL)
    full = put(tmp_path, "published/digits-lt/ce/0-abcdef012345", store.TRIAL, store.WEIGHTS)
    assert locate_trial("abcd", tmp_path) == own
    assert locate_trial("abcd", tmp_path, holding=store.WEIGHTS) == full


@pytest.mark.parametrize("files", [[store.CHECKPOINT], [store.FAILED]])
def test_an_own_attempt_hides_no_record(tmp_path: Path, files: list[str]) -> None:
    put(tmp_path, "digits-lt/ce/0-abcdef012345", *files)
    done = put(tmp_path, "published/digits-lt/ce/0-abcdef012345", store.TRIAL)
    assert locate_trial("abcd", tmp_path) == done
    assert locate_trial("abcd", tmp_path, holding=store.WEIGHTS) == done


def test_different_trials_stay_ambiguous(tmp_path: Path) -> None:
    put(tmp_path, "digits-lt/ce/0-abcdef012345", store.TRIAL)
    put(tmp_path, "published/digits-lt/ce/1-abcdffffffff", store.TRIAL)
    with pytest.raises(InputError, match="'abcd' fits 2 trials"):
        locate_trial("abcd", tmp_path)
