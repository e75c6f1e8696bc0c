"""Random generators named by purpose: a new draw shifts no other, a resumed run needs no replay."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_EVERYBODYS = threading.RLock()


def seed_for(*purpose: object) -> int:
    """A 63-bit seed from the names and numbers in ``purpose``; the same on every machine."""
    digest = hashlib.sha256("/".join(map(str, purpose)).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def generator(*purpose: object) -> torch.Generator:
    """A CPU generator seeded by ``purpose``, e.g. ``generator("order", seed, epoch)``."""
    return torch.Generator().manual_seed(seed_for(*purpose))


@contextmanager
def everybodys_generator(seed: int | None = None) -> Iterator[None]:
    """Within, torch's global CPU generator may be drawn from, seeded by ``seed`` where that is given; what it
    was before is restored. One thread at a time: trials that are threads of one process get their own draws.
    """
    with _EVERYBODYS, torch.random.fork_rng(devices=[]):
        if seed is not None:
            torch.default_generator.manual_seed(seed)
        yield
