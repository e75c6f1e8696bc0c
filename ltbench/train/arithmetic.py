"""TF32 on a GPU, set and told: convolutions or matrix products of float32 numbers with 10 bits of mantissa.

PyTorch's own default lets convolutions use it and matrix products not. It has two interfaces for that,
which must not be mixed: ``fp32_precision`` from torch 2.9 on, ``allow_tf32`` before. Only one is used here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from ltbench.errors import InputError

IEEE = "float32-ieee"
"""The stored precision of a training in float32 that never uses TF32."""


PRECISIONS = ("default", "float32", "tf32", "bf16", IEEE)
"""What may be asked for."""


def stored_precision(asked: str, kind: str) -> str:
    """The precision of a trial's identity. kind: ``cpu``, ``cuda`` or ``mps``.

    ``float32`` there has always meant PyTorch's default on the device: float32, and on a GPU TF32 in
    convolutions. So ``default`` is that; by name ``tf32`` is the same on a GPU and refused elsewhere, and
    ``float32`` never uses TF32, which on a GPU is another training and has another name. Raises
    :class:`InputError`, one line.
    """
    if asked not in PRECISIONS:
        raise InputError(f"precision {asked!r} must be one of: {', '.join(PRECISIONS)}")
    if asked == "tf32" and kind != "cuda":
        raise InputError(f"precision tf32 needs a CUDA device; this run uses {kind}")
    if asked == "float32" and kind == "cuda":
        return IEEE
    return "float32" if asked in ("default", "tf32") else asked


def tf32_flags() -> dict[str, bool]:
    """Whether TF32 is allowed, of ``convolutions`` and of ``matrix_products``."""
    cudnn: Any = torch.backends.cudnn
    matmul: Any = torch.backends.cuda.matmul
    if hasattr(cudnn, "conv"):
        return {
            "convolutions": cudnn.conv.fp32_precision == "tf32",
            "matrix_products": matmul.fp32_precision == "tf32",
        }
    return {"convolutions": cudnn.allow_tf32, "matrix_products": matmul.allow_tf32}


@contextmanager
def tf32(*, convolutions: bool, matrix_products: bool = False) -> Iterator[None]:
    """Within, TF32 is allowed as said; what it was before is restored. Elsewhere than on CUDA no effect."""
    before = tf32_flags()
    _set(convolutions, matrix_products)
    try:
        yield
    finally:
        _set(**before)


def _set(convolutions: bool, matrix_products: bool) -> None:
    """What is as it should be is left alone, so that no default becomes a setting."""
    cudnn: Any = torch.backends.cudnn
    matmul: Any = torch.backends.cuda.matmul
    now = tf32_flags()
    for key, owner, wanted in (
        ("convolutions", getattr(cudnn, "conv", cudnn), convolutions),
        ("matrix_products", matmul, matrix_products),
    ):
        if now[key] == wanted:
            continue
        if hasattr(cudnn, "conv"):
            owner.fp32_precision = "tf32" if wanted else "ieee"
        else:
            owner.allow_tf32 = wanted
