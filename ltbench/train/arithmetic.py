"""TF32 on a GPU, set and told: convolutions or matrix products of float32 numbers with 10 bits of mantissa.

PyTorch's own default lets convolutions use it and matrix products not. It has two interfaces for that,
which must not be mixed: ``fp32_precision`` from torch 2.9 on, ``allow_tf32`` before. Only one is used here.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator
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
    """Within, TF32 is allowed as said; what it was before is restored. Elsewhere than on CUDA no effect.

    The flags are those of the process. So threads that want the same go on together, and one that wants
    something else waits until they are out: of trials that are threads none computes with another's flags.
    """
    undo = _TURNS.take(convolutions, matrix_products)
    try:
        yield
    finally:
        undo()


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


class _Turns:
    """Who is within :func:`tf32`: threads of one setting at a time, in the order in which they came."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._queue: deque[object] = deque()
        self._inside: Counter[int] = Counter()
        """How often each thread is."""
        self._setting: object = None
        self._before: dict[str, bool] = {}

    def take(self, convolutions: bool, matrix_products: bool) -> Callable[[], None]:
        """Waits for the turn and sets the flags; what is returned ends it."""
        me, wanted = threading.get_ident(), (convolutions, matrix_products)
        with self._changed:
            nested = me in self._inside
            if nested:  # it waits for no one who waits for it
                self._changed.wait_for(lambda: wanted == self._setting or len(self._inside) == 1)
            else:
                self._wait_in_line(wanted)
            if not self._inside:
                self._before = tf32_flags()
            outer, flags = self._setting, tf32_flags()
            other = nested and wanted != outer
            # Nobody joins a thread that is within two settings.
            self._setting = (wanted, object()) if other else wanted
            self._inside[me] += 1
            _set(*wanted)

        def leave() -> None:
            with self._changed:
                self._inside[me] -= 1
                if not self._inside[me]:
                    del self._inside[me]
                if other:
                    self._setting = outer
                    _set(**flags)
                elif not self._inside:
                    _set(**self._before)
                self._changed.notify_all()

        return leave

    def _wait_in_line(self, wanted: tuple[bool, bool]) -> None:
        ticket = object()
        self._queue.append(ticket)
        self._changed.wait_for(
            lambda: self._queue[0] is ticket and (not self._inside or wanted == self._setting)
        )
        self._queue.popleft()
        self._changed.notify_all()


_TURNS = _Turns()
