"""What is stored is found again: later settings leave identities as they were before them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from ltbench.evaluate.stored import evaluation_hash
from ltbench.hyper import Hyper
from ltbench.names import parse_row
from ltbench.protocol.file import load_protocol_config
from ltbench.protocol.protocol import DataConfig, Protocol, TrainConfig, ViewsConfig
from ltbench.registry import Registries, load_registries
from ltbench.resolve.rows import ResolvedRow, resolve_row
from ltbench.settings import identity_of, setting
from ltbench.trial.ensemble import ensemble_trial
from ltbench.trial.ensemble_record import KEY, member_folder
from ltbench.trial.trial import Trial, content_hash

PUBLISHED = Path(__file__).parents[2] / "results" / "published"
TRIALS = sorted(PUBLISHED.glob("*/*/*/trial.json"))
EVALUATIONS = sorted(PUBLISHED.glob("*/*/*/evaluations/*.json"))
OLDER = {"tilt": 1}  # strategy versions of which records are kept beside those of the present one


@cache
def registries() -> Registries:
    return load_registries()


@cache
def protocol_of(name: str, variant: str) -> Protocol:
    return load_protocol_config(name, variant.split(";") if variant else [])


def loaded(path: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return record


def trial_of(record: dict[str, Any], folder: Path) -> Trial:
    """The trial as the present program would plan it; fingerprints are those of the record."""
    protocol = protocol_of(record["protocol"]["name"], record["protocol"]["variant"])
    if KEY in record:
        return ensemble_of(record, folder)
    method = registries().methods.get(record["training"]["name"])
    hyper = method.cls.hyper_type.from_mapping(record["training"]["hyper"], method.name)
    return Trial(
        protocol=protocol,
        training=method.name,
        hyper=hyper.training_part(),
        version=method.cls.version,
        digest=method.digest,
        recipe=protocol.recipe_for(method.name),
        seed=record["seed"],
        precision=record["precision"],
        train_fingerprint=record["data"]["train_fingerprint"],
        test_fingerprint=record["data"]["test_fingerprint"],
    )


def ensemble_of(record: dict[str, Any], folder: Path) -> Trial:
    """The ensemble of its members as the present program would plan them."""
    places = [member_folder(entry, folder) for entry in record[KEY]["members"]]
    members = [trial_of(loaded(place / "trial.json"), place) for place in places]
    told = record["training"]
    found = ensemble_trial(
        told["name"], told["hyper"], told["version"], told["digest"], record["seed"], members
    )
    mixture = {} if "*" in told["name"] else {told["name"]: tuple(told["hyper"]["members"])}
    return replace(found, protocol=replace(found.protocol, ensembles=mixture))


def place(path: Path) -> str:
    return str(path.relative_to(PUBLISHED))


def test_records_are_there() -> None:
    assert len(TRIALS) >= 25
    assert len(EVALUATIONS) >= 110


@pytest.mark.parametrize("path", TRIALS, ids=place)
def test_published_trials_keep_their_hash(path: Path) -> None:
    record = loaded(path)
    trial = trial_of(record, path.parent)
    assert json.loads(json.dumps(trial.identity())) == record["identity"]
    assert f"{trial.seed}-{trial.hash}" == path.parent.name == f"{record['seed']}-{record['trial']}"
    assert content_hash(record["identity"]) == record["trial"]


@pytest.mark.parametrize("path", EVALUATIONS, ids=place)
def test_published_evaluations_keep_their_hash(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = loaded(path)
    trial = trial_of(loaded(path.parents[1] / "trial.json"), path.parents[1])
    row = row_of(record, trial.protocol)
    for plugin, version in (
        (row.method.cls, record["method_version"]),
        (row.strategy.cls, record["strategy_version"]),
    ):
        if plugin.version != version:
            assert OLDER.get(plugin.name) == version
            monkeypatch.setattr(plugin, "version", version)
    assert evaluation_hash(trial, row, record["mode"]) == record["evaluation"]
    assert path.stem.endswith(record["evaluation"])


def row_of(record: dict[str, Any], protocol: Protocol) -> ResolvedRow:
    def call(name: str) -> str:
        params = record[f"{name}_params"]
        return record[name] + (f"[{params}]" if params else "")

    return resolve_row(parse_row(f"{call('method')}+{call('strategy')}"), protocol, registries())


# -- the mark ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Before(Hyper):
    tau: float = 1.0
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class After(Before):
    gamma: float = setting(2.0, later=True)
    inner: Before = field(default_factory=Before)


def test_a_later_setting_is_left_out_while_it_has_its_default() -> None:
    inner = {"tau": 1.0, "names": ()}
    assert After().identity() == {**Before().identity(), "inner": inner}
    assert After().training_part() == {**Before().training_part(), "inner": Before()}
    assert After(gamma=3).identity()["gamma"] == 3
    assert After(gamma=3).training_part()["gamma"] == 3
    assert After().to_json()["gamma"] == 2.0  # what is shown and handed on is complete


def test_the_fields_of_protocols_follow_the_same_rule() -> None:
    assert set(identity_of(TrainConfig())) == {
        *("profile", "imbalance", "max_count", "class_order", "split_seed", "holdout"),
    }
    assert set(identity_of(DataConfig("digits", 10, 8))) == {
        *("source", "classes", "image_size", "mean", "std", "path"),
    }
    assert "power" in identity_of(TrainConfig(profile="pareto", power=2))
    views = ViewsConfig()
    assert "precision" not in views.logits_identity()
    assert replace(views, precision="bf16").logits_identity()["precision"] == "bf16"
    assert "precision" not in replace(views, precision="bf16").images_identity()


def test_where_experts_part_is_told_where_it_is_not_the_usual_place() -> None:
    def identity(*sets: str) -> dict[str, Any]:
        return load_protocol_config("digits-lt", sets).model.identity()

    large = "model.backbone=resnet10"
    assert identity() == {"backbone": "resnet8"}
    assert identity(large) == identity(large, "model.shared=2") == {"backbone": "resnet10"}
    assert identity(large, "model.shared=3") == {"backbone": "resnet10", "shared": 3}
    weights = [f"model.pretrained.sha256={'ab' * 32}", "model.pretrained.file="]
    here, there = (identity(large, weights[0], weights[1] + name) for name in ("a.pth", "b.pth"))
    assert here == there == {"backbone": "resnet10", "pretrained": {"sha256": "ab" * 32}}
