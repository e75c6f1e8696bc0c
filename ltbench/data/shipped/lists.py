"""List files and a folder of images, as the large long-tailed sets are shared."""

from __future__ import annotations

from pathlib import Path

from ltbench.data.raw import Found
from ltbench.errors import DataError
from ltbench.method import NoHyper
from ltbench.protocol.protocol import DataConfig
from ltbench.source import DataSource, ImageRequest


class Lists(DataSource[NoHyper]):
    """Images of any size by lists of `path label`, opened one by one and never stored.

    A camera's rotation mark is not obeyed, as by the code that published sets were read with.
    """

    name, title = "lists", "Lists of image files, for sets of any size"
    licence = "that of the images"
    needs_folder = True
    expects = "the images that [data.lists] names, below one folder"

    def find(self, folder: Path | None, config: ImageRequest, options: NoHyper) -> Found | None:
        from ltbench.data.list_source import find_lists

        if not isinstance(config, DataConfig):
            raise DataError("source 'lists' needs the [data] of a protocol")
        return find_lists(folder, config) if folder else None
