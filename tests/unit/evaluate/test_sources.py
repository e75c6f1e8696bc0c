"""What a strategy is given beside the test set: hold-out, network, estimated bias, as declared."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
import pytest
import torch
from torch import Tensor

from ltbench.data.dataset import Splits
from ltbench.data.sources import open_data
from ltbench.errors import ContractError, InputError
from ltbench.evaluate.evaluate import evaluate_row
from ltbench.evaluate.network import ImageNetwork
from ltbench.evaluate.outputs import HoldOut, TrialOutputs
from ltbench.evaluate.sources import bias_block, find_bias
from ltbench.evaluate.stored import evaluation_hash, is_complete, sets_for
from ltbench.execute.job import build_trial
from ltbench.method import NoHyper
from ltbench.models.build import build_network
from ltbench.names import parse_row
from ltbench.protocol.file import load_protocol_config
from ltbench.protocol.protocol import GroupsConfig, Protocol, TestConfig
from ltbench.registry import Plugin, load_registries
from ltbench.resolve.rows import ResolvedRow, resolve_row
from ltbench.seeds import generator
from ltbench.shift.groups import class_groups
from ltbench.shift.testsets import build_test_sets
from ltbench.shift.trainset import TrainSet
from ltbench.strategy import Adapted, Source, Strategy, UnlabelledTest
from ltbench.task import Task
from ltbench.trial.trial import Trial

COUNTS = np.array([50, 20, 8, 3])
PROTOCOL = load_protocol_config("digits-lt")
PUBLISHED = Path(__file__).resolve().parents[3] / "results" / "published"


def row(text: str, protocol: Protocol = PROTOCOL) -> ResolvedRow:
    return resolve_row(parse_row(text), protocol, load_registries())


def world(method: str = "ce", *, holdout: bool = True, network: bool = True) -> TrialOutputs:
    """48 images of 4 classes, their logits from a real network with random weights."""
    config = TestConfig(ratios=(4.0,), draws=3)
    protocol = dataclasses.replace(
        PROTOCOL, test=config, groups=GroupsConfig(many_above=10, few_below=5)
    )
    rng = torch.Generator().manual_seed(0)
    labels = torch.arange(4).repeat_interleave(12)[torch.randperm(48, generator=rng)]
    images = torch.randint(0, 256, (48, 3, 8, 8), generator=rng).byte()
    plain = row(method)
    request = plain.build_method(torch.from_numpy(COUNTS)).architecture()
    half = torch.full((3,), 0.5)
    net = build_network("resnet8", 4, request, generator("sources"))
    wrapped = ImageNetwork(net, half, half, torch.device("cpu"))
    with torch.no_grad():
        logits = wrapped.private_copy()(images)
    held = torch.tensor([0] * 9 + [1] * 7 + [2] * 5 + [3] * 2)
    held_logits = torch.randn(len(held), request.experts, 4, generator=rng)
    held_logits[torch.arange(len(held)), :, held] += 2
    empty = np.zeros(0, dtype=np.int64)
    train = TrainSet(empty, empty, COUNTS, COUNTS)
    groups = class_groups(COUNTS, protocol.groups)
    sets = build_test_sets(config, np.bincount(labels.numpy(), minlength=4), train.rank, groups)
    task = Task(protocol, cast(Splits, None), train, train.rank, groups, sets)
    trial = Trial(protocol, method, {}, 1, "", protocol.recipe, 0, "float32", "train", "test")
    return TrialOutputs(
        trial,
        task,
        logits,
        logits,
        labels,
        lambda k: torch.stack([logits, logits]),
        holdout=HoldOut(held_logits, held) if holdout else None,
        network=wrapped.private_copy if network else None,
        images=(lambda chosen: images[chosen]) if network else None,
    )


class Spy(Strategy[NoHyper]):
    name: ClassVar = "spy"
    title: ClassVar = "spy"
    seen: ClassVar[list[tuple[UnlabelledTest, Source]]]
    action: ClassVar[Callable[[UnlabelledTest, Source], None]]

    def adapt(self, test: UnlabelledTest, source: Source, rng: torch.Generator) -> Adapted:
        type(self).seen.append((test, source))
        type(self).action(test, source)
        return Adapted(test.logits.mean(1))


def nothing(test: UnlabelledTest, source: Source) -> None:
    """The spy only looks."""


def spied(
    method: str,
    *needs: str,
    action: Callable[[UnlabelledTest, Source], None] = nothing,
) -> tuple[ResolvedRow, type[Spy]]:
    body = {"needs": frozenset(needs), "seen": [], "action": staticmethod(action)}
    kind = type("Spy", (Spy,), body)
    plugin: Plugin[Any] = Plugin("spy", kind, "test")
    return dataclasses.replace(row(method), strategy=plugin, strategy_hyper=NoHyper()), kind


# -- the hold-out --------------------------------------------------------------------------------


def test_the_holdout_is_given_to_those_who_declare_it() -> None:
    outputs = world()
    assert outputs.holdout is not None
    asked, kind = spied("ce", "holdout")
    evaluate_row(outputs, asked, {})
    for _, source in kind.seen:
        assert source.holdout_logits is outputs.holdout.logits
        assert source.holdout_labels is outputs.holdout.labels
    silent, kind = spied("ce", "bias")
    evaluate_row(outputs, silent, {})
    for _, source in kind.seen:
        assert source.holdout_logits is None
        assert source.holdout_labels is None
        assert source.network is None


def test_without_a_holdout_one_line_says_how_to_get_it() -> None:
    asked, kind = spied("ce", "holdout")
    with pytest.raises(InputError, match=r"ce\+spy: .*`--set train.holdout=0.1`") as caught:
        evaluate_row(world(holdout=False), asked, {})
    assert "\n" not in str(caught.value)
    assert kind.seen == []


# -- the network ---------------------------------------------------------------------------------


def test_images_come_in_the_order_of_arrival() -> None:
    """The network says about the images what the stored logits say, image by image."""

    def check(test: UnlabelledTest, source: Source) -> None:
        assert source.network is not None
        assert test.images.dtype == torch.uint8
        with torch.no_grad():
            found = source.network(test.images)
        torch.testing.assert_close(found, test.logits, atol=1e-5, rtol=1e-4)

    asked, kind = spied("sade", "network", action=check)
    evaluate_row(world("sade"), asked, {})
    assert len(kind.seen) == 6


def test_the_network_is_reset_between_test_sets() -> None:
    """Whatever a strategy does to its copy: the next test set meets what training left."""
    outputs = world("sade")
    found: list[Tensor] = []

    def wreck(test: UnlabelledTest, source: Source) -> None:
        assert source.network is not None
        with torch.no_grad():
            found.append((source.network(test.images) - test.logits).abs().max())
            for value in source.network.state_dict().values():
                value.zero_()
        source.network.train()
        source.network.requires_grad_(False)
        assert not source.network(test.images).any()

    asked, kind = spied("sade", "network", action=wreck)
    evaluate_row(outputs, asked, {})
    assert len({id(source.network) for _, source in kind.seen}) == len(kind.seen) == 6
    assert all(difference < 1e-4 for difference in found)


@pytest.mark.parametrize("strategy", ["tent", "bn-adapt"])
def test_a_test_set_gets_the_same_scores_alone_as_after_others(strategy: str) -> None:
    outputs = world("sade")
    together = evaluate_row(outputs, row(f"sade+{strategy}"), {})
    last = outputs.task.test_sets[-1]
    alone = dataclasses.replace(outputs, task=dataclasses.replace(outputs.task, test_sets=[last]))
    assert evaluate_row(alone, row(f"sade+{strategy}"), {}) == {last.name: together[last.name]}


def test_rows_that_run_the_network_have_draw_0_only() -> None:
    outputs = world()
    for text, draws in (("ce+tent", {"0"}), ("ce", {"0", "1", "2"})):
        result = evaluate_row(outputs, row(text), {})
        assert set(result["forward4"]["draws"]) == draws
        assert set(result["uniform"]["draws"]) == {"0"}
        assert "correct" in result["forward4"]


def test_complete_means_draw_0_for_them(tmp_path: Path) -> None:
    outputs = world()
    path = tmp_path / "row.json"
    distributions = evaluate_row(outputs, row("ce+bn-adapt"), {})
    path.write_text(json.dumps({"schema": 1, "distributions": distributions}))
    sets = outputs.task.test_sets
    assert is_complete(path, sets_for(row("ce+bn-adapt"), sets))
    assert not is_complete(path, sets_for(row("ce"), sets))
    distributions["forward4"]["draws"] = {}
    path.write_text(json.dumps({"schema": 1, "distributions": distributions}))
    assert not is_complete(path, sets_for(row("ce+bn-adapt"), sets))


def test_stored_logits_without_a_network_are_refused_in_one_line() -> None:
    with pytest.raises(InputError, match=r"ce\+tent: .* needs the trained network") as caught:
        evaluate_row(world(network=False), row("ce+tent"), {})
    assert "\n" not in str(caught.value)


# -- the bias ------------------------------------------------------------------------------------


def test_a_bias_without_closed_form_is_fitted_on_the_holdout() -> None:
    outputs = world("ride")
    asked, kind = spied("ride", "bias")
    evaluate_row(outputs, asked, {})
    source = kind.seen[0][1]
    assert source.bias_kind == "fitted"
    assert source.bias is not None
    assert source.bias_error is not None
    assert source.bias.shape == source.bias_error.shape == (3, 4)
    assert (source.bias_error > 0).all()
    assert source.holdout_labels is None  # the bias, not what it was fitted on
    block = bias_block(asked, outputs)
    assert block is not None
    assert block["kind"] == "fitted"
    assert block["value"] == source.bias.double().tolist()
    for key, length in (("kappa", 3), ("kappa_error", 3), ("error", 3)):
        values = block[key]
        assert isinstance(values, list)
        assert len(values) == length
    json.dumps(block, allow_nan=False)


def test_without_a_holdout_the_reference_is_taken_as_it_is_and_named_so() -> None:
    outputs = world("ride", holdout=False)
    asked, kind = spied("ride", "bias")
    evaluate_row(outputs, asked, {})
    source = kind.seen[0][1]
    assert source.bias_kind == "reference"
    assert source.bias_error is None
    reference = source.method.reference_bias()
    assert reference is not None
    assert torch.equal(source.bias, reference)  # type: ignore[arg-type]
    block = bias_block(asked, outputs)
    assert block is not None
    assert (block["kind"], block["kappa"], block["error"]) == ("reference", [1.0, 1.0, 1.0], None)


def test_an_estimated_bias_is_given_to_those_who_declare_it() -> None:
    for outputs in (world("ride"), world("ride", holdout=False)):
        asked, kind = spied("ride")
        evaluate_row(outputs, asked, {})
        assert (kind.seen[0][1].bias, kind.seen[0][1].bias_kind) == (None, "none")
        assert bias_block(asked, outputs) is None


def test_a_closed_form_is_never_replaced_by_an_estimate() -> None:
    outputs = world("sade")
    asked, kind = spied("sade", "bias", "holdout")
    evaluate_row(outputs, asked, {})
    source = kind.seen[0][1]
    assert source.bias_kind == "closed-form"
    assert torch.equal(source.bias, source.method.bias())  # type: ignore[arg-type]
    assert bias_block(asked, outputs) == {"kind": "closed-form"}


def test_one_fit_serves_all_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    import ltbench.evaluate.sources as sources

    fits: list[int] = []
    original = sources.fit_bias

    def counted(*arguments: Any) -> Any:
        fits.append(1)
        return original(*arguments)

    monkeypatch.setattr(sources, "fit_bias", counted)
    outputs = world("ride")
    evaluate_row(outputs, row("ride+oracle"), {})
    evaluate_row(outputs, spied("ride", "bias")[0], {})
    assert fits == [1]


def test_a_reference_of_the_wrong_shape_names_the_method() -> None:
    method = row("ride").build_method(torch.from_numpy(COUNTS))
    with pytest.raises(ContractError, match=r"'ride': reference_bias returned shape \(3, 4\)"):
        find_bias(method, (2, 4), None)


def test_the_holdout_changes_what_the_oracle_of_ride_says() -> None:
    fitted = evaluate_row(world("ride"), row("ride+oracle"), {})
    guessed = evaluate_row(world("ride", holdout=False), row("ride+oracle"), {})
    assert fitted["uniform"]["draws"]["0"]["nll"] != guessed["uniform"]["draws"]["0"]["nll"]


# -- identities ----------------------------------------------------------------------------------


def test_published_records_keep_their_identity() -> None:
    """New kinds of rows must not rename the files of those that were there."""
    splits = open_data(PROTOCOL.data)
    checked = 0
    for path in sorted(PUBLISHED.glob("digits-lt/*/0-*/evaluations/*.json")):
        record = json.loads(path.read_text())
        if record["protocol"]["variant"]:
            continue
        name = record["method"]
        name += f"[{record['method_params']}]" if record["method_params"] else ""
        found = row(f"{name}+{record['strategy']}")
        method = found.build_method(torch.ones(10, dtype=torch.int64))
        training, hyper = method.training_identity()
        plugin = load_registries().methods.get(training)
        values = plugin.cls.hyper_type.from_mapping(dict(hyper), training)
        trial = build_trial(PROTOCOL, plugin, values, 0, "float32", splits)
        assert evaluation_hash(trial, found, "clean") == record["evaluation"], path.name
        checked += 1
    assert checked >= 5


def test_a_new_way_to_fit_renames_what_stands_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import ltbench.evaluate.stored as stored

    trial = world("ride").trial
    before = {
        t: evaluation_hash(trial, row(t), "clean") for t in ("ride+oracle", "ride", "ce+oracle")
    }
    monkeypatch.setattr(stored, "BIAS_FIT_VERSION", 99)
    after = {t: evaluation_hash(trial, row(t), "clean") for t in before}
    assert after["ride+oracle"] != before["ride+oracle"]
    assert (after["ride"], after["ce+oracle"]) == (before["ride"], before["ce+oracle"])
