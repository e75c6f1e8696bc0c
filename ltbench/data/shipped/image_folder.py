"""A user's own images in class folders."""

from __future__ import annotations

from pathlib import Path

from ltbench.data.raw import Found
from ltbench.method import NoHyper
from ltbench.source import DataSource, ImageRequest


class ImageFolder(DataSource[NoHyper]):
    """Images of any format and size, a folder for each class; a camera's rotation mark is obeyed."""

    name, title = "image-folder", "Folders of images of yours (also: folder)"
    licence = "that of the images"
    needs_folder = True
    expects = "train/<class>/* and test/<class>/*"

    def find(self, folder: Path | None, config: ImageRequest, options: NoHyper) -> Found | None:
        from ltbench.data.folder import find_folder

        return find_folder(folder, config.image_size, config.fit) if folder else None

    def folder_remedy(self, folder: Path | None) -> str:
        from ltbench.data.folder_scan import split_remedy

        how = split_remedy(folder) if folder is not None else ""
        return how or super().folder_remedy(folder)
