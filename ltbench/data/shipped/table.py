"""A user's own images by a table of files."""

from __future__ import annotations

from pathlib import Path

from ltbench.data.findings import shown
from ltbench.data.raw import Found
from ltbench.errors import DataError
from ltbench.method import NoHyper
from ltbench.source import DataSource, ImageRequest


class Table(DataSource[NoHyper]):
    """Images wherever they lie, listed as file, label, split; a camera's rotation mark is obeyed.

    ``data.path`` is the table. ``--data-dir`` may be another one, or the folder that the file names
    are below; otherwise they are below the folder of the table.
    """

    name, title = "table", "A table of image files of yours"
    licence = "that of the images"
    needs_folder = True
    expects = "CSV with the columns file, label, split"

    def check_folder(self, folder: Path | None, config: ImageRequest) -> None:
        self._table(folder, config)

    def find(self, folder: Path | None, config: ImageRequest, options: NoHyper) -> Found:
        from ltbench.data.table import find_table

        table = self._table(folder, config)
        base = folder if folder is not None and folder.is_dir() else table.parent
        return find_table(table, base, config.image_size, config.fit)

    def _table(self, folder: Path | None, config: ImageRequest) -> Path:
        given = folder is not None and not folder.is_dir()
        if not given and not config.path:
            raise DataError(f"source 'table' needs its table: give data.path{self.expected()}")
        table = folder if given and folder else Path(config.path).expanduser()
        if not table.is_file():
            what = "is a folder, no table" if table.is_dir() else "does not exist"
            raise DataError(f"table {shown(table)} {what}{self.expected()}")
        return table

    def folder_remedy(self, folder: Path | None) -> str:
        return (
            f"name a table with data.path{self.expected()}; `ltbench data split FOLDER -o FILE.csv` "
            "writes one"
        )
