"""Files that nobody damaged by chance: pipes, devices, bombs, double keys, links, marks for terminals."""

from __future__ import annotations

import io
import json
import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest

from ltbench import bombs
from ltbench.data import torchvision_files
from ltbench.data.torchvision_files import read_idx, read_usps
from ltbench.encoders.imports import read_arrays as read_feature_arrays
from ltbench.errors import InputError
from ltbench.execute.clean import find_leftovers
from ltbench.execute.survey import survey
from ltbench.features.tensors import open_tensors
from ltbench.files import LARGEST_TEXT, read_json
from ltbench.imported.arrays import read_array
from ltbench.imported.class_names import read_classes
from ltbench.models.pretrained import read_state
from ltbench.report.records.checks import readable
from ltbench.report.records.read import read_records
from ltbench.report.render.user_template import fill_template
from ltbench.trial.class_arrays import read_arrays

from .archives import MANY, idx, shard_of, usps
from .mutations import refused_in_a_line, zipped
from .readers import READERS, image, npy, npz

CommandLine = Callable[..., CompletedProcess[str]]
OPENS_ITSELF = ("CIFAR archive", "CIFAR pickle", "class values")  # here, not in ltbench
ALL = {name: reader for name, reader in {**READERS, **MANY}.items() if name not in OPENS_ITSELF}
CE = Path(__file__).parents[2] / "results" / "published" / "digits-lt" / "ce"


@pytest.fixture
def trial(tmp_path: Path) -> Path:
    """A trial of results that a colleague sent."""
    (source, *_) = sorted(CE.glob("0-*"))
    return Path(shutil.copytree(source, tmp_path / "results" / "digits-lt" / "ce" / source.name))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
@pytest.mark.parametrize("kind", ["pipe", "device"])
@pytest.mark.parametrize("name", ALL)
def test_a_pipe_or_a_device_in_place_of_a_file(name: str, kind: str, tmp_path: Path) -> None:
    reader = ALL[name]
    path = reader.lay(tmp_path, b"")
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    with refused_in_a_line(path, tmp_path):
        reader.read(tmp_path)


@pytest.mark.parametrize("place", ["trial.json", "evaluations", ".claim.lock", "running.json"])
def test_a_pipe_in_a_results_folder(place: str, trial: Path) -> None:
    path = trial / place
    if path.is_dir():
        path = sorted(path.glob("*.json"))[0]
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    records = read_records(trial.parents[2])
    assert [each.path for each in records.unreadable] == ([path] if place[0] in "te" else [])
    assert len(survey(trial.parents[2])) == 1


def test_a_record_that_no_memory_should_hold(trial: Path) -> None:
    path = trial / "trial.json"
    os.truncate(path, LARGEST_TEXT + 1)
    (told,) = read_records(trial.parents[2]).unreadable
    assert told.path == path
    assert "at most" in told.reason


def test_records_nested_too_deeply(trial: Path) -> None:
    deep = b'{"schema": 1, "method": ' + b"[" * 100_000
    for path in (trial / "trial.json", *trial.glob("evaluations/*.json")):
        path.write_bytes(deep)
    assert [each.state for each in survey(trial.parents[2])] == ["unreadable"]
    assert "nested too deeply" in read_records(trial.parents[2]).unreadable[0].reason


