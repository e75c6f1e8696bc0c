"""F6 to F8: damaged records, a full disk, a folder that cannot be written."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest

from ltbench import files
from ltbench.data.dataset import ArrayDataset
from ltbench.errors import InputError, LtbenchError
from ltbench.evaluate.view_images import view_pair
from ltbench.files import read_json, sweep_abandoned, write_atomically, write_json, write_text
from ltbench.protocol.protocol import ViewsConfig
from ltbench.report.build import _parquet
from ltbench.report.page.picture import save_files
from ltbench.report.records.read import read_records
from ltbench.trial import tensor_file
from ltbench.trial.class_arrays import ClassArrays, write_arrays
from tests.unit.report.builder import Results, flat

CommandLine = Callable[..., CompletedProcess[str]]
METHODS = ["--methods", "ce,balanced-softmax"]


@pytest.fixture(scope="module")
def sound(ltbench: CommandLine, quick: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    results = tmp_path_factory.mktemp("sound") / "results"
    assert ltbench("run", *METHODS, *quick, "--results", results).returncode == 0
    return results


@pytest.fixture
def results(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "results"))


def the_file(results: Path, pattern: str) -> Path:
    (found,) = results.glob(f"digits-lt/{pattern}")
    return found


DAMAGE = {
    "empty": ("", "the file is empty"),
    "cut": ('{"schema": 1, "status": "fin', "Unterminated string"),
    "no object": ("[1, 2]", "not an object"),
    "null": ("null", "not an object"),
    "no schema": ("{}", "schema is missing"),
    "newer": ('{"schema": 99}', "schema 99 is newer than 1"),
    "nan": ('{"schema": NaN}', "schema"),
    "no text": ("\xff\xfe\x00", "utf-8"),
    "deep": ("[" * 100_000, "nested too deeply"),
    "unfinished": ('{"schema": 1, "status": "started"}', "status is 'started', not 'finished'"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_f06_a_damaged_trial_record(damage: str, results: Path, ltbench_here: CommandLine) -> None:
    """F6: listed with path and reason, the rest is reported; --strict refuses."""
    text, reason = DAMAGE[damage]
    file = the_file(results, "ce/0-*/trial.json")
    file.write_bytes(text.encode("latin-1"))
    done = ltbench_here("report", "--results", results, "--no-figures")
    assert done.returncode == 0
    (line,) = [line for line in done.stdout.splitlines() if str(file) in line]
    assert reason in line
    assert "its 2 evaluations are not counted" in line
    table = (results / "report").glob("*/tables/main.csv").__next__().read_text()
    assert "balanced-softmax" in table
    assert "\nce," not in table
    done = ltbench_here("report", "--results", results, "--no-figures", "--strict")
    assert done.returncode == 2
    assert str(file) in done.stderr.splitlines()[-1]
    done = ltbench_here("status", "--results", results)
    assert done.returncode == 0
    if damage != "unfinished":
        assert "1 finished, 1 unreadable" in done.stdout


def test_f06_run_makes_damaged_trials_anew(
    results: Path, ltbench_here: CommandLine, quick: list[str]
) -> None:
    damaged = {
        the_file(results, "ce/0-*/trial.json"): "empty",
        the_file(results, "balanced-softmax/0-*/trial.json"): "cut",
    }
    before = {path: path.read_bytes() for path in results.rglob("*.safetensors")}
    for file, damage in damaged.items():
        file.write_text(DAMAGE[damage][0])
    done = ltbench_here("run", *METHODS, *quick, "--results", results)
    assert done.returncode == 0
    assert done.stdout.count("trained in") == 2
    for file in damaged:
        assert json.loads(file.read_text())["status"] == "finished"
    assert {path: path.read_bytes() for path in results.rglob("*.safetensors")} == before
    done = ltbench_here("report", "--results", results, "--no-figures", "--strict")
    assert done.returncode == 0


@pytest.mark.parametrize("record", ["ce/0-*/trial.json", "ce/0-*/evaluations/ce+none-*.json"])
def test_f06_run_leaves_records_of_a_later_version_alone(
    record: str, results: Path, ltbench_here: CommandLine, quick: list[str]
) -> None:
    file = the_file(results, record)
    file.write_text(DAMAGE["newer"][0])
    before = {path: path.read_bytes() for path in results.rglob("*") if path.is_file()}
    done = ltbench_here("run", *METHODS, *quick, "--results", results)
    assert done.returncode == 2
    assert f"{file} is not readable: schema 99 is newer than 1; update ltbench" in done.stderr
    assert {path: path.read_bytes() for path in results.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("damage", ["empty", "cut", "newer", "nan"])
def test_f06_a_damaged_evaluation(
    damage: str, results: Path, sound: Path, ltbench_here: CommandLine, quick: list[str]
) -> None:
    pattern = "ce/0-*/evaluations/ce+oracle-*.json"
    file = the_file(results, pattern)
    file.write_text(DAMAGE[damage][0])
    done = ltbench_here("report", "--results", results, "--no-figures")
    assert done.returncode == 0
    assert f"{file}: " in done.stdout
    table = (results / "report").glob("*/tables/main.csv").__next__().read_text()
    assert "\nce," in table
    assert "ce+oracle" not in table
    done = ltbench_here("report", "--results", results, "--no-figures", "--strict")
    assert done.returncode == 2
    if damage == "cut":  # one repair tells as much as four
        done = ltbench_here("run", *METHODS, *quick, "--results", results)
        assert done.returncode == 0
        assert "trained" not in done.stdout
        mended, whole = (
            json.loads(file.read_text()),
            json.loads(the_file(sound, pattern).read_text()),
        )
        assert mended["distributions"] == whole["distributions"]


def test_f05_damaged_logits_are_no_traceback(
    results: Path, ltbench_here: CommandLine, quick: list[str]
) -> None:
    the_file(results, "ce/0-*/logits.safetensors").write_bytes(b"\x00" * 10)
    asked = ["evaluate", "--methods", "ce", *(word.replace("draws=2", "draws=3") for word in quick)]
    done = ltbench_here(*asked, "--results", results)
    assert done.returncode == 1
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("failed: ")]
    assert re.search(r"ce seed 0: .*logits\.safetensors is damaged", line)


def test_records_without_logits_can_be_reported_not_evaluated(
    results: Path, ltbench_here: CommandLine, quick: list[str]
) -> None:
    """What a colleague sends, and most of results/published."""
    for file in results.rglob("*.safetensors"):
        file.unlink()
    assert ltbench_here("report", "--results", results, "--no-figures").returncode == 0
    done = ltbench_here("run", *METHODS, *quick, "--results", results)
    assert done.returncode == 0  # nothing is missing
    asked = ["evaluate", "--methods", "ce", *(word.replace("draws=2", "draws=3") for word in quick)]
    done = ltbench_here(*asked, "--results", results)
    assert done.returncode == 1
    assert "a record without logits and weights; it can be reported, not evaluated" in done.stdout


# -- F7: a full disk ------------------------------------------------------------------------------


def full(path: Path) -> None:
    path.write_bytes(b"half of")
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("before", [None, b"whole"])
def test_f07_a_full_disk_leaves_no_half_file(before: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "folder" / "record.json"
    if before is not None:
        path.parent.mkdir()
        path.write_bytes(before)
    with pytest.raises(LtbenchError, match=r"no space left .* writing .*record\.json") as caught:
        write_atomically(path, full)
    assert len(str(caught.value).splitlines()) == 1
    left = {p.name: p.read_bytes() for p in path.parent.iterdir()}
    assert left == ({} if before is None else {"record.json": before})


@pytest.mark.parametrize("kind", ["class arrays", "parquet", "views"])
def test_f07_the_bytes_needed_are_told(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a disk that is full when the file is synced; views: nothing is left in the cache."""

    def fsync(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def no_room(path: Path, content: bytes) -> None:
        path.write_bytes(content[: len(content) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setenv("LTBENCH_CACHE", str(tmp_path))
    if kind == "parquet":
        Results(tmp_path).add("ce", 0, flat(50))
    monkeypatch.setattr(os, "fsync", fsync)
    images = np.zeros((5, 3, 8, 8), np.uint8)
    test = ArrayDataset(images, np.zeros(5, np.int64), ("a", "b"))
    square = ClassArrays("{}", 1, np.eye(5, dtype=np.int64), np.ones(5), np.ones(5))
    if kind == "parquet":  # never synced: it is easily made again
        monkeypatch.setattr(files, "_write", no_room)
    write: dict[str, Callable[[], object]] = {
        "parquet": lambda: save_files("results", _parquet(read_records(tmp_path)).files, tmp_path),
        "class arrays": lambda: write_arrays(tmp_path / "row.npz", {"uniform": square}),
        "views": lambda: view_pair(test, ViewsConfig(), 0),
    }
    name = {"class arrays": "row.npz", "parquet": "results.parquet", "views": "pair0.npy"}[kind]
    needed = "1,920" if kind == "views" else r"\d[\d,]+"
    with pytest.raises(LtbenchError, match=f"{re.escape(name)}; {needed} bytes are needed"):
        write[kind]()
    assert not [p for p in tmp_path.rglob("*") if name in p.name]


def test_f07_a_full_disk_while_syncing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a file system reserves late, the error comes with fsync."""
    write_text(tmp_path / "record.json", "whole")

    def fsync(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(LtbenchError, match=r"no space left .*; 5 bytes are needed"):
        write_text(tmp_path / "record.json", "other")
    assert [path.name for path in tmp_path.iterdir()] == ["record.json"]
    assert (tmp_path / "record.json").read_text() == "whole"


@pytest.mark.parametrize("error", [OSError(errno.EIO, "i/o"), KeyboardInterrupt(), SystemExit(1)])
def test_f07_other_errors_pass_and_clean_up(error: BaseException, tmp_path: Path) -> None:
    def write(path: Path) -> None:
        path.write_bytes(b"half of")
        raise error

    with pytest.raises(type(error)):
        write_atomically(tmp_path / "record.json", write)
    assert list(tmp_path.iterdir()) == []


def test_json_is_standard_and_whole(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    write_json(path, {"name": "größe", "value": 1.5})
    assert read_json(path) == {"name": "größe", "value": 1.5}
    mask = os.umask(0)
    os.umask(mask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~mask  # not mkstemp's 0o600
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"value": float("nan")})
    assert read_json(path)["value"] == 1.5
    with pytest.raises(InputError, match=r"absent\.json is not readable: .*No such file"):
        read_json(tmp_path / "absent.json")


def test_f02_what_killed_writers_left_is_removed_once_it_is_old(tmp_path: Path) -> None:
    """Of a report or a cache, where another process may be writing now; of nobody else's files."""
    page = tmp_path / "page.html"
    page.write_text("whole")
    old, young = tmp_path / ".page.html.a8s7d6f5.tmp", tmp_path / ".page.html.q1w2e3r4.tmp"
    others = [tmp_path / ".mine.tmp", tmp_path / ".other.html.a8s7d6f5.tmp", tmp_path / "page.tmp"]
    for path in (old, young, *others):
        path.touch()
    for path in (old, *others):
        os.utime(path, (1e9, 1e9))
    sweep_abandoned([page, tmp_path / "absent" / "page.html"])
    assert sorted(tmp_path.iterdir()) == sorted([page, young, *others])


def test_f07_a_full_disk_in_a_run(
    results: Path, ltbench_here: CommandLine, quick: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The trial fails with one line, what was finished stays, nothing half lies around."""
    monkeypatch.setattr(tensor_file, "save_file", full_disk)
    before = {path: path.read_bytes() for path in results.rglob("*.json")}
    asked = ["run", "--methods", "ce,sade+none", *quick, "--results", results]
    done = ltbench_here(*asked)
    assert done.returncode == 1
    lines = [line for line in done.stdout.splitlines() if line.startswith("failed: ")]
    assert len(lines) == 1
    assert "failed: sade seed 0: no space left on the disk while writing" in lines[0]
    assert re.search(r"logits\.safetensors; [\d,]+ bytes are needed", lines[0])
    for path, content in before.items():
        assert path.read_bytes() == content
    folder = the_file(results, "sade/0-*")
    assert not list(folder.glob(".*.tmp"))
    assert not (folder / "logits.safetensors").exists()


def full_disk(tensors: object, path: Path, metadata: object) -> None:
    path.write_bytes(b"half of")
    raise OSError(errno.ENOSPC, "No space left on device")


# -- F8: places that cannot be written --------------------------------------------------------------


def test_f08_a_report_that_cannot_be_written(results: Path, ltbench_here: CommandLine) -> None:
    (results / "report").write_text("mine")
    done = ltbench_here("report", "--results", results)
    assert done.returncode == 2
    assert "is a file, not a folder for the report" in done.stderr
    assert (results / "report").read_text() == "mine"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write all")
def test_f08_a_read_only_folder(
    ltbench_here: CommandLine, quick: list[str], tmp_path: Path
) -> None:
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)
    done = ltbench_here("run", *METHODS, *quick, "--results", folder)
    assert done.returncode == 2
    assert "is not writable" in done.stderr


def test_f08_missing_results_are_made(
    ltbench_here: CommandLine, quick: list[str], tmp_path: Path
) -> None:
    deep = tmp_path / "new folder" / "größe"
    asked = [
        "run",
        "--methods",
        "ce",
        *(word.replace("epochs=2", "epochs=1") for word in quick),
        "--results",
        deep,
    ]
    done = ltbench_here(*asked)
    assert done.returncode == 0
    assert the_file(deep, "ce/0-*/trial.json").is_file()
    assert f"ltbench report --results '{deep}'" in done.stdout  # can be pasted into a shell
