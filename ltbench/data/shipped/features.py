"""Frozen features of a pre-trained encoder, in a folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ltbench.data.raw import Found
from ltbench.errors import DataError
from ltbench.hyper import Hyper
from ltbench.protocol.protocol import DataConfig
from ltbench.settings import setting
from ltbench.source import DataSource, ImageRequest


@dataclass(frozen=True)
class FeatureOptions(Hyper):
    embedded: str = setting(
        "", choices=("", "digits"), help="no folder: the pixels of the embedded digits"
    )


class Features(DataSource[FeatureOptions]):
    """What an encoder made of every image, once; heads are trained on it."""

    name, title = "features", "Frozen features of a pre-trained encoder"
    licence = "that of the images and of the encoder"
    hyper_type = FeatureOptions
    expects = "features.json, train.safetensors and test.safetensors"

    def find(
        self, folder: Path | None, config: ImageRequest, options: FeatureOptions
    ) -> Found | None:
        from ltbench.data.feature_source import digit_features, find_features

        if options.embedded:
            if folder is not None:
                raise DataError("embedded features read no folder; leave --data-dir out")
            return digit_features()
        if folder is None:
            return None
        if not isinstance(config, DataConfig):
            raise DataError("source 'features' needs the [data] of a protocol")
        return find_features(folder, config)
