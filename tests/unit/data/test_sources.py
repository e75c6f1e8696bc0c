from __future__ import annotations

import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ltbench.data.sources import describe, is_ready, open_data
from ltbench.errors import DataError, InputError
from ltbench.protocol.protocol import DataConfig

Make = Callable[[str], Any]
CIFAR10 = DataConfig(source="cifar10", classes=10, image_size=32)
PROTOCOL = """
name = "{source}-mini"
version = "1.0"
title = "miniature"
seeds = [0]
[data]
source = "{source}"
classes = {classes}
image_size = {size}
[train]
profile = "all"
[recipe]
epochs = 1
batch_size = 8
lr = 0.1
"""


def test_unknown_source_suggests_the_nearest() -> None:
    with pytest.raises(InputError, match=r"unknown data source 'cifar-10' .* mean 'cifar10'"):
        open_data(DataConfig(source="cifar-10", classes=10, image_size=32))
    known = "cifar10, cifar100, digits, features, image-folder, lists, parquet, table"
    with pytest.raises(InputError, match=f"known: {known}"):
        describe(DataConfig(source="nothing like it", classes=10, image_size=32))


@pytest.mark.parametrize("source", ["cifar10", "cifar100", "parquet", "image-folder"])
def test_missing_and_empty_folder(source: str, tmp_path: Path) -> None:
    config = DataConfig(source=source, classes=10, image_size=32)
    (tmp_path / "empty").mkdir()
    for name, message in (("empty", "is empty; expected"), ("gone", "does not exist; expected")):
        with pytest.raises(DataError, match=message) as caught:
            open_data(config, tmp_path / name)
        assert caught.value.exit_code == 2
        assert "\n" not in str(caught.value)
        status = describe(config, tmp_path / name)
        assert not status.ready
        assert message in status.missing
        assert "--data-dir" in status.remedy


def test_digits_take_no_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="leave --data-dir out"):
        open_data(DataConfig(source="digits", classes=10, image_size=8), tmp_path)


def test_folder_with_other_things(tmp_path: Path) -> None:
    (tmp_path / "other.txt").write_text("x")
    with pytest.raises(DataError, match=r"holds no CIFAR-10; expected cifar-10-python\.tar\.gz"):
        open_data(CIFAR10, tmp_path)


def test_a_data_dir_is_never_written_into(mini: Make) -> None:
    made = mini("cifar10")
    folder = made.path.parent
    before = [(path.name, path.stat().st_mtime_ns) for path in [folder, *folder.iterdir()]]
    folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        open_data(CIFAR10, folder)
    finally:
        folder.chmod(stat.S_IRWXU)
    assert [(path.name, path.stat().st_mtime_ns) for path in [folder, *folder.iterdir()]] == before


def test_without_download_a_missing_set_is_an_error() -> None:
    assert not is_ready(CIFAR10)
    with pytest.raises(
        DataError, match="CIFAR-10 is not here; `ltbench data prepare` downloads it"
    ):
        open_data(CIFAR10, download=False)


def test_describe_a_set_before_and_after_decoding(mini: Make) -> None:
    made = mini("cifar10")
    status = describe(CIFAR10, made.path.parent)
    assert status.ready
    assert status.decoded is None
    assert str(made.path) in status.found
    open_data(CIFAR10, made.path.parent)
    decoded = describe(CIFAR10, made.path.parent).decoded
    assert decoded is not None
    assert decoded.parent == status.cache / "datasets"


def test_opening_data_needs_no_torch() -> None:
    code = (
        "import sys; import ltbench.data.sources, ltbench.data.parquet, ltbench.cli.data; "
        "sys.exit('torch' in sys.modules)"
    )
    root = Path(__file__).parents[3]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0


def test_commands(mini: Make, tmp_path: Path) -> None:
    from ltbench.cli.data import command

    made = mini("cifar10")
    path = tmp_path / "mini.toml"
    path.write_text(PROTOCOL.format(source="cifar10", classes=10, size=32))
    folder = ["--data-dir", str(made.path.parent)]

    def run(*words: str) -> Any:
        return CliRunner().invoke(command, list(words))

    where = run("where", str(path))
    assert where.exit_code == 0
    assert "ready:   no" in where.output
    assert "missing: CIFAR-10 is not here" in where.output
    check = run("check", str(path))
    assert isinstance(check.exception, DataError)
    assert check.exception.exit_code == 2
    prepare = run("prepare", str(path), *folder)
    assert prepare.exit_code == 0, prepare.output
    assert "train      50 images of 32 x 32 pixels, 10 classes of 5 to 5 images" in prepare.output
    assert "decoding images ..." in prepare.output
    again = run("check", str(path), *folder)
    assert again.exit_code == 0
    assert "decoding" not in again.output
    assert "ready:   yes" in run("where", str(path), *folder).output
    assert isinstance(run("check", str(path), "--data-dir", "gone").exception, DataError)
    assert isinstance(run("where", "no-such-protocol").exception, InputError)


def test_commands_on_the_embedded_digits(tmp_path: Path) -> None:
    from ltbench.cli.data import command

    path = tmp_path / "mini.toml"
    path.write_text(PROTOCOL.format(source="digits", classes=10, size=8))
    result = CliRunner().invoke(command, ["check", str(path)])
    assert result.exit_code == 0, result.output
    assert "test      600 images of 8 x 8 pixels, 10 classes of 60 to 60 images" in result.output
