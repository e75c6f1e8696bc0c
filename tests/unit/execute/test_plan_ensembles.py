"""Which trainings the replicates of an ensemble stand on, and which are refused or left out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ltbench.errors import InputError
from ltbench.execute.plan import Plan, PlannedTrial
from ltbench.execute.prepare import prepare
from ltbench.execute.request import Request


def plan(methods: str, results: Path, ensembles: str = "", **changes: Any) -> Plan:
    overrides = dict(changes.pop("overrides", {}))
    if ensembles:
        name, _, members = ensembles.partition("=")
        overrides[f"ensembles.{name}"] = members
    request = Request(
        methods, "digits-lt", results=results, device="cpu", overrides=overrides, **changes
    )
    return prepare(request)


def members(planned: PlannedTrial) -> list[str]:
    return [f"{member.training} {member.seed}" for member in planned.job.members]


def finish(planned: PlannedTrial) -> None:
    """What a plan takes for a finished training."""
    planned.folder.mkdir(parents=True)
    record = {
        "schema": 1,
        "status": "finished",
        "trial": planned.trial.hash,
        "identity": planned.trial.identity(),
        "training": {"name": planned.trial.training},
        "seed": planned.trial.seed,
        "created": "2026-01-01T00:00:00+00:00",
        "weights_sha256": "a",
    }
    (planned.folder / "trial.json").write_text(json.dumps(record))


def test_replicates_share_no_member_and_missing_trainings_come_first(tmp_path: Path) -> None:
    made = plan("ce,3*ce", tmp_path, seeds=(0, 1))
    labels = [f"{p.training} {p.trial.seed}" for p in made.trials]
    assert labels == ["ce 0", "ce 1", "ce 2", "ce 3", "ce 4", "ce 5", "3*ce 0", "3*ce 1"]
    assert members(made.trials[6]) == ["ce 0", "ce 1", "ce 2"]
    assert members(made.trials[7]) == ["ce 3", "ce 4", "ce 5"]
    assert made.trials[7].after == tuple(p.trial.hash for p in made.trials[3:6])
    assert not made.trials[2].rows
    assert made.trials[6].folder.name.startswith("0-")
    assert made.trials[6].folder.parent == tmp_path / "digits-lt" / "ensemble-3xce"


def test_a_training_is_no_member_twice_whatever_method_is_evaluated_on_it(tmp_path: Path) -> None:
    mixed = "mix=logit-adjustment,balanced-softmax,ce"
    made = plan("mix", tmp_path, mixed, seeds=(0, 1))
    joint = [p for p in made.trials if p.job.members]
    assert members(joint[0]) == ["balanced-softmax 0", "ce 0", "ce 1"]
    assert members(joint[1]) == ["balanced-softmax 1", "ce 2", "ce 3"]
    # the order in which they are listed is no other ensemble
    again = plan("mix", tmp_path, "mix=ce,logit-adjustment,balanced-softmax", seeds=(0, 1))
    assert [p.trial.hash for p in again.trials] == [p.trial.hash for p in made.trials]


def test_other_members_are_another_identity(tmp_path: Path) -> None:
    one = plan("mix", tmp_path, "mix=ce,sade", seeds=(0,)).trials[-1]
    for other in ("mix=ce,sade[tau=1]", "mix=ce,ce,sade", "mix=ce,balanced-softmax"):
        assert plan("mix", tmp_path, other, seeds=(0,)).trials[-1].trial.hash != one.trial.hash


def test_a_replicate_without_all_members_is_left_out_and_named(tmp_path: Path) -> None:
    trained = plan("ce", tmp_path, seeds=(0, 1)).trials
    for planned in trained:
        finish(planned)
    made = plan("2*ce", tmp_path, seeds=(0, 1, 2), train=False)
    assert [p.label for p in made.trials] == ["2*ce seed 0"]
    left_out = [note for note in made.notes if "replicate" in note]
    assert len(left_out) == 2
    assert left_out[0].startswith("2*ce has no replicate 1: ce seed 2 is not trained yet (new)")
    with pytest.raises(InputError, match=r"3\*ce has no replicate 0: ce seed 2 is not trained yet"):
        plan("3*ce", tmp_path, seeds=(0,), train=False)
    # half-finished: logits without the record that is written last
    (trained[1].folder / "trial.json").unlink()
    (trained[1].folder / "logits.safetensors").write_bytes(b"x")
    with pytest.raises(
        InputError, match=r"ce seed 1 is not trained yet .*its logits count for not"
    ):
        plan("2*ce", tmp_path, seeds=(0,), train=False)


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ({"recipe.epochs": 3}, r"recipe\.epochs is 3, here \d+"),
        ({"train.imbalance": 10}, r"train\.imbalance is 10\.0, here"),
        ({"train.split_seed": 7}, r"train\.split_seed is 7, here 0"),
        ({"train.class_order": "size"}, r"train\.class_order is size, here label"),
        ({"data.subset": "0,1,2"}, r"data\.subset is .*, here|images are others"),
    ],
)
def test_foreign_members_are_refused_with_the_difference(
    tmp_path: Path, change: dict[str, Any], difference: str
) -> None:
    finish(plan("ce", tmp_path, seeds=(0,)).trials[0])
    finish(plan("ce", tmp_path, seeds=(1,), overrides=change).trials[0])
    with pytest.raises(InputError, match=f"what is there differs: ({difference})") as caught:
        plan("2*ce", tmp_path, seeds=(0,), train=False)
    assert "\n" not in str(caught.value)


def test_members_of_different_recipes_are_refused_unless_that_is_asked_for(tmp_path: Path) -> None:
    longer = {"methods.sade.recipe.epochs": 50}
    with pytest.raises(InputError, match=r"recipe\.epochs = \d+ for ce, 50 for sade.*mixed-recipe"):
        plan("mix", tmp_path, "mix=ce,sade", seeds=(0,), overrides=longer)
    made = plan("mix", tmp_path, "mix=ce,sade", seeds=(0,), overrides=longer, mixed_recipe=True)
    assert members(made.trials[-1]) == ["ce 0", "sade 0"]


def test_rows_of_post_hoc_methods_that_give_the_same_are_kept_once(tmp_path: Path) -> None:
    asked = "2*logit-adjustment+em,2*ce+em,2*logit-adjustment[tau=2],mix+em"
    made = plan(asked, tmp_path, "mix=logit-adjustment,sade", seeds=(0,))
    rows = {p.training: [row.label for row in p.rows] for p in made.trials if p.job.members}
    assert rows["2*ce"].count("2*ce+em") == 1
    assert {"2*ce", "2*ce+oracle"} <= set(rows["2*ce"])
    assert "mix+em" in rows["mix"]
    others = [label for name, labels in rows.items() if "logit" in name for label in labels]
    assert not [label for label in others if label.endswith(("+em", "+oracle"))]
    assert "2*logit-adjustment+em equals 2*ce+em and is reported as that" in made.notes


def write_trial(folder: Path, record: dict[str, Any]) -> None:
    folder.mkdir(parents=True)
    (folder / "trial.json").write_text(json.dumps({"schema": 1, "status": "finished"} | record))


def test_an_unknown_name_of_an_ensemble_there_is_hints_at_its_members(tmp_path: Path) -> None:
    entries = [{"label": label} for label in ("ce", "ce", "sade[tau=1]")]
    folder = tmp_path / "digits-lt" / "ensemble-plain"
    write_trial(folder / "0-a", {"training": {"name": "plain"}, "ensemble": {"members": entries}})
    with pytest.raises(InputError, match="unknown method 'plain': an ensemble of that") as caught:
        plan("plain+em", tmp_path, seeds=(0,))
    assert str(caught.value).endswith(f"{folder}; add --ensemble 'plain=ce,ce,sade[tau=1]'")
    with pytest.raises(InputError, match="unknown method 'plane' "):
        plan("plane", tmp_path, seeds=(0,))


def test_an_imported_model_is_no_member_beside_a_network(tmp_path: Path) -> None:
    folder = tmp_path / "digits-lt" / "mine"
    write_trial(folder / "0-a", {"training": {"name": "mine", "origin": "imported"}})
    with pytest.raises(InputError, match="members of ensembles with other imports") as caught:
        plan("both", tmp_path, "both=ce,mine", seeds=(0,))
    assert str(caught.value).startswith("ensemble 'both': member 'mine': unknown method 'mine': ")
    assert "\n" not in str(caught.value)
