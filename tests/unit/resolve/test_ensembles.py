"""Rows that are several networks: how they are named, and what they compute as one method."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from ltbench.errors import InputError
from ltbench.evaluate.outputs import HoldOut
from ltbench.evaluate.sources import find_bias
from ltbench.method import Method, log_prior
from ltbench.names import parse_row
from ltbench.protocol.file import load_protocol_config
from ltbench.protocol.protocol import Protocol
from ltbench.registry import load_registries
from ltbench.resolve.ensembles import EnsembleMethod, Member, ensemble_plugin, members_of
from ltbench.resolve.rows import ResolvedRow, resolve_row, row_from_json
from ltbench.strategy import OptimizerSettings, Source, UnlabelledTest

COUNTS = torch.tensor([50, 20, 5])


def protocol(**ensembles: Any) -> Protocol:
    changes = {f"ensembles.{name}": members for name, members in ensembles.items()}
    return load_protocol_config("digits-lt", changes)


def resolved(text: str, under: Protocol | None = None) -> ResolvedRow:
    return resolve_row(parse_row(text), under or protocol(), load_registries())


def method_of(*names: str) -> EnsembleMethod:
    """The ensemble of these methods, in this order."""
    methods = load_registries().methods
    members = tuple(
        Member(methods.get(name), methods.get(name).cls.hyper_type(), name) for name in names
    )
    plugin = ensemble_plugin("mix", members, "mix", of_one_method=False)
    built = plugin.cls(COUNTS, plugin.cls.hyper_type())
    assert isinstance(built, EnsembleMethod)
    return built


def source(method: Method[Any]) -> Source:
    return Source(method, method.bias(), "closed-form", OptimizerSettings(0.1, 0.9, True, 0.0))


@pytest.mark.parametrize(
    ("text", "label", "experts", "file_name"),
    [
        ("1*ce", "1*ce", 1, "1xce"),
        ("3*sade", "3*sade", 9, "3xsade"),
        ("2*sade[tau=1.5]+em", "2*sade[tau=1.5]+em", 6, "2xsade"),
        ("plain", "plain", 5, "plain"),
        ("2*plain+tilt", "2*plain+tilt", 10, "2xplain"),
    ],
)
def test_rows_by_name(text: str, label: str, experts: int, file_name: str) -> None:
    under = protocol(plain="ce,sade[tau=1],balanced-softmax")
    row = resolved(text, under)
    assert (row.label, row.file_name) == (label, file_name)
    assert row.build_method(COUNTS).architecture().experts == experts
    assert row_from_json(row.to_json(), under, load_registries()) == row


def test_the_own_strategy_of_its_members_is_that_of_the_ensemble() -> None:
    assert resolved("2*sade").strategy.name == "stability"
    assert resolved("mix", protocol(mix="ce,sade")).strategy.name == "none"


@pytest.mark.parametrize(
    ("text", "ensembles", "message"),
    [
        ("0*ce", {}, "1 to 1000 members"),
        ("2000*ce", {}, "1 to 1000 members"),
        ("2*", {}, "has no name"),
        ("2*sda", {}, "unknown method 'sda'"),
        ("plain", {}, "unknown method 'plain'"),
        ("plain", {"plain": "ce,sda"}, "ensemble 'plain': member 'sda': unknown method 'sda'"),
        ("plain", {"plain": "ce+em"}, "methods only, without a strategy"),
        ("plain", {"plain": "ce,"}, "a place in it is empty"),
        ("plain", {"plain": []}, "its list or a place in it is empty"),
        ("plain", {"plain": "ce", "outer": "plain"}, None),
        ("outer", {"plain": "ce", "outer": "plain"}, "its member 'plain' is an ensemble"),
        ("ce", {"ce": "ce,sade"}, "has the name of a method"),
        ("plain[tau=1]", {"plain": "sade"}, "has no parameters"),
        ("Plain", {"Plain": "ce"}, "ensemble 'Plain' is not usable"),
    ],
)
def test_wrong_ensembles_are_refused(
    text: str, ensembles: dict[str, Any], message: str | None
) -> None:
    if message is None:
        assert resolved(text, protocol(**ensembles)).label == text
        return
    with pytest.raises(InputError, match=message) as caught:
        resolved(text, protocol(**ensembles))
    assert "\n" not in str(caught.value)


def test_an_evaluation_tells_mixtures_of_one_name_apart_and_not_their_order() -> None:
    def identity(members: str) -> dict[str, Any]:
        return resolved("mix", protocol(mix=members)).identity()

    assert identity("ce,balanced-softmax") == identity("balanced-softmax,ce")
    assert identity("ce,balanced-softmax") != identity("ce,logit-adjustment")
    assert identity("ce,balanced-softmax") != identity("ce,ce,balanced-softmax")
    assert len(resolved("ce").identity()["method"]) == 4  # as it was before there were ensembles


def test_a_named_ensemble_is_no_variant_of_the_protocol() -> None:
    assert protocol(mix="ce,sade").variant == ""


def test_every_member_predicts_its_own_slice() -> None:
    method = method_of("ce", "sade", "logit-adjustment")
    logits = torch.randn(7, 5, 3, generator=torch.Generator().manual_seed(0))
    parts = [
        logits[:, :1].mean(dim=1),
        logits[:, 1:4].mean(dim=1),
        logits[:, 4] - log_prior(COUNTS),
    ]
    torch.testing.assert_close(method.predict(logits), sum(parts) / 3)


def test_one_member_is_that_method_bit_for_bit() -> None:
    alone = resolved("sade").build_method(COUNTS)
    joint = resolved("1*sade").build_method(COUNTS)
    logits = torch.randn(40, 3, 3, generator=torch.Generator().manual_seed(1))
    assert torch.equal(joint.predict(logits), alone.predict(logits))
    bias, own = joint.bias(), alone.bias()
    assert bias is not None
    assert own is not None
    assert torch.equal(bias, own)
    assert members_of(resolved("sade").method) == ()


NAMES = ["ce", "sade", "balanced-softmax", "logit-adjustment"]


@given(
    names=st.lists(st.sampled_from(NAMES), min_size=2, max_size=4),
    seed=st.integers(0, 10_000),
    strategy=st.sampled_from(["none", "em", "oracle", "tilt"]),
    data=st.data(),
)
def test_the_order_of_members_changes_nothing_beyond_rounding(
    names: list[str], seed: int, strategy: str, data: st.DataObject
) -> None:
    order = data.draw(st.permutations(range(len(names))))
    rng = torch.Generator().manual_seed(seed)
    sizes = [3 if name == "sade" else 1 for name in names]
    parts = [torch.randn(30, size, 3, generator=rng) for size in sizes]
    prior = torch.rand(3, generator=rng).double() + 0.1
    row = resolved(f"ce+{strategy}")
    adapter = row.strategy.cls(row.strategy_hyper)

    def scores(places: list[int]) -> Tensor:
        method = method_of(*(names[i] for i in places))
        test = UnlabelledTest(
            torch.cat([parts[i] for i in places], dim=1), true_prior=prior / prior.sum()
        )
        return adapter.adapt(test, source(method), torch.Generator()).logits

    usual, other = scores(list(range(len(names)))), scores(list(order))
    torch.testing.assert_close(
        usual.log_softmax(dim=1), other.log_softmax(dim=1), atol=1e-3, rtol=1e-3
    )


def test_each_member_has_its_own_bias_fitted_where_it_has_no_closed_form() -> None:
    rng = torch.Generator().manual_seed(3)
    labels = torch.arange(60) % 3
    joint, ride = method_of("balanced-softmax", "ride"), method_of("ride").parts[0]
    experts = ride.architecture().experts
    logits = torch.randn(60, 1 + experts, 3, generator=rng)
    found = find_bias(joint, (1 + experts, 3), HoldOut(logits, labels))
    alone = find_bias(ride, (experts, 3), HoldOut(logits[:, 1:], labels))
    assert (found.kind, alone.kind) == ("fitted", "fitted")
    assert found.value is not None
    assert found.error is not None
    assert alone.value is not None
    assert alone.error is not None
    assert torch.equal(found.value[1:], alone.value)
    assert torch.equal(found.error[1:], alone.error)
    prior = log_prior(COUNTS)
    torch.testing.assert_close(found.value[0], prior - prior.mean())
    assert not found.error[0].any()


def test_the_bias_of_all_is_known_as_well_as_that_of_the_least_known() -> None:
    experts = method_of("ce", "ride").architecture().experts
    assert find_bias(method_of("ce", "ride"), (experts, 3), None).kind == "reference"
    exact = find_bias(method_of("ce", "sade"), (4, 3), None)
    assert exact.kind == "closed-form"
    assert exact.value is not None
    sade = method_of("sade").bias()
    assert sade is not None
    assert torch.equal(exact.value, torch.cat([torch.zeros(1, 3), sade]))
