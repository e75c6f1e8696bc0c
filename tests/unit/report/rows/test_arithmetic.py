"""What float32 meant where a trial was trained, old records included."""

from __future__ import annotations

from typing import Any

import pytest

from ltbench.report.records.checks import Node
from ltbench.report.records.parse import _arithmetic

NEVER, BOTH = "float32 without TF32", "TF32 in convolutions and matrix products"


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"device": "cpu"}, NEVER),
        ({"device": "mps"}, NEVER),
        ({"device": "NVIDIA H200"}, "TF32 in convolutions"),  # a record from before it was told
        ({}, ""),
        (
            {"device": "NVIDIA H200", "tf32": {"convolutions": False, "matrix_products": False}},
            NEVER,
        ),
        (
            {"device": "NVIDIA H200", "tf32": {"convolutions": True, "matrix_products": False}},
            "TF32 in convolutions",
        ),
        ({"device": "NVIDIA H200", "tf32": {"convolutions": True, "matrix_products": True}}, BOTH),
    ],
)
def test_what_a_record_tells(environment: dict[str, Any], told: str) -> None:
    assert _arithmetic(Node(environment)) == told
