"""What a protocol file does not take over from one that it extends, since its images are others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ltbench.errors import InputError
from ltbench.protocol.protocol import FEATURES, SOURCE_ALIASES

_OF_A_SOURCE = (
    *("data.image_size", "data.path", "data.fit", "data.options"),
    *("data.resize", "data.lists", "data.paths", "data.dim", "data.encoder"),
)
_OF_IMAGES = (
    *("data.mean", "data.std", "data.subset"),
    *("groups.many_above", "groups.few_below", "test.subsets", "test.mixes"),
)
PIXELS = (
    *("recipe.crop_padding", "recipe.flip", "recipe.rotation", "recipe.augment"),
    *("recipe.crop", "recipe.crop_scale", "recipe.jitter"),
)
"""What a recipe does to pixels."""
_OF_NETWORKS = (*PIXELS, "model.backbone", "model.shared", "model.pretrained")
_FOLDERS = ("image-folder", "parquet")
"""Sources that are another set of images in every folder."""


def foreign_keys(
    base: Mapping[str, Any], change: Mapping[str, Any], base_home: Path, home: Path
) -> tuple[str, ...]:
    """What is wrong of the images of ``change``, laid over ``base``: nothing where they are the same.

    Another source has other images, and so has another folder of a user's own; the latter keeps its
    ``image_size``. home, base_home: what relative paths are relative to.
    """
    old, new = _table(base, "data"), _table(change, "data")
    before = _source(old)
    source = _source(new) if "source" in new else before
    if source != before:
        of_networks = _OF_NETWORKS if FEATURES in (source, before) else ()
        return (*_OF_A_SOURCE, *_OF_IMAGES, *of_networks)
    paths = (new.get("path"), old.get("path"))
    if source not in _FOLDERS or not all(isinstance(path, str) and path for path in paths):
        return ()
    same = (home / str(paths[0])).resolve() == (base_home / str(paths[1])).resolve()
    return () if same else _OF_IMAGES


def _source(data: Mapping[str, Any]) -> Any:
    name = data.get("source")
    return SOURCE_ALIASES.get(name, name) if isinstance(name, str) else name


def leave_out(base: dict[str, Any], keys: Iterable[str]) -> list[str]:
    """Takes dotted ``keys`` out of ``base``; returns those that were there, in their order."""
    found = []
    for key in keys:
        *parents, last = key.split(".")
        here: Any = base
        for parent in parents:
            here = here.get(parent) if isinstance(here, dict) else None
        if isinstance(here, dict) and last in here:
            del here[last]
            found.append(key)
    return found


def unset(base: dict[str, Any], keys: Any, where: str) -> None:
    """Takes what ``unset = [...]`` lists out of ``base``; a key that is not there is a mistake."""
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise InputError(f'{where}: unset must list keys, as in unset = ["train.max_count"]')
    absent = sorted(set(keys) - set(leave_out(base, keys)))
    if absent:
        raise InputError(
            f"{where}: unset lists {absent[0]!r}, which the extended file does not state"
        )


def _table(table: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = table.get(key)
    return found if isinstance(found, Mapping) else {}
