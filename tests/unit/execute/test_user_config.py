"""The user's defaults for engines: picked up, overridden, and one line for what is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ltbench.errors import InputError
from ltbench.execute.choose_engine import choose_engine
from ltbench.execute.user_config import config_path, engine_defaults


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "mine.toml"
    monkeypatch.setenv("LTBENCH_CONFIG", str(path))
    return path


def test_what_is_not_given_comes_from_the_file(config: Path) -> None:
    pytest.importorskip("submitit", reason="ltbench[slurm] is not installed")
    config.write_text('[engine.slurm]\ncluster = "local"\npartition = "gpu"\ncpus = 4\n')
    settings: Any = choose_engine("slurm", {"cpus": "2"})
    assert (settings.partition, settings.cpus, settings.gpus) == ("gpu", 2, 0)
    assert choose_engine("local", {}).here  # the other engine's settings are not its own


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[engine.slurm]\npartitoin = 'gpu'", r"mine.toml: engine.slurm has no 'partitoin' .*'partition'"),
        ("[engine.slurm]\ncpus = 0", r"mine.toml: engine.slurm: cpus = 0 must be at least 1"),
        ("[engine.slurm]\ncpus = 'many'", r"mine.toml: engine.slurm.cpus = 'many' must be a whole"),
        ("[engine.slrum]\ncpus = 1", r"mine.toml: engine has no 'slrum' .*did you mean 'slurm'"),
        ("[engines.slurm]\ncpus = 1", r"mine.toml has no 'engines' .*did you mean 'engine'"),
        ("[engine]\nslurm = 3", r"mine.toml: engine.slurm must be a table, not 3"),
        ("engine = 'slurm'", r"mine.toml: engine must be a table, not 'slurm'"),
        ("[engine", r"mine.toml is not readable: "),
        ("\udcff", r"mine.toml is not readable: "),
        (None, r"LTBENCH_CONFIG names .*mine.toml, which is not there"),
    ],
)  # fmt: skip
def test_one_line_for_what_is_wrong(text: str | None, message: str, config: Path) -> None:
    pytest.importorskip("submitit", reason="ltbench[slurm] is not installed")
    if text is not None:
        config.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(InputError, match=message) as found:
        choose_engine("slurm", {"cluster": "local"})
    assert "\n" not in str(found.value)


def test_without_a_file_there_are_no_defaults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert config_path() == tmp_path / "ltbench" / "config.toml"
    assert engine_defaults(["slurm"]) == {}
    config_path().parent.mkdir()
    config_path().write_text("[engine.slurm]\ncpus = 3\n")
    assert engine_defaults(["slurm"]) == {"slurm": {"cpus": 3}}
