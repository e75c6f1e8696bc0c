"""scikit-learn's handwritten digits: embedded, nothing to download."""

from __future__ import annotations

from pathlib import Path

from ltbench.data.raw import Found, Raw
from ltbench.errors import DataError
from ltbench.method import NoHyper
from ltbench.source import DataSource, ImageRequest


class Digits(DataSource[NoHyper]):
    """1,797 grey images of 8 x 8 pixels, ten classes; 60 of each are test images."""

    name, title = "digits", "Handwritten digits (scikit-learn)"
    licence = "CC BY 4.0"
    url = "https://archive.ics.uci.edu/dataset/80/optical+recognition+of+handwritten+digits"

    def check_folder(self, folder: Path | None, config: ImageRequest) -> None:
        # A path in the protocol was never looked at; a folder that is passed over would mislead.
        if folder is not None and str(folder) != config.path:
            raise DataError("the digits are embedded and read no folder; leave --data-dir out")

    def find(self, folder: Path | None, config: ImageRequest, options: NoHyper) -> Found:
        return Found("digits", "embedded in scikit-learn", (), self._read, stored=False)

    def _read(self) -> Raw:
        from ltbench.data.digits import CLASS_NAMES, IMAGE_SIZE, load_digits
        from ltbench.data.found import dataset_stream

        splits = load_digits()
        parts = (dataset_stream(splits.train), dataset_stream(splits.test))
        return Raw(CLASS_NAMES, IMAGE_SIZE, *parts)

    def folder_remedy(self, folder: Path | None) -> str:
        return "leave --data-dir out"
