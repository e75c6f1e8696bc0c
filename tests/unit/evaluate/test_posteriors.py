"""A method whose prior is no bias: strategies that reason about priors meet its log-posteriors."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor

from ltbench import get_method
from ltbench.errors import ContractError
from ltbench.evaluate.outputs import HoldOut, TrialOutputs
from ltbench.evaluate.posteriors import as_log_posteriors, log_posteriors
from ltbench.evaluate.sources import find_bias
from ltbench.names import parse_row
from ltbench.protocol.file import load_protocol_config
from ltbench.registry import load_registries
from ltbench.resolve.rows import knows_posterior, resolve_row

COUNTS = [40, 10, 1]


def logits(n: int, experts: int = 1) -> Tensor:
    return torch.randn(n, experts, 3, generator=torch.Generator().manual_seed(n))


def row(text: str) -> Any:
    return resolve_row(parse_row(text), load_protocol_config("digits-lt", {}), load_registries())


def outputs() -> TrialOutputs:
    none: Any = None
    z = logits(6)
    return TrialOutputs(
        none, none, z, z, torch.zeros(6).long(), lambda k: torch.stack([z, z + k]),
        holdout=HoldOut(logits(4), torch.zeros(4).long()),
        network=lambda: torch.nn.Identity(),
    )  # fmt: skip


def expected(z: Tensor) -> Tensor:
    n = torch.tensor(COUNTS, dtype=torch.float64)
    return ((n / 40) ** 0.3 * z + (n / n.sum()).log()).float()


def test_all_logits_that_a_prior_strategy_meets_are_log_posteriors() -> None:
    method, given = get_method("vs", COUNTS), outputs()
    met = as_log_posteriors(given, row("vs+em"), method)
    torch.testing.assert_close(met.logits, expected(given.logits))
    assert met.shifted_logits is met.logits
    torch.testing.assert_close(met.views(2)[1], expected(given.logits + 2))
    assert met.holdout is not None
    assert given.holdout is not None
    torch.testing.assert_close(met.holdout.logits, expected(given.holdout.logits))
    assert met.network is not None
    torch.testing.assert_close(met.network()(given.logits), expected(given.logits))
    known = find_bias(method, (1, 3), given.holdout)
    assert known.kind == "closed-form"
    assert torch.equal(known.value, torch.zeros(1, 3))  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["vs", "vs+entropy", "ce+em", "ride+em"])
def test_nobody_else_meets_them(text: str) -> None:
    asked, given = row(text), outputs()
    assert as_log_posteriors(given, asked, asked.build_method(torch.tensor(COUNTS))) is given


def test_in_an_ensemble_each_member_has_its_own() -> None:
    asked = row("2*vs+em")
    method = asked.build_method(torch.tensor(COUNTS))
    assert knows_posterior(method)
    assert not knows_posterior(get_method("ride", COUNTS))
    z = logits(5, experts=2)
    torch.testing.assert_close(log_posteriors(method, z), expected(z))
    assert not asked.may_estimate_bias


@pytest.mark.parametrize("wrong", [None, torch.zeros(2, 1, 2), torch.full((2, 1, 3), float("nan"))])
def test_a_wrong_posterior_is_one_line(wrong: Any) -> None:
    method = get_method("vs", COUNTS)
    method.posterior = lambda z: wrong  # type: ignore[method-assign,assignment]
    with pytest.raises(ContractError, match=r"^method 'vs': posterior returned .*expected finite"):
        log_posteriors(method, logits(2))


def test_the_sources_are_not_touched() -> None:
    given = outputs()
    before = dataclasses.replace(given, logits=given.logits.clone())
    as_log_posteriors(given, row("vs+em"), get_method("vs", COUNTS))
    assert torch.equal(given.logits, before.logits)
