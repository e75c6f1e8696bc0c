"""F7: a disk of 64 kB that is really full."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from ltbench.errors import LtbenchError
from ltbench.files import write_text
from ltbench.trial.tensor_file import Pieces, read_tensors, write_pieces, write_sealed


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    if not hasattr(os, "geteuid") or os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root may mount a small disk")
    folder = tmp_path / "disk"
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no small disk can be mounted: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("by", ["whole", "pieces", "text"])
def test_f07_a_small_disk_that_is_full(by: str, disk: Path) -> None:
    small, large = torch.arange(100.0), torch.zeros(100_000)
    write_sealed(disk / "logits.safetensors", {"logits": small})
    file = disk / "logits.safetensors"
    write = {
        "whole": lambda: write_sealed(file, {"logits": large}),
        "pieces": lambda: write_pieces(file, {"logits": Pieces.whole(large)}, sealed=True),
        "text": lambda: write_text(file, "x" * 400_000),
    }[by]
    with pytest.raises(LtbenchError, match=r"no space left .*; 400,\d\d\d bytes are needed"):
        write()
    assert [path.name for path in disk.iterdir()] == ["logits.safetensors"]
    assert torch.equal(read_tensors(disk / "logits.safetensors")["logits"], small)
