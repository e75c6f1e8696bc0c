from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from ltbench.data.cache import entry_path
from ltbench.data.locate import locate
from ltbench.data.sources import describe, open_data
from ltbench.errors import DataError, InputError
from ltbench.protocol.protocol import DataConfig

CONFIG = DataConfig(source="parquet", classes=3, image_size=8)
GENERATOR = np.random.RandomState(3)
PIXELS = GENERATOR.randint(0, 256, (30, 3, 8, 8)).astype(np.uint8)
LABELS = [label % 3 for label in range(30)]


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels.transpose(1, 2, 0)).save(buffer, "PNG")
    return buffer.getvalue()


def write(
    folder: Path, split: str, rows: slice, shards: int, *, image: str = "img", label: str = "label"
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    cells = [{"bytes": png(pixels), "path": None} for pixels in PIXELS[rows]]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = pa.table({image: pa.array(cells, kind), label: pa.array(LABELS[rows], pa.int64())})
    bounds = [round(part * table.num_rows / shards) for part in range(shards + 1)]
    for part in range(shards):
        path = folder / f"{split}-{part:05d}-of-{shards:05d}.parquet"
        piece = table.slice(bounds[part], bounds[part + 1] - bounds[part])
        pq.write_table(piece, path, row_group_size=4)


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    folder = tmp_path / "shards"
    write(folder, "train", slice(0, 21), 3)
    write(folder, "test", slice(21, 30), 1)
    return folder


def test_pixels_labels_and_default_names(shards: Path) -> None:
    splits = open_data(CONFIG, shards)
    np.testing.assert_array_equal(splits.train.read(np.arange(21)), PIXELS[:21])
    np.testing.assert_array_equal(splits.test.read(np.arange(9)), PIXELS[21:])
    assert splits.train.labels.tolist() == LABELS[:21]
    assert splits.train.class_names == ("0", "1", "2")


def test_one_shard_equals_three(shards: Path, tmp_path: Path) -> None:
    single = tmp_path / "single"
    write(single, "train", slice(0, 21), 1, image="image", label="fine_label")
    write(single, "test", slice(21, 30), 1, image="image", label="fine_label")
    one, three = open_data(CONFIG, single), open_data(CONFIG, shards)
    assert one.train.fingerprint == three.train.fingerprint
    assert one.test.fingerprint == three.test.fingerprint


def test_names_of_the_hub_and_of_the_file(shards: Path) -> None:
    names = ["cat", "dog", "eel"]
    path = next(shards.glob("train-00000*"))
    info = {"info": {"features": {"label": {"names": names, "_type": "ClassLabel"}}}}
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata({"huggingface": json.dumps(info)}), path)
    assert open_data(CONFIG, shards).train.class_names == ("cat", "dog", "eel")
    (shards / "classes.json").write_text('["x", "y", "z"]')
    assert open_data(CONFIG, shards).train.class_names == ("x", "y", "z")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('["x", "y"]', "names 2 classes, the protocol says 3"),
        ('["x", "y", "x"]', "names a class twice"),
        ('{"x": 1}', "must be a list of class names"),
        ("[", "classes.json is not readable"),
    ],
)
def test_bad_class_names(shards: Path, content: str, message: str) -> None:
    (shards / "classes.json").write_text(content)
    with pytest.raises(InputError, match=message):
        open_data(CONFIG, shards)


def test_missing_shard_and_missing_split(shards: Path) -> None:
    next(shards.glob("train-00001*")).unlink()
    with pytest.raises(DataError, match="2 of 3 train shards; number 1 is missing"):
        open_data(CONFIG, shards)
    for path in shards.glob("test-*"):
        path.unlink()
    write(shards, "train", slice(0, 21), 3)
    with pytest.raises(DataError, match=r"no test-\*\.parquet"):
        open_data(CONFIG, shards)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (DataConfig("parquet", 2, 8), r"label 2 is outside 0\.\.1"),
        (DataConfig("parquet", 4, 8), "each class needs a training image, these have none: 3"),
    ],
)
def test_what_the_protocol_says_is_checked(shards: Path, config: DataConfig, message: str) -> None:
    with pytest.raises(DataError, match=message):
        open_data(config, shards)


def test_wrong_columns(tmp_path: Path) -> None:
    folder = tmp_path / "odd"
    write(folder, "train", slice(0, 21), 1, image="picture")
    write(folder, "test", slice(21, 30), 1)
    with pytest.raises(DataError, match=r"no image column img or image \(it has: picture, label\)"):
        open_data(CONFIG, folder)
    cells = pa.table({"img": ["x"], "label": [0]})
    pq.write_table(cells, folder / "train-00000-of-00001.parquet")
    with pytest.raises(DataError, match="must be a struct with bytes"):
        open_data(CONFIG, folder)


