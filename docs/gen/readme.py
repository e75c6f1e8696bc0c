"""README.md as two pages of the site: the first page, and the first hour (installing, the commands)."""

from __future__ import annotations

import re

FIRST_HOUR = ("Start", "Commands")
"""Headings of README.md, in its order; their sections make the page of the first hour."""

_POINTER = """## Start

[The first hour](docs/first-hour.md): from nothing to a report, and every command.

"""


def split_readme(text: str) -> dict[str, str]:
    """Page to Markdown; links are still those of README.md. Raises ValueError for a lost heading."""
    sections = re.split(r"^(?=## )", text, flags=re.MULTILINE)
    by_heading = {section.partition("\n")[0].removeprefix("## "): section for section in sections}
    lost = [heading for heading in FIRST_HOUR if heading not in by_heading]
    if lost:
        raise ValueError(f"README.md has no heading {lost[0]!r}; docs/gen/readme.py needs it")
    taken = [by_heading[heading] for heading in FIRST_HOUR]
    first = sections.index(taken[0])
    rest = [section for section in sections if section not in taken]
    rest.insert(first, _POINTER)
    return {
        "index.md": "".join(rest),
        "first-hour.md": "# The first hour\n\n" + "".join(taken),
    }
