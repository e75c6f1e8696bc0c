"""One score an image, and scores whose range is unlike that of logits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import ltbench
from ltbench.errors import InputError
from ltbench.imported.scores import doubtful_range
from ltbench.imported.two_classes import two_class_logits


def test_probabilities_and_log_odds_give_the_same_posterior() -> None:
    z = torch.tensor([-3.0, -0.2, 0.4, 6.0], dtype=torch.float64)
    p = torch.sigmoid(z)
    of_p, told_p = two_class_logits(p, "x")
    of_z, told_z = two_class_logits(z, "x")
    assert torch.allclose(of_p.softmax(dim=1), torch.stack([1 - p, p], dim=1))
    assert torch.allclose(of_z.softmax(dim=1), of_p.softmax(dim=1))
    assert "probabilities of class 1" in told_p
    assert "logits of class 1" in told_z


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ([0.0, 1.0, 1.0], "predicted classes, not scores"),
        ([12.5, 99.0, 3.0], "logits or per cent cannot be told apart"),
        ([0.5, float("nan")], "image 1 is NaN or infinite"),
    ],
)
def test_what_cannot_be_decided_is_refused(scores: list[float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        two_class_logits(torch.tensor(scores), "x")


def test_a_column_of_scores_is_scored_and_told(tmp_path: Path) -> None:
    labels = np.repeat([0, 1], [30, 30])
    p = np.where(labels == 1, 0.8, 0.3)
    p[0] = 0.9
    done = ltbench.import_outputs(
        p, labels, counts=[60, 20], name="mine", results=tmp_path, strategies="none"
    )
    assert any("taken as probabilities of class 1" in note for note in done.notes)
    assert list(done.uniform.values()) == [pytest.approx(100 * 59 / 60)]
    stored = ltbench.load_logits(done.folder).logits
    assert torch.allclose(stored[:, 0].softmax(dim=1)[:, 1], torch.tensor(p).float())


def test_ranges_that_are_no_logits_are_told() -> None:
    rng = np.random.default_rng(0)
    for high, words in ((1.0, "0 to 1"), (100.0, "0 to 100")):
        told = doubtful_range(torch.tensor(rng.uniform(0, high, size=(50, 1, 4))))
        assert told is not None
        assert words in told
    assert doubtful_range(torch.tensor(rng.uniform(0, 12, size=(50, 1, 4)))) is None
    assert doubtful_range(torch.tensor(rng.uniform(-1, 100, size=(50, 1, 4)))) is None
