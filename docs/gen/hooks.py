"""MkDocs' hook: hands the assembled pages and files of the site to the build."""

from __future__ import annotations

from assemble import assemble
from families import LIST, needs_table, priors_table, readme_list
from interface import interface
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from protocol_keys import protocol_keys
from registry_page import registry_page

MADE = {
    LIST: readme_list,
    "needs of methods": needs_table,
    "priors of methods": priors_table,
    "methods and strategies": registry_page,
    "protocol keys": protocol_keys,
    "interface": interface,
}
"""What pages of docs/ mark as made at build time; nothing of it is stored."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    site = assemble(MADE)
    for place, text in site.pages.items():
        written = files.get_file_from_path(place)
        level = InclusionLevel.NOT_IN_NAV  # met through links, unless the navigation names it
        if written is not None:
            files.remove(written)
            level = written.inclusion
        files.append(File.generated(config, place, content=text, inclusion=level))
    for place, path in site.copied.items():
        files.append(File.generated(config, place, abs_src_path=str(path)))
    return files
