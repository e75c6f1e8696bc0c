"""Rows: which parameters hold, what tables print, which rows are one and the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from ltbench.errors import InputError
from ltbench.names import parse_row
from ltbench.protocol.file import load_protocol_config
from ltbench.registry import load_registries
from ltbench.resolve.rows import (
    ResolvedRow,
    check_row,
    knows_posterior,
    resolve_row,
    row_from_json,
    shared_row,
)

COUNTS = torch.tensor([9, 4, 1])


def resolve(text: str, protocol: str = "cifar100-lt", sets: tuple[str, ...] = ()) -> ResolvedRow:
    return resolve_row(parse_row(text), load_protocol_config(protocol, sets), load_registries())


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("ce", "ce"),
        ("ce+none", "ce"),
        ("sade", "sade"),
        ("sade+stability", "sade"),
        ("sade+none", "sade+none"),
        ("sade[tau=1]", "sade[tau=1]"),
        ("sade[tau=2]", "sade"),  # the value it has anyway
        ("sade[tau=2.0]+none", "sade+none"),
        ("sade+stability[epochs=5]", "sade"),
        ("sade+stability[epochs=3]", "sade+stability[epochs=3]"),
        ("sade[tau=0.5,reduced=false]+none", "sade[tau=0.5,reduced=False]+none"),
        ("sade[reduced=no,tau=1]", "sade[tau=1,reduced=False]"),  # in the order of the class
        ("ride+oracle", "ride+oracle"),
        ("logit-adjustment[where=loss]", "logit-adjustment[where=loss]"),
    ],
)
def test_labels(text: str, label: str) -> None:
    assert resolve(text).label == label


def test_labels_can_be_asked_for_again() -> None:
    row = resolve("sade[tau=0.5,reduced=false]+stability[epochs=3]")
    assert resolve(row.label) == row


def test_different_parameters_have_different_labels() -> None:
    assert resolve("sade[tau=1.2345678]").label != resolve("sade[tau=1.2345679]").label
    assert resolve("sade[tau=2.0000001]").label != resolve("sade").label


def test_the_protocols_parameters_are_the_usual_ones() -> None:
    row = resolve("sade", "cifar10-lt")
    assert row.hyper.to_json()["reduced"] is False
    assert row.method_params == ""
    assert resolve("sade[reduced=true]", "cifar10-lt").label == "sade[reduced=True]"
    assert resolve(
        "sade+stability", sets=("strategies.stability.epochs=2",)
    ).strategy_hyper.to_json() == {
        **resolve("sade").strategy_hyper.to_json(),
        "epochs": 2,
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sad", "unknown method 'sad'.*did you mean 'sade'"),
        ("sade+stabilty", "unknown strategy 'stabilty'.*did you mean 'stability'"),
        ("sade[ta=1]", "sade has no 'ta'.*did you mean 'tau'"),
        ("ce[tau=1]", r"ce has no 'tau' \(it has: reweight_from, beta\)"),
        ("sade[tau=high]", "sade.tau = 'high' must be a number"),
        ("sade[tau=-1]", "sade: tau = -1.0 must be at least 0"),
        ("sade+none[epochs=1]", "none has no 'epochs'"),
        ("sade+stability[epochs=0]", "stability: epochs = 0 must be at least 1"),
        ("logit-adjustment[where=loss2]", "must be one of: post-hoc, loss"),
        ("ride[experts=1]", "ride: experts = 1 must be at least 2"),
    ],
)
def test_wrong_rows_are_refused_in_one_line(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        resolve(text)
    assert "\n" not in str(caught.value)


def test_a_wrong_parameter_in_the_protocol_is_refused() -> None:
    with pytest.raises(InputError, match="sade has no 'tua'"):
        resolve("sade", sets=("methods.sade.tua=1",))


@pytest.mark.parametrize(
    "text", ["ce", "sade[tau=0.1,reduced=false]+stability[min_weight=0.3]", "ride[experts=4]+none"]
)
def test_a_worker_resolves_the_same_row(text: str) -> None:
    row, protocol = resolve(text), load_protocol_config("cifar100-lt")
    again = row_from_json(row.to_json(), protocol, load_registries())
    assert again == row
    assert again.identity() == row.identity()


def test_identity_names_parameters_and_versions() -> None:
    identity = resolve("sade[tau=1]+none").identity()
    assert identity["method"] == ["sade", {"tau": 1.0, "reduced": True}, 1, ""]
    assert identity["strategy"] == ["none", {}, 1, ""]
    assert resolve("sade[tau=1]").identity() != resolve("sade").identity()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ce+stability", "ce\\+stability: strategy 'stability' needs at least 2 experts, ce has 1"),
    ],
)
def test_impossible_pairs_are_refused(text: str, message: str) -> None:
    row = resolve(text)
    with pytest.raises(InputError, match=message):
        check_row(row, row.build_method(COUNTS))


@pytest.mark.parametrize(
    "text", ["ce", "ce+oracle", "sade", "ride+stability", "sade+oracle", "ride+oracle"]
)
def test_possible_pairs_pass(text: str) -> None:
    row = resolve(text)
    check_row(row, row.build_method(COUNTS))


def with_plugin(tmp_path: Path, text: str, body: str) -> ResolvedRow:
    file = tmp_path / "plugin.py"
    file.write_text(body)
    return resolve_row(
        parse_row(text), load_protocol_config("digits-lt"), load_registries([str(file)])
    )


@pytest.mark.parametrize(
    ("need", "message"),
    [
        ("holdout", "needs labelled training images.*`--set train.holdout=0.1` trains with"),
        ("network", "needs the trained network and clean test images; stored logits alone"),
    ],
)
def test_needs_that_a_trial_may_lack_are_refused_unless_offered(
    tmp_path: Path, need: str, message: str
) -> None:
    row = with_plugin(
        tmp_path,
        "ce+greedy",
        "from ltbench.strategy import Strategy\n"
        "class Greedy(Strategy):\n"
        "    name, title = 'greedy', 'greedy'\n"
        f"    needs = frozenset({{{need!r}}})\n"
        "    def adapt(self, test, source, rng): ...\n",
    )
    method = row.build_method(COUNTS)
    with pytest.raises(InputError, match=message) as caught:
        check_row(row, method)
    assert str(caught.value).startswith("ce+greedy: strategy 'greedy'")
    assert "\n" not in str(caught.value)
    check_row(row, method, holdout=need == "holdout", network=need == "network")


def test_a_method_of_unknown_bias_needs_a_holdout_to_fit_it(tmp_path: Path) -> None:
    row = with_plugin(
        tmp_path,
        "blind+oracle",
        "from ltbench.method import Method\n"
        "class Blind(Method):\n"
        "    name, title = 'blind', 'blind'\n"
        "    def loss(self, logits, targets, *, progress, rng=None): ...\n",
    )
    method = row.build_method(COUNTS)
    with pytest.raises(InputError, match=r"no closed form for it; with `--set train.holdout=0.1`"):
        check_row(row, method)
    check_row(row, method, holdout=True)
    assert row.may_estimate_bias


def test_which_rows_stand_on_an_estimate_or_on_draw_0_alone() -> None:
    rows = ["ce", "ce+oracle", "ride", "ride+oracle", "sade+stability", "ride+tent", "ce+bn-adapt"]
    assert [t for t in rows if resolve(t).may_estimate_bias] == ["ride+oracle"]
    assert [t for t in rows if resolve(t).first_draw_only] == ["ride+tent", "ce+bn-adapt"]


def shared(text: str) -> ResolvedRow:
    row = resolve(text)
    registries, protocol = load_registries(), load_protocol_config("cifar100-lt")
    return shared_row(row, row.build_method(COUNTS), protocol, registries)


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("logit-adjustment+oracle", "ce+oracle"),  # the oracle does not ask for `predict`
        ("logit-adjustment[tau=2]+oracle", "ce+oracle"),
        ("logit-adjustment", "logit-adjustment"),  # the prediction differs
        ("logit-adjustment[where=loss]+oracle", "logit-adjustment[where=loss]+oracle"),
        ("ce+oracle", "ce+oracle"),
        ("sade", "sade"),
    ],
)
def test_rows_that_are_one_are_told_under_the_trained_method(text: str, label: str) -> None:
    assert shared(text).label == label


def test_only_the_oracles_use_the_true_prior() -> None:
    uses: dict[str, Any] = {
        t: resolve(t).uses_true_prior for t in ("ce", "sade", "ce+oracle", "ce+oracle-calibrated")
    }
    assert uses == {
        **{"ce": False, "sade": False},
        **{"ce+oracle": True, "ce+oracle-calibrated": True},
    }


@pytest.mark.parametrize("strategy", ["bbse", "rlls", "lsc"])
def test_what_builds_a_table_of_classes_by_classes_is_refused_for_thousands(strategy: str) -> None:
    row = resolve(f"ce+{strategy}")
    few, many = torch.ones(2000, dtype=torch.int64), torch.ones(2001, dtype=torch.int64)
    check_row(row, row.build_method(few), holdout=True)
    with pytest.raises(
        InputError, match=r"at most 2,000 classes, there are 2,001; em and tilt have"
    ):
        check_row(row, row.build_method(many), holdout=True)


def test_a_bias_is_fitted_for_two_thousand_classes_at_most() -> None:
    row, closed = resolve("ride+em"), resolve("ce+em")
    many = torch.ones(2001, dtype=torch.int64)
    check_row(closed, closed.build_method(many), holdout=True)
    assert not knows_posterior(row.build_method(many))
    with pytest.raises(
        InputError, match=r"it is fitted for at most 2,000 classes, there are 2,001"
    ):
        check_row(row, row.build_method(many), holdout=True)
