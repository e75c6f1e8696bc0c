"""Parquet shards as the Hugging Face hub has them."""

from __future__ import annotations

from pathlib import Path

from ltbench.data.raw import Found
from ltbench.method import NoHyper
from ltbench.source import DataSource, ImageRequest


class Parquet(DataSource[NoHyper]):
    """Encoded images in train-*.parquet and test-*.parquet, each exactly of the protocol's size."""

    name, title = "parquet", "Parquet files of the Hugging Face hub"
    licence = "that of the images"
    needs_folder = True
    expects = "train-*.parquet and test-*.parquet"

    def find(self, folder: Path | None, config: ImageRequest, options: NoHyper) -> Found | None:
        from ltbench.data.parquet import find_parquet

        return find_parquet(folder, config.classes, config.image_size) if folder else None
