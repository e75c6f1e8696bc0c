"""Minus infinity in log-probabilities: read as a probability too small for its precision."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from ltbench.errors import InputError
from ltbench.imported.outputs import read_outputs
from ltbench.imported.zeros import without_zeros

INF = math.inf


def test_zeros_fall_to_the_smallest_that_is_there_but_no_higher_than_16_bits() -> None:
    p = torch.tensor([[[0.75, 0.25, 0.0]]])
    scores, floor = without_zeros(p.log())
    assert floor == pytest.approx(-24 * math.log(2))
    assert scores[0, 0].tolist() == pytest.approx([math.log(0.75), math.log(0.25), floor])
    deep = torch.tensor([[[0.0, -60.0, -INF]], [[0.0, -INF, -INF]]])
    scores, floor = without_zeros(deep)
    assert floor == pytest.approx(-60)
    assert scores[1, 0].tolist() == pytest.approx([0, -60, -60])


def test_other_scores_and_the_scale_of_a_row_stay() -> None:
    plain = torch.randn(4, 2, 3)
    same, floor = without_zeros(plain)
    assert same is plain
    assert floor is None
    masked = torch.tensor([[[5.0, 5.0, -INF]]])  # logits with a class ruled out
    scores, floor = without_zeros(masked)
    assert floor is not None
    assert scores[0, 0].tolist() == pytest.approx([5, 5, 5 + math.log(2) + floor])
    huge, _ = without_zeros(torch.tensor([[[0.0, -3e38, -INF]]]))
    assert torch.isfinite(huge).all()


def read(folder: Path, rows: list[list[float]]) -> object:
    np.save(folder / "z.npy", np.array(rows, dtype=np.float32))
    np.save(folder / "y.npy", np.arange(len(rows)) % len(rows[0]))
    return read_outputs(folder / "z.npy", folder / "y.npy")


def test_what_a_row_must_not_be(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="every logit of image 1 is minus infinity"):
        read(tmp_path, [[0.0, -INF], [-INF, -INF]])
    with pytest.raises(InputError, match="logits of image 0 are NaN or infinite"):
        read(tmp_path, [[INF, 0.0], [0.0, -INF]])
    with pytest.raises(InputError, match="image 1 are NaN or infinite"):
        read(tmp_path, [[-INF, 0.0], [0.0, math.nan]])
