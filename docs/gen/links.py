"""Relative links of a Markdown text: found, and written anew for another place; code is left alone."""

from __future__ import annotations

import re
from collections.abc import Callable

_CODE_OR_LINK = re.compile(
    r"^(?P<fence>```+|~~~+).*?^(?P=fence)[ \t]*$"  # a fenced block
    r"|(?P<ticks>`+)[^`].*?(?<!`)(?P=ticks)(?!`)"  # code within a line
    r"|(?<=\]\()(?P<target>[^)\s]+)(?=[)\s])",
    re.DOTALL | re.MULTILINE,
)


def relative_links(text: str) -> list[str]:
    """Targets of all links and images that lead to a file, or to a heading of the same page."""
    found = (match["target"] for match in _CODE_OR_LINK.finditer(text))
    return [target for target in found if target and _is_relative(target)]


def rewrite_links(text: str, change: Callable[[str], str]) -> str:
    """``text`` with every relative link target replaced by what ``change`` makes of it."""

    def one(match: re.Match[str]) -> str:
        target = match["target"]
        return change(target) if target and _is_relative(target) else match[0]

    return _CODE_OR_LINK.sub(one, text)


def _is_relative(target: str) -> bool:
    return not re.match(r"[a-z][a-z0-9+.-]*:|/", target)
