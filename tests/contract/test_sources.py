"""What every registered source of images must keep; a new one is swept without being listed here."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from ltbench.contract.check import Check, check_source
from ltbench.contract.sources import CLASSES, DAMAGE, IMAGE_PROPERTIES, IMAGE_SIZE
from ltbench.registry import load_sources

SOURCES = load_sources()
CHECKS = [
    check
    for name in sorted(SOURCES.plugins)
    for check in check_source(SOURCES.get(name))
    if check.property.name != "images_are_here"  # most are not, and no test downloads
]


def test_those_that_ltbench_ships_are_there_and_none_is_broken() -> None:
    shipped = {"cifar10", "cifar100", "digits", "image-folder", "lists", "parquet", "table"}
    assert shipped <= set(SOURCES.plugins)
    assert SOURCES.broken == {}
    assert SOURCES.clashes == {}


@pytest.mark.parametrize("check", CHECKS, ids=str)
def test_contract(check: Check) -> None:
    check()


def test_the_digits_meet_every_property_of_images() -> None:
    """Nothing is fine because it was not tried."""
    met = {check.property.name for check in CHECKS if check.plugin == "digits"}
    assert {each.name for each in IMAGE_PROPERTIES} <= met


def png(label: int, split: int) -> bytes:
    pixels = np.full((IMAGE_SIZE, IMAGE_SIZE, 3), 20 * label + split, np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def write_folder(root: Path) -> None:
    for i, split in enumerate(("train", "test")):
        for label in range(CLASSES):
            folder = root / split / str(label)
            folder.mkdir(parents=True)
            (folder / "one.png").write_bytes(png(label, i))


def write_parquet(root: Path) -> None:
    root.mkdir()
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    for i, split in enumerate(("train", "test")):
        cells = [{"bytes": png(label, i), "path": None} for label in range(CLASSES)]
        columns = {"image": pa.array(cells, kind), "label": pa.array(range(CLASSES), pa.int64())}
        pq.write_table(pa.table(columns), root / f"{split}-00000-of-00001.parquet")


@pytest.mark.parametrize(
    ("name", "write"), [("image-folder", write_folder), ("parquet", write_parquet)]
)
def test_with_images_all_of_it_holds(tmp_path: Path, name: str, write: object) -> None:
    assert callable(write)
    root = tmp_path / "images"
    write(root)
    checks = list(check_source(SOURCES.get(name), root))
    assert {DAMAGE.name, *(each.name for each in IMAGE_PROPERTIES)} <= {
        check.property.name for check in checks
    }
    for check in checks:
        check()
