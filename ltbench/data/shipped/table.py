"""A user's own images by a table of files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ltbench.data.findings import shown
from ltbench.data.raw import Found
from ltbench.errors import DataError
from ltbench.hyper import Hyper
from ltbench.settings import setting
from ltbench.source import DataSource, ImageRequest


@dataclass(frozen=True)
class TableOptions(Hyper):
    file_column: str = setting("file", help="column of the image files")
    label_column: str = setting("label", help="column of the labels")
    split_column: str = setting("split", help="column of `train`, `test` or `val`")
    group_column: str = setting(
        "",
        help="column whose equal values belong on one side: `ltbench data check` warns otherwise",
    )


class Table(DataSource[TableOptions]):
    """Images wherever they lie, listed in CSV or Parquet; a camera's rotation mark is obeyed.

    ``data.path`` is the table. ``--data-dir`` may be another one, or the folder that the file names
    are below; otherwise they are below the folder of the table.
    """

    name, title = "table", "A table of image files of yours"
    licence = "that of the images"
    needs_folder = True
    hyper_type = TableOptions
    expects = "CSV or Parquet with the columns file, label, split, or others by [data.options]"

    def check_folder(self, folder: Path | None, config: ImageRequest) -> None:
        self._table(folder, config)

    def find(self, folder: Path | None, config: ImageRequest, options: TableOptions) -> Found:
        from ltbench.data.table import find_table
        from ltbench.data.table_columns import Columns

        table = self._table(folder, config)
        base = folder if folder is not None and folder.is_dir() else table.parent
        columns = Columns(
            options.file_column, options.label_column, options.split_column, options.group_column
        )
        return find_table(table, base, config.image_size, config.fit, columns)

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
