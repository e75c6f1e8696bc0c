"""Light records: what tables read is left to the last bit, and both kinds are read the same."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ltbench.report.records.checks import Node
from ltbench.report.records.plain_distributions import plain_distributions
from ltbench.report.records.schema import Diagnostics, Draw
from ltbench.report.records.scores import parse_distribution
from ltbench.trial.checked import read_checked
from ltbench.trial.light import READ_DIAGNOSTICS, light, light_text, write_record

GROUPS = {"many": [0, 2], "medium": [1], "few": []}
PRIOR = [0.123456789, 0.2, 0.676543211]


def draw(**more: Any) -> dict[str, Any]:
    return {
        **{"n": 3, "top1": 100 / 3, "macro": 1 / 3, "nll": None, "ece": 0.1 + 0.2},
        **{"expert_top1": [200 / 3], "expert_weights": None, "prior": list(PRIOR)},
        "diagnostics": {
            "iterations": 7,
            "converged": True,
            "rank": 2.99999999,
            "gain": {"a": 1 / 3},
        },
        **more,
    }


def record() -> dict[str, Any]:
    definition = {"kind": "forward", "ratio": 2.0, "counts": [1, 1, 1]}
    draws = {"0": draw(), "1": draw()}
    return {
        **{"schema": 1, "groups": GROUPS, "seconds": 0.1234567890123},
        "distributions": {
            "forward2": {"definition": definition, "draws": draws, "correct": "4A=="}
        },
    }


def draws_of(found: dict[str, Any]) -> dict[str, Any]:
    draws: dict[str, Any] = found["distributions"]["forward2"]["draws"]
    return draws


def test_what_tables_read_stays_and_priors_are_of_draw_0() -> None:
    first, second = draws_of(light(record())).values()
    shares = {"many": 100.0 * (PRIOR[0] + PRIOR[2]), "medium": 20.0}
    assert first["prior"] == [0.1235, 0.2, 0.6765]
    assert first["prior_groups"] == second["prior_groups"] == shares
    assert "prior" not in second
    for found in (first, second):
        for key in ("n", "top1", "macro", "nll", "ece", "expert_top1"):
            assert found[key] == draw()[key]
        assert "expert_weights" not in found
    told = {"iterations": 7, "converged": True, "rank": 2.99999999}
    assert first["diagnostics"] == {**told, "gain": {"a": 0.333333}}
    assert second["diagnostics"] == told


def test_light_again_changes_nothing_and_the_given_record_is_left_alone() -> None:
    heavy = record()
    once = light(heavy)
    assert heavy == record()
    assert light_text(once) == light_text(heavy)
    assert light_text(json.loads(light_text(heavy))) == light_text(heavy)


def test_a_draw_added_later_joins_light_ones() -> None:
    known = light(record())
    draws_of(known)["2"] = draw()
    found = draws_of(light(known))
    assert found["1"] == found["2"] == draws_of(light(record()))["1"]


def test_one_line_of_standard_json(tmp_path: Path) -> None:
    path = tmp_path / "evaluations" / "a.json"
    write_record(path, record())
    text = path.read_text()
    assert text.count("\n") == 1
    assert ", " not in text
    assert read_checked(path) == json.loads(light_text(record()))
    with pytest.raises(ValueError, match="JSON"):
        write_record(path, record() | {"seconds": float("nan")})
    assert path.read_text() == text


def test_what_is_no_draw_is_left_to_the_reader_to_refuse() -> None:
    broken = record()
    draws_of(broken)["1"] = 7
    assert draws_of(light(broken))["1"] == 7


def test_a_stream_is_written_as_it_is() -> None:
    stream = {"schema": 1, "distributions": {"uniform": {"orders": {"random": {"top1": 1 / 3}}}}}
    assert light(stream) == stream


def test_whatever_notes_read_is_kept_exactly() -> None:
    assert set(Diagnostics.__struct_fields__) == READ_DIAGNOSTICS


def test_both_readers_read_light_records() -> None:
    found = light(record())["distributions"]
    plain = plain_distributions(msgspec.json.encode(found), 1, 3)
    assert plain is not None
    careful = parse_distribution("forward2", Node(found).at("forward2"), 1, 3)
    assert [msgspec.structs.asdict(d) for d in careful.draws] == [
        {
            key: value
            for key, value in msgspec.structs.asdict(d).items()
            if key in Draw.__struct_fields__
        }
        for d in plain[0].draws
    ]
    assert careful.draws[1].prior is None
    assert careful.draws[1].prior_groups == {"many": 80.0, "medium": 20.0}


def test_a_light_record_is_no_other_result_than_the_heavy_one() -> None:
    """Else a note would tell of two records with different numbers."""
    heavy = record()
    for found in draws_of(heavy).values():
        found["prior_error"] = {"l1": 0.25, "kl": None}
    other = copy.deepcopy(heavy)
    draws_of(other)["1"]["prior_error"]["l1"] = 0.5

    def parsed(value: dict[str, Any]) -> tuple[Draw, ...]:
        node = Node(value["distributions"]).at("forward2")
        return parse_distribution("forward2", node, 1, 3).draws

    old, new, changed = parsed(heavy), parsed(light(heavy)), parsed(light(other))
    assert [a.same_scores(b) for a, b in zip(old, new, strict=True)] == [True, True]
    assert [a.same_scores(b) for a, b in zip(old, changed, strict=True)] == [True, False]
