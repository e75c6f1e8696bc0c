"""Rare branches and constants of the estimators: what they give there, in numbers worked out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch import Tensor

from ltbench import get_method
from ltbench.labelshift.calibration import fit_temperature
from ltbench.labelshift.confusion import ClassifierHyper, _crossing, moments, predict_weighted
from ltbench.labelshift.expert_weights import WeightsHyper
from ltbench.labelshift.newton import Local, maximise
from ltbench.labelshift.posterior import LogPosterior
from ltbench.labelshift.simulated import smallest_k
from ltbench.labelshift.tilt import fit_tilt
from ltbench.strategy import OptimizerSettings, Source, UnlabelledTest

COUNTS = [6, 3, 1]
SGD = OptimizerSettings(0.1, 0.9, True, 5e-4)
# argmax with the bias of ce, which is none: class 0, 1, 1, 2
TEST = torch.tensor([[3.0, 0, 0], [0, 2, 0], [0, 2, 1], [0, 0, 4]])[:, None]
HELD = torch.tensor([[3.0, 0, 0], [2, 1, 0], [0, 2, 0], [0, 0, 4]])[:, None]
HELD_LABELS = torch.tensor([0, 1, 1, 2])


def world() -> tuple[UnlabelledTest, Source]:
    method = get_method("ce", COUNTS)
    held = {"holdout_logits": HELD, "holdout_labels": HELD_LABELS}
    return UnlabelledTest(TEST), Source(method, method.bias(), "closed-form", SGD, **held)


def posterior() -> LogPosterior:
    return LogPosterior(torch.zeros(1, 3))


def test_a_step_that_gains_nothing_is_halved() -> None:
    """Of -|x|^1.5 Newton's step leads from x to -x, where the value is the same, and back again."""

    def peak(x: Tensor, numbers: Tensor) -> Local:
        root = x.abs().sqrt()
        return Local(-(root**3), -1.5 * x.sign() * root, -0.75 / root)

    points, values = maximise(peak, torch.tensor([0.5]).double())
    assert points.item() == pytest.approx(0, abs=1e-7)
    assert values.item() == pytest.approx(0, abs=1e-9)


def test_the_defaults_of_weights_are_those_of_the_published_code() -> None:
    assert WeightsHyper() == WeightsHyper(epochs=5, batch_size=128, min_weight=0.05)


@pytest.mark.parametrize("degree", [1, 2])
def test_an_image_that_no_class_explains_gives_a_number(degree: int) -> None:
    u = torch.rand(30, 4, generator=torch.Generator().manual_seed(0)).double()
    u[7] = 0
    h = torch.linspace(1.5, -1.5, 4).double()
    features = torch.stack([h**k for k in range(1, degree + 1)])
    assert fit_tilt(u, features, 3.0).exponents.isfinite().all()


@pytest.mark.parametrize("degree", [2, 3])
def test_the_maximum_of_several_exponents_is_that_of_a_search_without_gradients(
    degree: int,
) -> None:
    u = torch.rand(80, 5, generator=torch.Generator().manual_seed(1)).double() ** 3
    h = torch.linspace(1.5, -1.5, 5).double()
    features = torch.stack([h**k for k in range(1, degree + 1)])
    f, table = features.numpy(), u.numpy()

    def loss(a: Any) -> float:
        q = np.exp(a @ f)
        return float(-np.log(table @ (q / q.sum())).sum() + a @ a / 8)

    slow = minimize(loss, np.zeros(degree), method="Nelder-Mead", tol=1e-10)
    found = fit_tilt(u, features, 2.0)
    assert loss(found.exponents.numpy()) == pytest.approx(slow.fun, abs=1e-6)
    np.testing.assert_allclose(found.exponents, slow.x, atol=2e-3)


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("classifier", ["training", "uniform"])
def test_moments_by_hand(soft: bool, classifier: str) -> None:
    test, source = world()
    found = moments(test, source, posterior(), ClassifierHyper(classifier=classifier, soft=soft))
    pi = np.array(COUNTS) / 10
    shift = np.log(pi) if classifier == "uniform" else 0.0

    def says(logits: Tensor) -> Any:
        z = np.exp(logits[:, 0].double().numpy() - shift)
        p = z / z.sum(axis=1, keepdims=True)
        return p if soft else np.eye(3)[p.argmax(axis=1)]

    table = np.zeros((3, 3))
    held = [1, 2, 1]
    for said, label in zip(says(HELD), HELD_LABELS.tolist(), strict=True):
        table[:, label] += said * pi[label] / held[label]
    np.testing.assert_allclose(found.table, table, atol=1e-7)
    np.testing.assert_allclose(found.target, says(TEST).mean(axis=0), atol=1e-7)
    assert found.held == 4


def test_scores_that_point_the_wrong_way_end_at_the_least_slope() -> None:
    labels = torch.arange(3).repeat(10)
    scores = -2 * torch.eye(3)[labels]
    found = fit_temperature(scores, labels, torch.ones(30))
    assert found.inverse_temperature == pytest.approx(1e-3)


def test_the_root_is_found_from_either_side_and_at_once_where_it_is_the_start() -> None:
    asked: list[float] = []

    def beyond(x: float) -> float:
        asked.append(x)
        return 3.0 - x

    assert _crossing(beyond, 3.0) == 3.0
    assert asked == [3.0]
    for start in (2.0, 4.0, -5.0):
        assert _crossing(beyond, start) == pytest.approx(3.0, abs=1e-8)


@pytest.mark.parametrize(("height", "end"), [(5.0, 10.0), (-5.0, -30.0)])
def test_without_a_root_it_is_the_end_that_is_pointed_to(height: float, end: float) -> None:
    assert _crossing(lambda x: height, 0.0) == end
    assert _crossing(lambda x: height, 1e3) == end


def test_weights_without_a_positive_one_are_no_estimate() -> None:
    test, source = world()
    adapted = predict_weighted(np.array([-1.0, 0.0, -2.0]), test, source, posterior(), {"a": 1})
    assert adapted.diagnostics == {"a": 1, "clipped": 2, "failed": True}
    assert adapted.prior is not None
    np.testing.assert_allclose(adapted.prior, [0.6, 0.3, 0.1], atol=1e-7)


def test_negative_weights_are_clipped_and_the_rest_normalised() -> None:
    test, source = world()
    adapted = predict_weighted(np.array([-1.0, 1.0, 3.0]), test, source, posterior(), {})
    assert adapted.diagnostics == {"clipped": 1, "failed": False}
    assert adapted.prior is not None
    np.testing.assert_allclose(adapted.prior, [0, 0.5, 0.5], atol=1e-7)


def test_the_least_k_exceeds_its_tolerance_and_does_not_only_reach_it() -> None:
    logits = torch.tensor([[3.0, 2.0, 1.0]] * 4)
    labels, weights = torch.tensor([0, 1, 1, 2]), torch.ones(4)
    assert (
        smallest_k(logits, labels, weights, 0.25) == 2
    )  # one of four is first: just the tolerance
    assert smallest_k(logits, labels, weights, 0.24) == 1
    assert smallest_k(logits, labels, weights, 0.75) == 3
