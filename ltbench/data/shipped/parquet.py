"""Parquet shards as the Hugging Face hub has them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ltbench.data.raw import Found
from ltbench.hyper import Hyper
from ltbench.settings import setting
from ltbench.source import DataSource, ImageRequest


@dataclass(frozen=True)
class ParquetOptions(Hyper):
    image_column: str = setting("", help="empty: img or image")
    label_column: str = setting("", help="empty: fine_label or label")
    test_split: str = setting("", help="the split to test on, as files are named; empty: test")


class Parquet(DataSource[ParquetOptions]):
    """Encoded images of any size in train-*.parquet and test-*.parquet, here or in `data`.

    validation-*.parquet are validation images, or the test set by `test_split = "validation"`.
    """

    name, title = "parquet", "Parquet files of the Hugging Face hub"
    licence = "that of the images"
    hyper_type = ParquetOptions
    needs_folder = True
    expects = "train-*.parquet and test-*.parquet"

    def find(
        self, folder: Path | None, config: ImageRequest, options: ParquetOptions
    ) -> Found | None:
        from ltbench.data.parquet import Layout, find_parquet

        if folder is None:
            return None
        layout = Layout(options.image_column, options.label_column, options.test_split, config.fit)
        return find_parquet(folder, config.classes, config.image_size, layout)
