"""Any damage to any file that is read: a value, or one of ltbench's own errors in a line."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given

from .archives import MANY
from .mutations import budget, must_end, refused_in_a_line
from .readers import READERS

ALL = {**READERS, **MANY}


@pytest.mark.parametrize("name", ALL)
def test_the_file_is_read_or_refused_in_a_line(name: str) -> None:
    reader = ALL[name]

    @budget()
    @given(reader.strategy())
    def damaged(content: bytes) -> None:
        with tempfile.TemporaryDirectory() as folder:
            home = Path(folder, "home")
            home.mkdir()
            path = reader.lay(home, content)
            with refused_in_a_line(path, home):
                reader.read(home)
            assert [each.name for each in Path(folder).iterdir()] == ["home"]  # nothing got out

    damaged()


@pytest.mark.parametrize("name", ALL)
def test_the_sound_file_is_read(name: str, tmp_path: Path) -> None:
    """Else the damage would be to what is refused anyway."""
    reader = ALL[name]
    reader.lay(tmp_path, reader.valid())
    with must_end():
        reader.read(tmp_path)
