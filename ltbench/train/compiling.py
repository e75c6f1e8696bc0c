"""torch.compile as this benchmark uses it: one kernel for several, compiled once on a machine."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TypeVar, cast

import torch

from ltbench.data.cache import cache_root

F = TypeVar("F", bound=Callable[..., object])


def compiled(function: F) -> F:
    """The same function up to rounding.

    Each shape is compiled for itself: an epoch has two, and its last batch must not make the kernels of
    all others general ones. What is compiled is kept in the cache folder (``inductor``; elsewhere where
    ``TORCHINDUCTOR_CACHE_DIR`` says so), so that the next process of a machine loads it. No CUDA graphs of
    the compiler's own: where steps are recorded, they are recorded whole.
    """
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache_root() / "inductor"))
    return cast(F, torch.compile(function, dynamic=False))
