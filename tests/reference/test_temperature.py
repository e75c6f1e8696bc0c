"""Where the temperature acts, against a transcription that is slow and plain."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import scipy
import torch
from numpy.typing import NDArray
from torch import Tensor

from ltbench import get_method, get_strategy
from ltbench.labelshift.temperature import TemperedHyper, tempered
from ltbench.method import log_prior
from ltbench.names import parse_row
from ltbench.protocol.file import load_protocol_config
from ltbench.registry import load_registries
from ltbench.resolve.rows import resolve_row
from ltbench.strategy import Adapted, OptimizerSettings, Source, UnlabelledTest

Array = NDArray[np.float64]
COUNTS = torch.tensor([200, 90, 40, 18, 8])
HELD = torch.arange(5).repeat_interleave(torch.tensor([50, 30, 20, 12, 8]))
PRIOR = torch.tensor([0.05, 0.1, 0.15, 0.3, 0.4]).double()
TEMPERED = ("em", "mlls", "bbse", "rlls", "tilt", "tilt-holdout")
SHARP = 3.0
"""How many times too large the log-posteriors are."""


def drawn(labels: Tensor, experts: int, rng: torch.Generator, sharp: float) -> Tensor:
    """Logits ``(N, E, C)`` of experts on unit Gaussians, ``sharp`` times the log-likelihoods; each
    expert has seen a point of its own."""
    centres = 1.5 * torch.eye(5)
    seen = centres[labels][:, None] + torch.randn(len(labels), experts, 5, generator=rng)
    return sharp * -0.5 * (seen[:, :, None] - centres).square().sum(dim=3)


def world(method: str = "ce", sharp: float = SHARP) -> tuple[UnlabelledTest, Source]:
    """z_e + b_e = sharp (log p(x|y) + log pi): its calibrated temperature is ``sharp`` for one expert."""
    rng = torch.Generator().manual_seed(0)
    built = get_method(method, COUNTS)
    bias = built.bias()
    assert bias is not None
    labels = torch.multinomial(PRIOR, 300, True, generator=rng)
    log_pi = log_prior(COUNTS)
    test, held = (drawn(y, len(bias), rng, sharp) + sharp * log_pi - bias for y in (labels, HELD))
    source = Source(
        built,
        bias,
        "closed-form",
        OptimizerSettings(0.1, 0.9, True, 5e-4),
        holdout_logits=held,
        holdout_labels=HELD,
    )
    return UnlabelledTest(test, true_prior=PRIOR), source


def adapt(name: str, given: tuple[UnlabelledTest, Source], **hyper: Any) -> Adapted:
    rng = torch.Generator().manual_seed(0)
    return get_strategy(name, **hyper).adapt(*given, rng)


def slow_temperature(held: Array, labels: Array) -> float:
    """argmin over T of sum_i w_i NLL(softmax(l_i / T), y_i), w_i = (pi_y / sum pi) / (h_y / sum h)."""
    pi = COUNTS.double().numpy() / float(COUNTS.sum())
    h = np.bincount(labels, minlength=5) / len(labels)

    def loss(log_t: float) -> float:
        total = 0.0
        for row, y in zip(held, labels, strict=True):
            z = row / np.exp(log_t)
            total -= pi[y] / h[y] * (z[y] - np.log(np.exp(z - z.max()).sum()) - z.max())
        return total

    found = scipy.optimize.minimize_scalar(
        loss, bounds=(-4, 4), method="bounded", options={"xatol": 1e-9}
    )
    return float(np.exp(found.x))


def slow_mean(logits: Tensor, source: Source) -> Array:
    """l_i = mean over experts of z_ie + b_e."""
    assert source.bias is not None
    z, b = logits.double().numpy(), source.bias.double().numpy()
    return np.array(
        [np.mean([z[i, e] + b[e] for e in range(len(b))], axis=0) for i in range(len(z))]
    )


@pytest.mark.parametrize("method", ["ce", "sade"])
def test_the_calibrated_oracle_is_bayes_rule_on_tempered_posteriors(method: str) -> None:
    test, source = world(method)
    assert source.holdout_logits is not None
    adapted = adapt("oracle-calibrated", (test, source))
    temperature = slow_temperature(slow_mean(source.holdout_logits, source), HELD.numpy())
    assert adapted.diagnostics["temperature"] == pytest.approx(temperature, rel=1e-5)
    assert adapted.diagnostics["calibrated"] is True
    log_pi = np.log(COUNTS.numpy() / COUNTS.sum().item())
    expected = slow_mean(test.logits, source) / temperature - log_pi + np.log(PRIOR.numpy())
    torch.testing.assert_close(
        adapted.logits.double().softmax(1),
        torch.from_numpy(expected).softmax(1),
        atol=1e-5,
        rtol=1e-4,
    )


def test_a_planted_temperature_is_found_and_the_oracle_is_calibrated() -> None:
    given = world()
    adapted = adapt("oracle-calibrated", given)
    assert adapted.diagnostics["temperature"] == pytest.approx(SHARP, rel=0.2)
    right = adapt("oracle", world(sharp=1.0)).logits.softmax(1)
    off = [(adapted.logits.softmax(1) - right).abs().mean().item()]
    off.append((adapt("oracle", given).logits.softmax(1) - right).abs().mean().item())
    assert off[0] < 0.3 * off[1]


@pytest.mark.parametrize("method", ["ce", "sade"])
def test_em_by_hand(method: str) -> None:
    """softmax(l / T) at the training prior, times q / pi, normalised; q the mean of what comes out."""
    test, source = world(method)
    assert source.holdout_logits is not None
    temperature = slow_temperature(slow_mean(source.holdout_logits, source), HELD.numpy())
    scores = slow_mean(test.logits, source) / temperature
    p = np.exp(scores - scores.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    pi = COUNTS.double().numpy() / float(COUNTS.sum())
    q = pi.copy()
    for _ in range(3000):
        r = p * q / pi
        q = (r / r.sum(axis=1, keepdims=True)).mean(axis=0)
    found = adapt("mlls", (test, source), temperature="holdout", iterations=3000).prior
    assert found is not None
    np.testing.assert_allclose(found.numpy(), q, atol=2e-4)
    plain = adapt("mlls", (test, source), iterations=3000).prior
    assert plain is not None
    assert np.abs(plain.numpy() - q).max() > 1e-2  # the temperature has a say here


@pytest.mark.parametrize("name", TEMPERED)
@pytest.mark.parametrize("method", ["ce", "sade"])
def test_dividing_beforehand_is_the_same(name: str, method: str) -> None:
    """l / T in the place of l, everywhere: what the strategy says of logits with z_e + b_e divided by T."""
    test, source = world(method)
    assert source.bias is not None
    assert source.holdout_logits is not None
    adapted = adapt(name, (test, source), temperature="holdout")
    t = float(str(adapted.diagnostics["temperature"]))
    bias = source.bias
    scaled_test, scaled_held = ((z + bias) / t - bias for z in (test.logits, source.holdout_logits))
    beforehand = Source(
        source.method,
        bias,
        "closed-form",
        source.optimizer,
        holdout_logits=scaled_held,
        holdout_labels=HELD,
    )
    expected = adapt(name, (UnlabelledTest(scaled_test), beforehand))
    torch.testing.assert_close(
        adapted.logits.softmax(1), expected.logits.softmax(1), atol=1e-3, rtol=1e-2
    )
    assert not torch.allclose(
        adapted.logits.softmax(1), adapt(name, (test, source)).logits.softmax(1), atol=1e-2
    )
    assert "temperature" not in adapt(name, (test, source)).diagnostics


@pytest.mark.parametrize("name", TEMPERED)
def test_a_temperature_of_one_is_none(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import ltbench.labelshift.temperature as module
    from ltbench.labelshift.calibration import Calibration

    monkeypatch.setattr(
        module,
        "fit_temperature",
        lambda *_: Calibration(torch.tensor(1.0).double(), torch.zeros(5).double()),
    )
    given = world("sade")
    at_one = adapt(name, given, temperature="holdout")
    assert at_one.diagnostics["temperature"] == 1
    assert torch.equal(at_one.logits, adapt(name, given).logits)


def test_a_temperature_of_one_makes_the_oracle(monkeypatch: pytest.MonkeyPatch) -> None:
    import ltbench.labelshift.temperature as module
    from ltbench.labelshift.calibration import Calibration

    monkeypatch.setattr(
        module,
        "fit_temperature",
        lambda *_: Calibration(torch.tensor(1.0).double(), torch.zeros(5).double()),
    )
    given = world("sade")
    torch.testing.assert_close(
        adapt("oracle-calibrated", given).logits, adapt("oracle", given).logits
    )


@pytest.mark.parametrize("combine", ["logits", "probabilities"])
def test_no_temperature_changes_a_decision_at_the_training_prior(combine: str) -> None:
    test, source = world("sade")
    plain, nothing = tempered(source, TemperedHyper(combine=combine))
    scaled, facts = tempered(source, TemperedHyper(combine=combine, temperature="holdout"))
    assert nothing == {}
    assert float(str(facts["temperature"])) > 1.02
    assert torch.equal(plain(test.logits).argmax(1), scaled(test.logits).argmax(1))


@pytest.mark.parametrize("name", TEMPERED)
def test_identities_are_as_they_were_before_the_setting(name: str) -> None:
    registries, protocol = load_registries(), load_protocol_config("digits-lt")
    plain = resolve_row(parse_row(f"ce+{name}"), protocol, registries)
    asked = resolve_row(parse_row(f"ce+{name}[temperature=holdout]"), protocol, registries)
    assert "temperature" not in json.dumps(plain.identity())
    assert asked.identity() != plain.identity()
    assert asked.label == f"ce+{name}[temperature=holdout]"
    assert asked.needs == plain.needs | {"holdout"}