def test_the_layout_of_the_hub(shards: Path, tmp_path: Path) -> None:
    """``data/``, named columns, a validation split beside the others, and names from the metadata."""
    plain = open_data(CONFIG, shards)
    folder = tmp_path / "hub"
    for split, rows in (("train", slice(0, 21)), ("test", slice(21, 30))):
        write(folder / "data", split, rows, 1, image="picture", label="kind")
    options = {"image_column": "picture", "label_column": "kind"}
    config = DataConfig("parquet", 3, 8, options=options)
    named = open_data(config, folder)
    assert named.train.fingerprint == plain.train.fingerprint
    assert named.test.fingerprint == plain.test.fingerprint
    assert named.holdout is None
    write(folder / "data", "validation", slice(3, 9), 1, image="picture", label="kind")
    held = open_data(config, folder)
    assert held.holdout is not None
    np.testing.assert_array_equal(held.holdout.read(np.arange(6)), PIXELS[3:9])
    path = next((folder / "data").glob("train-*"))
    info = {"info": {"features": {"kind": {"names": ["x", "y", "z"], "_type": "ClassLabel"}}}}
    table = pq.read_table(path).replace_schema_metadata({"huggingface": json.dumps(info)})
    pq.write_table(table, path)
    assert open_data(config, folder).train.class_names == ("x", "y", "z")


@pytest.mark.parametrize("alias", ["validation", "val"])
def test_a_validation_split_is_the_test_set_by_name_alone(tmp_path: Path, alias: str) -> None:
    folder = tmp_path / "hub"
    write(folder, "train", slice(0, 21), 1)
    write(folder, alias, slice(21, 30), 1)
    with pytest.raises(DataError, match=f'to test on these: .* test_split = "{alias}"'):
        open_data(CONFIG, folder)
    config = DataConfig("parquet", 3, 8, options={"test_split": alias})
    splits = open_data(config, folder)
    np.testing.assert_array_equal(splits.test.read(np.arange(9)), PIXELS[21:])
    assert splits.holdout is None
    unlabelled = pa.table({"img": [{"bytes": png(PIXELS[0]), "path": None}], "label": [-1]})
    pq.write_table(unlabelled, folder / "test-00000-of-00001.parquet")
    assert len(open_data(config, folder).test) == 9
    with pytest.raises(DataError, match="label -1 in column label: images without a label"):
        open_data(CONFIG, folder)
    with pytest.raises(DataError, match="would test on the training images"):
        open_data(DataConfig("parquet", 3, 8, options={"test_split": "train"}), folder)


def test_images_of_any_size_are_resized_as_those_of_folders(tmp_path: Path) -> None:
    """Also bare bytes; a folder of the same files gives the same pixels, by every ``fit``."""
    folder, files = tmp_path / "hub", tmp_path / "files"
    folder.mkdir()
    for split in ("train", "test"):
        cells = []
        for label in range(3):
            pixels = GENERATOR.randint(0, 256, (11 + label, 20, 3)).astype(np.uint8)
            path = files / split / str(label) / "one.png"
            path.parent.mkdir(parents=True)
            Image.fromarray(pixels).save(path)
            cells.append(path.read_bytes())
        table = pa.table({"image": pa.array(cells, pa.binary()), "label": [0, 1, 2]})
        pq.write_table(table, folder / f"{split}-00000-of-00001.parquet")
    found = set()
    for fit in ("crop", "pad", "squash"):
        ours = open_data(DataConfig("parquet", 3, 8, fit=fit), folder)
        theirs = open_data(DataConfig("image-folder", 3, 8, fit=fit), files)
        assert ours.train.fingerprint == theirs.train.fingerprint
        assert ours.test.fingerprint == theirs.test.fingerprint
        found.add(ours.train.fingerprint)
    assert len(found) == 3


def test_layouts_of_before_keep_their_cache_entry(shards: Path) -> None:
    """The key as it was computed before there were options of the layout."""
    found = locate(CONFIG, shards).find()
    assert found is not None
    files = [
        [str(path), path.stat().st_size, path.stat().st_mtime_ns]
        for path in sorted(shards.glob("*.parquet"))
    ]
    identity = [1, "parquet", files, {"classes": 3, "image_size": 8}]
    key = hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:20]
    assert entry_path(found).name == f"parquet-{key}"


def test_a_named_column_that_is_not_there(shards: Path) -> None:
    config = DataConfig("parquet", 3, 8, options={"label_column": "lable"})
    with pytest.raises(DataError, match=r"no column 'lable', .*did you mean 'label'\?"):
        open_data(config, shards)


def test_path_of_the_protocol_is_used_without_a_data_dir(shards: Path) -> None:
    config = DataConfig(source="parquet", classes=3, image_size=8, path=str(shards))
    assert len(open_data(config).train) == 21
    assert describe(config).ready
    with pytest.raises(DataError, match=r"give --data-dir or data\.path"):
        open_data(CONFIG)
