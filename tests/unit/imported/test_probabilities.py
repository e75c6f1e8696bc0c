"""Probabilities are told in every precision they come in; logits never are."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from ltbench.imported.probabilities import normalised_scores


def logits(n: int, classes: int, seed: int = 0, scale: float = 3.0) -> Tensor:
    return scale * torch.randn(n, classes, generator=torch.Generator().manual_seed(seed))


def softmax(n: int, classes: int, scale: float = 3.0) -> Tensor:
    return torch.softmax(logits(n, classes, scale=scale).double(), dim=1)


@pytest.mark.parametrize("classes", [2, 10, 100, 1000])
@pytest.mark.parametrize("kind", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("scale", [1, 100])
def test_rounded_to_a_type(classes: int, kind: torch.dtype, scale: int) -> None:
    given = (scale * softmax(200, classes)).to(kind)
    told = "probabilities in per cent" if scale == 100 else "probabilities"
    assert normalised_scores(given) == told
    assert normalised_scores(given.float()) == told  # saved as float32 afterwards


@pytest.mark.parametrize("classes", [2, 10, 100, 1000])
@pytest.mark.parametrize("decimals", [2, 3, 4, 6])
@pytest.mark.parametrize("cut", [torch.round, torch.floor])
def test_rounded_or_cut_to_decimals(classes: int, decimals: int, cut: object) -> None:
    assert callable(cut)
    given = cut(softmax(200, classes, scale=5) * 10**decimals) / 10**decimals
    assert normalised_scores(given) == "probabilities"
    assert normalised_scores(given.float()) == "probabilities"


def test_whole_per_cent_and_three_significant_digits() -> None:
    p = softmax(200, 10, scale=5)
    assert normalised_scores((100 * p).round()) == "probabilities in per cent"
    digits = torch.tensor([[float(f"{v:.3g}") for v in row] for row in p.tolist()])
    assert normalised_scores(digits) == "probabilities"


def test_negative_log_probabilities() -> None:
    assert normalised_scores(-softmax(50, 10).log()) == "negative log-probabilities"


@pytest.mark.parametrize(
    "given",
    [
        *(logits(n, c, seed) for n in (1, 20) for c in (2, 10) for seed in range(5)),
        torch.log_softmax(logits(50, 10), dim=1),
        torch.rand(50, 2, generator=torch.Generator().manual_seed(0)),  # in [0, 1], sums far from 1
        torch.sigmoid(logits(50, 10)),
        torch.relu(logits(50, 10)),
        logits(50, 10).sub(logits(50, 10).amin(dim=1, keepdim=True)),
        5.0 * torch.eye(10),
        100.0 * torch.eye(10),
        torch.randint(0, 3, (50, 100), generator=torch.Generator().manual_seed(0)).float(),
        torch.rand(50, 4, generator=torch.Generator().manual_seed(1)).mul(10).round() / 10,
    ],
)
def test_logits_are_left_alone(given: Tensor) -> None:
    assert normalised_scores(given) is None


def test_one_row_that_is_none_clears_the_rest() -> None:
    given = softmax(50, 10)
    given[7] *= 1.5
    assert normalised_scores(given) is None
    assert normalised_scores(torch.from_numpy(np.full((3, 4), 0.25))) == "probabilities"
