"""Which file an evaluation has, and what makes it complete."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ltbench.data.sources import open_data
from ltbench.evaluate.stored import evaluation_path, is_complete
from ltbench.execute.job import build_trial
from ltbench.names import parse_row
from ltbench.protocol.file import load_protocol_config
from ltbench.registry import load_registries
from ltbench.resolve.rows import resolve_row
from ltbench.task import build_task
from ltbench.trial.store import NewerSchemaError, finished_trial


def path_under(*sets: str, mode: str = "clean") -> Path:
    """The path of ``ce`` without adaptation under overrides of digits-lt."""
    protocol, registries = load_protocol_config("digits-lt", sets), load_registries()
    row = resolve_row(parse_row("ce"), protocol, registries)
    trial = build_trial(protocol, row.method, row.hyper, 0, "float32", None)
    return evaluation_path(Path("folder"), trial, row, mode)


def test_an_override_that_the_row_does_not_read_has_a_file_of_its_own() -> None:
    # The record names its variant: one made under it must not pass for the protocol as it stands.
    assert path_under("views.brightness=0.2") != path_under()


def test_more_draws_and_ratios_go_into_the_same_file() -> None:
    assert path_under("test.draws=3", "test.ratios=2,3") == path_under()


def test_the_mode_and_the_groups_make_another_file() -> None:
    assert len({path_under(), path_under(mode="augmented"), path_under("groups.few_below=5")}) == 3


def test_complete_means_every_draw_of_every_set_as_defined(tmp_path: Path) -> None:
    protocol = load_protocol_config("digits-lt", ["test.draws=2", "test.ratios=2"])
    sets = build_task(protocol, open_data(protocol.data)).test_sets
    path = tmp_path / "row.json"
    assert not is_complete(path, sets)
    draws = {s.name: {str(d): {} for d in range(s.draws)} for s in sets}
    distributions = {s.name: {"definition": s.definition(), "draws": draws[s.name]} for s in sets}
    path.write_text(json.dumps({"schema": 1, "distributions": distributions}))
    assert is_complete(path, sets)
    distributions["forward2"]["draws"].pop("1")
    path.write_text(json.dumps({"schema": 1, "distributions": distributions}))
    assert not is_complete(path, sets)
    distributions["forward2"]["draws"]["1"] = {}
    distributions["forward2"]["definition"]["ratio"] = 3.0
    path.write_text(json.dumps({"schema": 1, "distributions": distributions}))
    assert not is_complete(path, sets)


def test_a_record_of_a_later_version_is_never_taken_for_absent(tmp_path: Path) -> None:
    for name in ("trial.json", "row.json"):
        (tmp_path / name).write_text(json.dumps({"schema": 2, "status": "finished"}))
    with pytest.raises(NewerSchemaError, match="schema 2 is newer than 1"):
        finished_trial(tmp_path)
    with pytest.raises(NewerSchemaError, match="update ltbench"):
        is_complete(tmp_path / "row.json", [])
    (tmp_path / "trial.json").write_text("{")
    assert finished_trial(tmp_path) is None
