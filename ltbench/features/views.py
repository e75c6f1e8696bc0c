"""Which settings the stored pairs of views were rendered with, as a header tells it."""

from __future__ import annotations

from ltbench.protocol.protocol import ViewsConfig
from ltbench.trial.trial import content_hash


def views_identity(views: ViewsConfig) -> str:
    """12 hexadecimal digits of what decides the pixels of a pair: ``Header.views``."""
    return content_hash(views.images_identity())
