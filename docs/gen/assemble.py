"""Everything the site is made of: the pages of docs/, README.md, and what they link to elsewhere.

The project has no public address to which a link that leaves docs/ could be rewritten. So the files
behind such links are taken into the site, in the folders where the repository has them, and links are
rewritten to them there. On a page of a repository the same links work as they stand.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath

from links import relative_links, rewrite_links
from readme import split_readme

ROOT = Path(__file__).resolve().parents[2]
README = "README.md"
_MARKED = re.compile(r"<!-- made: (.+?) -->.*?<!-- end -->", re.DOTALL)


@dataclass
class Site:
    """pages: Markdown by its place in the site; copied: other files that pages link to."""

    pages: dict[str, str] = field(default_factory=dict)
    copied: dict[str, Path] = field(default_factory=dict)


def place_of(path: str) -> str:
    """Where the site has the file that the repository has at ``path``."""
    return "index.md" if path == README else path.removeprefix("docs/")


def assemble(made: Mapping[str, Callable[[], str]]) -> Site:
    """``made`` maps the name in ``<!-- made: NAME -->`` to what makes the Markdown that replaces it.

    What stands between the marker and ``<!-- end -->`` is for readers without the site, and replaced.
    """
    site = Site()
    wanted = [page.relative_to(ROOT).as_posix() for page in sorted(ROOT.glob("docs/**/*.md"))]
    wanted.append(README)
    for path in wanted:  # grows while links are followed
        text = (ROOT / path).read_text(encoding="utf-8")
        text = _MARKED.sub(lambda match: made[match[1]](), text)
        for target in relative_links(text):
            found = repository_path(path, target.partition("#")[0])
            if found.endswith(".md") and (ROOT / found).is_file():
                wanted += [found] if found not in wanted else []
            elif not found.startswith("docs/") and (ROOT / found).is_file():
                site.copied[place_of(found)] = ROOT / found
        parts = split_readme(text) if path == README else {place_of(path): text}
        for place, part in parts.items():
            site.pages[place] = rewrite_links(part, partial(moved, path, place))
    return site


def repository_path(page: str, target: str) -> str:
    """What a link ``target`` of the page at ``page`` means, seen from the root of the repository."""
    joined = os.path.normpath(PurePosixPath(page).parent / target) if target else page
    return PurePosixPath(joined).as_posix()


def moved(page: str, place: str, target: str) -> str:
    """The link of the repository's ``page``, as its copy at ``place`` of the site must have it."""
    path, mark, anchor = target.partition("#")
    if not path:
        return target
    there = place_of(repository_path(page, path))
    return os.path.relpath(there, PurePosixPath(place).parent) + mark + anchor
