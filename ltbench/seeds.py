"""Random generators named by purpose: a new draw shifts no other, a resumed run needs no replay."""

from __future__ import annotations

import hashlib

import torch


def seed_for(*purpose: object) -> int:
    """A 63-bit seed from the names and numbers in ``purpose``; the same on every machine."""
    digest = hashlib.sha256("/".join(map(str, purpose)).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def generator(*purpose: object) -> torch.Generator:
    """A CPU generator seeded by ``purpose``, e.g. ``generator("order", seed, epoch)``."""
    return torch.Generator().manual_seed(seed_for(*purpose))
