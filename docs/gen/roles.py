"""Docstrings name objects as Sphinx does; the site shows the name as code."""

from __future__ import annotations

import re

_ROLE = re.compile(r":(?:class|func|meth|mod|data|attr|exc):`~?([^`]+)`")


def without_roles(text: str) -> str:
    """``:class:`ValueError` `` becomes ``ValueError`` in code."""
    return _ROLE.sub(r"`\1`", text)
