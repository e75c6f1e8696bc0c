"""Griffe's extension: docstrings name objects as Sphinx does; the site shows the name as code."""

from __future__ import annotations

import re
from typing import Any

import griffe

_ROLE = re.compile(r":(?:class|func|meth|mod|data|attr|exc):`~?([^`]+)`")


def without_roles(text: str) -> str:
    """``:class:`ValueError` `` becomes ``ValueError`` in code."""
    return _ROLE.sub(r"`\1`", text)


class Roles(griffe.Extension):
    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = without_roles(obj.docstring.value)
