"""A row of more than a thousand classes: its record stays small, arrays lie beside it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

import ltbench
from ltbench.shift.profiles import exponential_counts
from ltbench.trial.class_arrays import arrays_path, read_arrays

CLASSES = 1200


def test_a_record_of_1200_classes_is_small(tmp_path: Path) -> None:
    """Confusions of all classes, 1.4 million numbers a test set, are not in the record."""
    labels = torch.arange(CLASSES).repeat_interleave(3)
    logits = torch.randn(len(labels), CLASSES, generator=torch.Generator().manual_seed(0))
    logits[torch.arange(len(labels)), labels] += 3
    found = ltbench.import_outputs(
        logits,
        labels,
        name="mine",
        counts=exponential_counts(1000, 500, CLASSES),
        bias=np.zeros(CLASSES),
        strategies="none,oracle",
        results=tmp_path,
        **{"test.ratios": [2], "test.draws": 1},
    )
    records = sorted((Path(found.folder) / "evaluations").glob("*.json"))
    assert len(records) == 2
    for record in records:
        assert record.stat().st_size < 1_000_000
        arrays = read_arrays(arrays_path(record))
        assert set(arrays) >= {"uniform", "forward2", "backward2"}
        assert len(arrays["uniform"].confusion) == CLASSES
        assert len(arrays["uniform"].auroc) == CLASSES