def test_a_key_that_is_there_twice(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_text('{"0": "cat", "1": "dog", "1": "bird"}')
    for read in (read_json, read_classes, lambda path: read_classes(path)):
        with pytest.raises(InputError, match=r"c\.json.* '1' is there twice"):
            read(path)
    entry = b'"logits":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}'
    header = b"{" + entry + b"," + entry + b"}"
    path = tmp_path / "l.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))
    for name in (lambda path: read_array(path, "logits"), read_state):
        with pytest.raises(InputError, match="'logits' is there twice"):
            name(path)
    entry = b'"clean":{"dtype":"F16","shape":[1],"data_offsets":[0,2]}'
    header = b"{" + entry + b"," + entry + b"}"
    path = tmp_path / "train.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + b"\0\0")
    with pytest.raises(InputError, match="damaged safetensors header"):
        open_tensors(path)


def test_small_archives_that_would_fill_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a limit that a test can reach."""
    monkeypatch.setattr(bombs, "LARGE", 1 << 16)
    whole = io.BytesIO()
    np.save(whole, np.zeros((1 << 18, 2), dtype=np.float32))
    for name, read in {
        "l.npz": lambda path: read_array(path, "logits"),
        "l.pt": lambda path: read_array(path, "logits"),
        "f.npz": read_feature_arrays,
        "w.pth": read_state,
    }.items():
        path = tmp_path / name
        path.write_bytes(zipped([("logits.npy", whole.getvalue())]))
        with pytest.raises(InputError, match=rf"{name}.*would unpack to 2,097,280 bytes"):
            read(path)
    sound = tmp_path / "sound.npz"
    sound.write_bytes(npz())
    assert read_array(sound, "logits").shape == (4, 3)


def test_class_arrays_that_would_fill_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ltbench.trial.class_arrays._MOST", 1 << 10)
    path = tmp_path / "x.npz"
    path.write_bytes(zipped([("names.npy", npy() + bytes(2000))]))
    with pytest.raises(ValueError, match=r"x\.npz is not readable: it would unpack to 2,\d+ bytes"):
        read_arrays(path)


def test_compressed_sets_that_would_fill_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torchvision_files, "_MOST", 20)
    for name, content, read in (("i.idx", idx(), read_idx), ("u.bz2", usps(), read_usps)):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(InputError, match=rf"{name} unpacks to more than 20 bytes"):
            read(path)


def test_a_shard_that_would_fill_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bombs, "LARGE", 1 << 16)
    monkeypatch.setattr(bombs, "RATIO", 2)
    content = shard_of([bytes(1 << 20)], [0])
    for name in ("train-0.parquet", "test-0.parquet"):
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=r"parquet: 1 rows would unpack to 1,\d+,\d+ bytes"):
        MANY["shard of images"].read(tmp_path)


_LONG = b"9" * 5000


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("predictions.csv", b"index,label," + _LONG + b"\n0,cat,1\n"),
        ("list of images", _LONG + b"\n"),
        ("list of images", b"a " + _LONG + b"\n"),
        ("table of files, CSV", _LONG + b",label\na,b\n"),
        ("folder of features, header", b'{"format": 1, "source": {"name": "x", "%s": 1}}' % _LONG),
    ],
)
def test_names_of_thousands_of_signs(name: str, content: bytes, tmp_path: Path) -> None:
    """The line stays one that can be read."""
    reader = ALL[name]
    path = reader.lay(tmp_path, content)
    with pytest.raises(InputError) as refused:
        reader.read(tmp_path)
    assert path.name in str(refused.value)
    assert len(str(refused.value)) < 2000


def test_marks_that_move_the_cursor_or_turn_the_text() -> None:
    assert readable("a\x1b[31m\u202eb\u2066\u200f\u2028c") == (
        r"a\x1b[31m\u202eb\u2066\u200f\u2028c"
    )
    assert readable("caf\u00e9 \u05d0\u05d1 \U0001f468\u200d\U0001f469") == (
        "caf\u00e9 \u05d0\u05d1 \U0001f468\u200d\U0001f469"  # letters and joined signs stay
    )


def test_status_shows_no_marks_and_no_foreign_command(
    trial: Path, ltbench_here: CommandLine
) -> None:
    """All that a record or the name of a folder tells, and only commands of ltbench's own."""
    marks = "\x1b[31m\u202e\x07 "
    record = json.loads((trial / "trial.json").read_text())
    record["protocol"]["variant"] = marks
    (trial / "trial.json").write_text(json.dumps(record))
    results = trial.parents[2]
    failed = {"schema": 1, "status": "failed", "error": marks}
    for name, command in (("0-a", ["ltbench", "run", marks]), ("1-b", ["rm", "-rf", "x"])):
        folder = results / f"p{marks}" / f"m{marks}\n" / name
        folder.mkdir(parents=True)
        (folder / "failed.json").write_text(json.dumps({**failed, "command": command}))
    done = ltbench_here("status", "--results", results)
    assert done.returncode == 0
    assert all(line.isprintable() for line in done.stdout.splitlines())
    assert "ltbench run" in done.stdout
    assert "rm -rf" not in done.stdout


@pytest.mark.parametrize(
    "template",
    [
        "{{ 'x'|center(10**10) }}",
        "{{ 'x'.ljust(10**10) }}",
        "{{ ('a\n' * 100000)|indent(900000) }}",
        "{{ ('x' * 100000)|replace('x', 'y' * 100000) }}",
        "{{ ('x' * 100000).replace('x', 'y' * 100000) }}",
        "{{ (['x' * 1000000] * 1000)|join }}",
        "{{ ','.join(['x' * 1000000] * 1000) }}",
        "{{ '{:999999999}'.format(1) }}",
        "{{ '{:{}}'.format(1, 999999999) }}",
        "{{ '%999999999d'|format(1) }}",
        "{{ '%*d'|format(999999999, 1) }}",
    ],
)
def test_a_template_that_would_fill_the_memory(template: str, tmp_path: Path) -> None:
    (tmp_path / "t.txt.jinja").write_text(template)
    with pytest.raises(
        InputError, match=r"t\.txt\.jinja:[12]: .*(more than 100000000|not allowed)"
    ):
        fill_template(tmp_path / "t.txt.jinja", tmp_path, [])


def test_a_template_formats_what_it_is_given(tmp_path: Path) -> None:
    (tmp_path / "t.txt.jinja").write_text(
        "{{ ['a', 'b']|join('-') }} {{ '%.1f'|format(2) }} {{ 'a'|center(3) }}{{ '{:>3}'.format(1) }}"
        "{{ 'a b'.replace(' ', '_') }}{{ range(2)|join }}"
    )
    assert (
        fill_template(tmp_path / "t.txt.jinja", tmp_path, []).read_text() == "a-b 2.0  a   1a_b01"
    )


def test_nothing_is_removed_behind_links_out_of_the_results(trial: Path, tmp_path: Path) -> None:
    results, outside = trial.parents[2], tmp_path / "mine"
    outside.mkdir()
    mine = outside / "notes.json"
    mine.write_text("{}")
    (outside / "checkpoint.safetensors").write_text("mine, too")
    shutil.rmtree(trial / "evaluations")
    (trial / "evaluations").symlink_to(outside)
    shutil.copy(trial / "trial.json", outside)
    (trial.parent / "1-ab12ab12ab12").symlink_to(outside)
    (results / "code.json").write_text(
        json.dumps({"schema": 1, "method": {"": ["ab"], "ce": ["ab"]}, "strategy": {"": ["ab"]}})
    )
    found, notes = find_leftovers(results, cache=False, other_code=True)
    assert found == []
    assert notes == [f"2 trials stay, to which links lead out of {results}"]


@pytest.mark.parametrize("content", [b"[" * 100_000, image("PNG")()[:60], b"\0" * 100])
def test_what_is_no_record_is_one_line(
    content: bytes, trial: Path, ltbench_here: CommandLine
) -> None:
    (trial / "trial.json").write_bytes(content)
    done = ltbench_here("report", "--results", trial.parents[2], "--strict")
    assert done.returncode == 2
    assert str(trial / "trial.json") in done.stderr + done.stdout
