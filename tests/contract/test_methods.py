"""What every registered method must keep; a new one is swept without being listed here."""

from __future__ import annotations

import pytest

from ltbench.contract.check import Check, check_method
from ltbench.contract.method_case import COUNTS, method_cases
from ltbench.registry import load_registries

REGISTRIES = load_registries()
METHODS = sorted(REGISTRIES.methods.plugins)
# Advice counts here: a plugin may do without a reference or help texts, what ships may not.
CHECKS = [
    check for name in METHODS for check in check_method(REGISTRIES.methods.get(name), REGISTRIES)
]
WITHOUT_BIAS = {
    *("dirmixe", "focal", "lade", "ride", "paco"),
    *("cdt", "influence-balanced", "ncl", "reslt", "ride-distilled", "tde"),
    *("ldam-drw", "tau-norm", "vs"),
    *("bayias", "cmo", "gcl", "lws", "mislas", "ncm", "remix"),
    "zero-shot",
}
"""Deferred weights, margins, random priors, regularisers, heads rescaled or made of means and mixes with
another label distribution: no cross-entropy on z + bias."""


def test_the_methods_are_there_and_none_is_broken() -> None:
    assert {
        *("balanced-softmax", "ce", "class-balanced", "dirmixe", "focal", "lade"),
        *("logit-adjustment", "plain-experts", "ride", "sade"),
    } <= set(METHODS)
    assert REGISTRIES.methods.broken == {}
    assert REGISTRIES.methods.clashes == {}


@pytest.mark.parametrize("check", CHECKS, ids=str)
def test_contract(check: Check) -> None:
    check()


def test_every_method_meets_every_property_in_every_variant() -> None:
    """Nothing is fine because it was not tried."""
    per_method = {name: {c.property.name for c in CHECKS if c.plugin == name} for name in METHODS}
    assert len({frozenset(names) for names in per_method.values()}) == 1
    assert len(per_method["ce"]) >= 20
    cases = method_cases(REGISTRIES.methods.get("logit-adjustment"), REGISTRIES)
    assert {(case.hyper.get("where"), len(case.counts)) for case in cases} == {
        (where, len(counts)) for where in (None, "loss") for counts in COUNTS.values()
    }


@pytest.mark.parametrize("name", METHODS)
def test_only_methods_without_a_closed_form_state_no_bias(name: str) -> None:
    for case in method_cases(REGISTRIES.methods.get(name), REGISTRIES):
        assert (case.build().bias() is None) == (name in WITHOUT_BIAS)
