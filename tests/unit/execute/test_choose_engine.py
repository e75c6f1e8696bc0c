"""Engines by name: one line for what is wrong, and nothing imported that was not asked for."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, replace
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from ltbench.errors import InputError
from ltbench.execute import choose_engine as module
from ltbench.execute.choose_engine import choose_engine
from ltbench.execute.engine import Sharing, Start
from ltbench.settings import setting


def test_an_extra_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"needs submitit, .*pip install 'ltbench\[slurm\]'"):
        choose_engine("slurm", {})
    with pytest.raises(InputError, match=r"needs ray, .*pip install 'ltbench\[ray\]'"):
        choose_engine("ray=head:6379", {})
    assert choose_engine("local", {}).here


def test_a_local_run_imports_no_other_engine() -> None:
    code = (
        "import sys, ltbench.execute.run, ltbench.execute.prepare, ltbench.execute.worker; "
        "sys.exit(any(name in sys.modules for name in ('submitit', 'ray')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_slurm_that_is_not_here(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("submitit", reason="ltbench[slurm] is not installed")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(InputError, match="needs sbatch, which is not found here"):
        choose_engine("slurm", {})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"partitoin": "gpu"}, "engine slurm has no 'partitoin' .*did you mean 'partition'"),
        ({"cpus": "0"}, "engine slurm: cpus = 0 must be at least 1"),
        ({"gpus": "65"}, "gpus = 65 must be at most 64"),
        ({"time": "soon"}, "engine slurm.time = 'soon' must be a whole number"),
        ({"cluster": "pbs"}, "cluster = 'pbs' must be one of: slurm, local"),
    ],
)
def test_wrong_settings(values: dict[str, str], message: str) -> None:
    pytest.importorskip("submitit", reason="ltbench[slurm] is not installed")
    with pytest.raises(InputError, match=message):
        choose_engine("slurm", {"cluster": "local", **values})


def test_what_slurm_is_asked_for() -> None:
    pytest.importorskip("submitit", reason="ltbench[slurm] is not installed")
    settings: Any = choose_engine("slurm", {"cluster": "local", "trials_per_job": "4"})
    assert settings.minutes(60.0) == 30
    assert settings.minutes(3600.0) == 360  # four trials, half as many minutes again
    assert (settings.device("auto"), settings.device("cuda:0")) == ("cpu", "cuda")
    assert choose_engine("slurm", {"cluster": "local", "gres": "gpu:1"}).device("auto") == "cuda"
    with pytest.raises(InputError, match="device 'tpu' must be one of"):
        settings.device("tpu")


@pytest.fixture
def ray_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings need no Ray."""
    monkeypatch.setattr(module, "find_spec", lambda name: name)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"address": "local"}, "without an address it starts a cluster here; drop 'local'"),
        ({"address": "ray://head:10001"}, "run the command on a node of the cluster"),
        ({"adress": "head:1"}, "engine ray has no 'adress' .*did you mean 'address'"),
        ({"results": "here"}, "results = 'here' must be one of: shared, collect"),
        ({"gpus": "2"}, "gpus = 2 must be at most 1"),
    ],
)
def test_wrong_settings_of_ray(values: dict[str, str], message: str, ray_is_there: None) -> None:
    with pytest.raises(InputError, match=message):
        choose_engine("ray", values)


def test_what_ray_is_asked_for(ray_is_there: None) -> None:
    joined: Any = choose_engine("ray=head:6379", {})
    with_gpus: Any = choose_engine("ray=head:6379", {"gpus": "1", "cpus": "3"})
    assert (joined.device("auto"), with_gpus.device("auto")) == ("cpu", "cuda")
    assert joined.device("cuda") == "cuda"
    asked = Sharing(jobs=None, jobs_per_gpu=4, trials=7, device="auto")
    assert joined.share(asked) == (7, 1)
    assert with_gpus.share(replace(asked, jobs=2)) == (2, 3)
    with pytest.raises(InputError, match="'cuda:1': Ray deals out the GPUs; give 'cuda'"):
        joined.device("cuda:1")


def test_large_trials_are_not_collected(ray_is_there: None, tmp_path: Path) -> None:
    settings = choose_engine("ray", {"results": "collect"})
    with pytest.raises(InputError, match="takes about 9 h; it is for trials of up to an hour"):
        settings.start(Start(1, 1, tmp_path, seconds=9 * 3600.0))


@dataclass(frozen=True)
class Elsewhere:
    """An engine of another package."""

    here = False
    detachable = False
    address: str = setting("", help="of the other place")

    def check(self) -> None:
        if not self.address:
            raise InputError("engine 'elsewhere' needs address")


class NoSettings:
    pass


def test_an_engine_of_another_package(monkeypatch: pytest.MonkeyPatch) -> None:
    def found(group: str) -> list[EntryPoint]:
        return [
            EntryPoint("elsewhere", f"{__name__}:Elsewhere", group),
            EntryPoint("none", f"{__name__}:NoSettings", group),
            EntryPoint("gone", "ltbench.no_such_module:Engine", group),
        ]

    monkeypatch.setattr(module, "entry_points", found)
    monkeypatch.setattr(EntryPoint, "load", _load)
    assert choose_engine("elsewhere", {"address": "there"}) == Elsewhere("there")
    assert choose_engine("elsewhere=there:1", {}) == Elsewhere("there:1")
    with pytest.raises(InputError, match="address of engine 'elsewhere' is given twice"):
        choose_engine("elsewhere=there", {"address": "there"})
    for name, message in (
        ("elsewhere", "needs address"),
        ("none", "is no dataclass of settings"),
        ("gone", "'gone' cannot be imported: ModuleNotFoundError"),
        ("elsewere", "known: elsewhere, gone, local, none, ray, slurm.*did you mean 'elsewhere'"),
    ):
        with pytest.raises(InputError, match=message):
            choose_engine(name, {})


def _load(entry: EntryPoint) -> object:
    if entry.name == "gone":
        raise ModuleNotFoundError("no such module")
    return {"elsewhere": Elsewhere, "none": NoSettings}[entry.name]
