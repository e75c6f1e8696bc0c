"""Tables with columns of any name, as CSV and as Parquet."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from ltbench import load_protocol
from ltbench.data.cache import entry_path
from ltbench.data.locate import locate
from ltbench.data.sources import open_data
from ltbench.data.split import SplitRule
from ltbench.data.split_table import draw_table
from ltbench.data.table_columns import Columns, recognise
from ltbench.errors import DataError, InputError
from ltbench.protocol.protocol import DataConfig
from ltbench.scaffold.write_own import write_own_protocol

CommandLine = Callable[..., CompletedProcess[str]]
RANDOM = np.random.RandomState(0)
RULE = SplitRule(0.25, 1, 0)


@pytest.fixture
def rows(tmp_path: Path) -> list[dict[str, Any]]:
    """Two classes of eight images, two of each patient; the split respects patients."""
    found = []
    for i in range(16):
        path = tmp_path / "scans" / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        pixels = RANDOM.randint(0, 256, (8, 8, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(path)
        split = "test" if i // 2 % 4 == 3 else "train"
        found.append(
            {"file": f"scans/{i}.png", "label": i // 8, "split": split, "patient": f"p{i // 2}"}
        )
    return found


def write(path: Path, rows: list[dict[str, Any]], names: dict[str, str]) -> Path:
    frame = pd.DataFrame(rows).rename(columns=names)
    if path.suffix == ".parquet":
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False)
    return path


def config(table: Path, **options: str) -> DataConfig:
    return DataConfig("table", 2, 8, path=str(table), options=options)


OTHER = {"file": "where is it", "label": "diagnosis", "split": "fold"}
OPTIONS = {
    "file_column": "where is it",
    "label_column": "diagnosis",
    "split_column": "fold",
}


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_named_columns_give_the_same_images(
    tmp_path: Path, rows: list[dict[str, Any]], suffix: str
) -> None:
    usual = open_data(config(write(tmp_path / "usual.csv", rows, {})))
    other = write(tmp_path / f"other.{suffix}", rows, OTHER)
    named = open_data(config(other, **OPTIONS))
    assert named.train.fingerprint == usual.train.fingerprint
    assert named.test.fingerprint == usual.test.fingerprint
    assert named.train.class_names == ("0", "1")
    with pytest.raises(DataError, match=r"no column 'file' .*\[data.options\] file_column"):
        open_data(config(other))


def test_absolute_paths_and_paths_below_a_folder(
    tmp_path: Path, rows: list[dict[str, Any]]
) -> None:
    usual = open_data(config(write(tmp_path / "usual.csv", rows, {})))
    (tmp_path / "elsewhere").mkdir()
    table = write(tmp_path / "elsewhere" / "t.parquet", rows, {})
    assert open_data(config(table), tmp_path).train.fingerprint == usual.train.fingerprint
    whole = [{**row, "file": str(tmp_path / row["file"])} for row in rows]
    table = write(tmp_path / "elsewhere" / "whole.parquet", whole, {})
    assert open_data(config(table)).train.labels.tolist() == usual.train.labels.tolist()


def test_tables_of_before_keep_their_cache_entry(
    tmp_path: Path, rows: list[dict[str, Any]]
) -> None:
    """The key as it was computed before there were columns of other names."""
    table = write(tmp_path / "t.csv", rows, {})
    found = locate(config(table), None).find()
    assert found is not None
    listed = {
        split: sorted(
            ((row["file"], row["label"]) for row in rows if row["split"] == split),
            key=lambda one: (one[1], one[0]),
        )
        for split in ("train", "test")
    }
    digest = hashlib.sha256(json.dumps([["0", "1"], listed]).encode()).hexdigest()
    paths = sorted(tmp_path / row["file"] for row in rows)
    files = [[str(path), path.stat().st_size, path.stat().st_mtime_ns] for path in paths]
    identity = [1, "table", files, {"image_size": 8, "rows": digest}]
    key = hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:20]
    assert entry_path(found).name == f"table-{key}"


def test_groups_on_both_sides_are_told_by_their_lines_alone(
    tmp_path: Path, rows: list[dict[str, Any]]
) -> None:
    table = write(tmp_path / "t.csv", rows, {})
    clean = open_data(config(table, group_column="patient"), thorough=True)
    assert clean.warnings == {}
    rows[0]["patient"] = "p3"  # of which both images are test images
    write(table, rows, {})
    splits = open_data(config(table, group_column="patient"), thorough=True)
    lines = splits.warnings["groups with images in train and in test"]
    assert lines == [f"{table}, line 2 and {table}, line 8"]
    assert "p3" not in repr((splits.warnings, splits.notes, splits.files, splits.origin))


@pytest.mark.parametrize("file", ["filename", "image", "path", "Image_Path"])
@pytest.mark.parametrize("label", ["class", "target"])
def test_common_names_are_recognised(
    tmp_path: Path, rows: list[dict[str, Any]], file: str, label: str
) -> None:
    table = write(tmp_path / "t.csv", rows, {"file": file, "label": label})
    found = recognise(table, {})
    assert found == Columns(file, label, "split")
    assert found.told() == f"file = {file!r}, label = {label!r}"


def test_what_is_not_clear_is_asked_for(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    both = [{**row, "image": row["file"]} for row in rows]
    table = write(tmp_path / "t.csv", both, {"file": "path"})
    with pytest.raises(DataError, match=r"columns path and image may both be .* --file-column"):
        recognise(table, {})
    assert recognise(table, {"file": "image"}).file == "image"
    with pytest.raises(DataError, match=r"no column 'imgae', which --file-column names .*'image'"):
        recognise(table, {"file": "imgae"})
    with pytest.raises(DataError, match="one column cannot be two things"):
        recognise(table, {"file": "path", "label": "path"})
    table = write(tmp_path / "t.csv", rows, {"label": "diagnosis"})
    with pytest.raises(DataError, match=r"no column 'label' .* by --label-column"):
        recognise(table, {})


def test_split_of_a_table_with_other_columns(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    plain = [{key: row[key] for key in ("file", "label", "patient")} for row in rows]
    table = write(tmp_path / "t.parquet", plain, {"file": "image", "label": "diagnosis"})
    out = tmp_path / "out.csv"
    drawn = draw_table(table, RULE, {"label": "diagnosis", "group": "patient"}, out)
    assert drawn.columns == Columns("image", "diagnosis", "", "patient")
    with out.open(newline="") as file:
        sides = {row["file"]: row["split"] for row in csv.DictReader(file)}
    assert out.read_text().startswith("file,label,split\n")
    assert "p0" not in out.read_text()
    for first in range(0, 16, 2):
        assert sides[f"scans/{first}.png"] == sides[f"scans/{first + 1}.png"]
    with pytest.raises(InputError, match=r"--file-column x needs a table; .* is a folder"):
        draw_table(tmp_path / "scans", RULE, {"file": "x"}, out)


def test_a_protocol_names_the_columns_that_were_taken(
    tmp_path: Path, rows: list[dict[str, Any]], ltbench_here: CommandLine
) -> None:
    table = write(tmp_path / "t.parquet", rows, {"file": "image", "label": "class"})
    stated = ("--group", "patient")
    done = ltbench_here("new", "protocol", "scans", "--table", table, *stated)
    assert done.returncode == 0, done.stderr
    assert "columns taken: file = 'image', label = 'class', group = 'patient'" in done.stdout
    protocol = load_protocol(str(tmp_path / "cwd" / "scans.toml"))
    assert protocol.data.options == {
        "file_column": "image",
        "label_column": "class",
        "group_column": "patient",
    }
    assert len(open_data(protocol.data).train) == 12
    checked = ltbench_here("data", "check", "scans.toml")
    assert checked.returncode == 0, checked.stderr
    assert "p3" not in checked.stdout
    refused = ltbench_here("new", "protocol", "x", "--images", "y", "--file-column", "z")
    assert "--file-column z needs --table, whose column it is" in refused.stderr
    assert refused.returncode == 2


def test_a_table_without_a_split_is_drawn_by_its_columns(
    tmp_path: Path, rows: list[dict[str, Any]]
) -> None:
    many = [{"name": row["file"], "target": row["label"], "who": row["patient"]} for row in rows]
    table = write(tmp_path / "t.csv", many, {})
    with pytest.raises(DataError, match="--file-column"):
        write_own_protocol("x", table, tmp_path / "home")
    stated = {"file": "name", "group": "who"}
    written = write_own_protocol("x", table, tmp_path / "home", stated)
    assert written.columns == Columns("name", "target", "", "who")
    assert written.table is not None
    assert dict(written.data.options) == {}
    assert len(open_data(load_protocol(str(written.protocol)).data).train) > 0


def embedded(path: Path, name: str) -> Path:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "PNG")
    cell = {"bytes": buffer.getvalue(), "path": "a.png"}
    pd.DataFrame({name: [cell] * 4, "label": [0, 1, 0, 1]}).to_parquet(path)
    return path


@pytest.mark.parametrize("name", ["image", "file", "picture"])
def test_images_inside_the_table_are_another_source(tmp_path: Path, name: str) -> None:
    table = embedded(tmp_path / "t.parquet", name)
    message = rf'holds the images themselves \(column {name!r}\) .* source = "parquet"'
    with pytest.raises(DataError, match=message):
        open_data(config(table))
    with pytest.raises(DataError, match=message):
        write_own_protocol("x", table, tmp_path / "home")
    with pytest.raises(DataError, match=message):
        draw_table(table, RULE, {}, tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()


def test_what_is_wrong_in_a_parquet_table(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    table = tmp_path / "t.parquet"
    table.write_bytes(b"file,label,split\n")
    with pytest.raises(DataError, match=r"t\.parquet is no readable Parquet table"):
        open_data(config(table))
    write(table, [{**row, "label": row["label"] + 0.5} for row in rows], {})
    with pytest.raises(DataError, match="'label' must hold texts or whole numbers, not double"):
        open_data(config(table))
    write(
        table,
        [{**row, "split": None if i == 2 else row["split"]} for i, row in enumerate(rows)],
        {},
    )
    with pytest.raises(DataError, match="row 3: 'split' is empty"):
        open_data(config(table))
    write(table, [{**row, "file": i} for i, row in enumerate(rows)], {})
    with pytest.raises(DataError, match="'file' must hold texts, not int64"):
        open_data(config(table))
