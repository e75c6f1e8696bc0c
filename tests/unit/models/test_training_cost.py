"""Multiply-accumulates of training against counts by hand."""

from __future__ import annotations

import pytest

from ltbench import get_method
from ltbench.method import Architecture, Phase
from ltbench.models.build import count_macs
from ltbench.models.training_cost import parts_of_a_step, training_macs

ONE, THREE = Architecture(), Architecture(experts=3)


def cost(request: Architecture, *phases: Phase) -> float:
    return training_macs("resnet8", 5, request, phases, 8)


@pytest.mark.parametrize("request_", [ONE, THREE])
def test_every_weight_that_learns_counts_three_times(request_: Architecture) -> None:
    forward = count_macs("resnet8", 5, request_, 8)
    assert cost(request_, Phase()) == 3 * forward


def test_a_frozen_trunk_costs_its_forward_pass_and_heads_their_slopes() -> None:
    forward = count_macs("resnet8", 5, THREE, 8)
    assert cost(THREE, Phase(train="heads")) == forward + 3 * 64 * 5


def test_phases_count_by_their_share() -> None:
    whole, heads = cost(ONE, Phase()), cost(ONE, Phase(train="heads"))
    both = cost(ONE, Phase("a", share=3.0), Phase("b", share=1.0, train="heads"))
    assert both == pytest.approx(0.75 * whole + 0.25 * heads)


def test_every_view_is_a_pass_and_nothing_trained_costs_nothing() -> None:
    assert cost(ONE, Phase(views=("recipe", "strong"))) == 2 * cost(ONE, Phase())
    assert cost(ONE, Phase(train=("extra",))) == count_macs("resnet8", 5, ONE, 8)
    assert cost(ONE) == 0


@pytest.mark.parametrize(
    ("name", "parts"), [("ce", [""]), ("sam", ["", ""]), ("imb-sam", ["rest", "tail", "tail"])]
)
def test_passes_of_a_step_are_counted_and_cost_as_often(name: str, parts: list[str]) -> None:
    method = get_method(name, [30, 5])
    found = parts_of_a_step(method)
    assert list(found) == parts
    several = training_macs("resnet8", 5, ONE, (Phase(),), 8, passes=len(found))
    assert several == len(parts) * cost(ONE, Phase())


def test_a_teacher_costs_one_forward_pass_for_every_view() -> None:
    phases = (Phase(views=("recipe", "strong")),)
    taught = training_macs("resnet8", 5, ONE, phases, 8, passes=2, teacher=THREE)
    forward = count_macs("resnet8", 5, THREE, 8)
    assert taught == 2 * (2 * cost(ONE, Phase()) + forward)
