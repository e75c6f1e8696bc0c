"""F5: one flipped bit in each kind of file, at places drawn by a seed."""

from __future__ import annotations

import json
import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from ltbench import load_recalls, load_results, load_streams
from ltbench.data.dataset import ArrayDataset
from ltbench.data.sources import open_data
from ltbench.errors import DataError, InputError
from ltbench.evaluate.view_images import view_pair
from ltbench.evaluate.views import ViewLogits
from ltbench.features.folder import FeatureFolder
from ltbench.features.header import Encoder, Header, Origin
from ltbench.features.write import FolderWriter
from ltbench.protocol.protocol import DataConfig, ViewsConfig
from ltbench.report.records.read import read_records
from ltbench.train.checkpoint import FILE, PREVIOUS, Progress, load_checkpoint, save_checkpoint
from ltbench.trial import store
from ltbench.trial.checked import read_checked, write_checked
from ltbench.trial.class_arrays import ClassArrays, read_arrays, write_arrays

CommandLine = Callable[..., CompletedProcess[str]]
SETTINGS = ["--protocol", "digits-lt", "--set", "recipe.epochs=1", "--set", "test.draws=2"]
SETTINGS += ["--set", "test.ratios=2", "--seeds", "1"]


@pytest.fixture(scope="module")
def whole(ltbench_shared: CommandLine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    results = tmp_path_factory.mktemp("bits") / "results"
    words = [*SETTINGS, "--arrival", "batch:64", "--results", results]
    done = ltbench_shared("run", "--methods", "ce,focal", *words)
    assert done.returncode == 0, done.stdout
    return results


@pytest.fixture
def results(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "results"))


def flip(path: Path, seed: int, start: int = 0) -> None:
    content, generator = bytearray(path.read_bytes()), random.Random(seed)
    content[generator.randrange(start, len(content))] ^= 1 << generator.randrange(8)
    path.write_bytes(content)


def numbers_of(path: Path) -> int:
    """Where the numbers of a safetensors file begin."""
    return 8 + int.from_bytes(path.read_bytes()[:8], "little")


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("file", "row"), [("logits", "ce+em"), ("weights", "ce+tent")])
def test_f05_a_bit_of_logits_or_weights_makes_no_number(
    file: str, row: str, seed: int, results: Path, ltbench_here: CommandLine
) -> None:
    (path,) = results.glob(f"digits-lt/ce/0-*/{file}.safetensors")
    flip(path, seed, numbers_of(path))
    done = ltbench_here("evaluate", "--methods", row, *SETTINGS, "--results", results)
    assert done.returncode == 1
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("failed: ")]
    assert f"{path} is damaged (its numbers do not match their checksum)" in line
    assert not list(results.rglob(f"evaluations/{row}-*.json"))


@pytest.fixture(scope="module")
def focal(
    whole: Path, ltbench_shared: CommandLine, tmp_path_factory: pytest.TempPathFactory
) -> set[str]:
    """Lines of the main table about the other method, of whole files."""
    results = shutil.copytree(whole, tmp_path_factory.mktemp("reported") / "results")
    assert ltbench_shared("report", "--results", results, "--no-figures").returncode == 0
    (table,) = (results / "report").glob("*/tables/main.csv")
    lines = {line for line in table.read_text().splitlines() if line.startswith("focal,")}
    assert lines
    return lines


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("file", ["trial.json", "evaluations/ce+none-*.json", "history.jsonl"])
def test_f05_a_bit_of_a_record_leaves_the_other_trials(
    file: str, seed: int, results: Path, focal: set[str], ltbench_here: CommandLine
) -> None:
    """What is no record any more is told with its path; the other method's row stays as it was."""
    (path,) = results.glob(f"digits-lt/ce/0-*/{file}")
    flip(path, seed)
    done = ltbench_here("report", "--results", results, "--no-figures")
    assert done.returncode == 0, done.stderr
    tables = (results / "report").glob("*/tables/main.csv")
    lines = [line for table in tables for line in table.read_text().splitlines()]
    assert focal <= set(lines)
    try:
        read_checked(path)
    except ValueError:
        assert file == "history.jsonl" or re.search(re.escape(str(path)), done.stdout)


RECORDS = {
    "trial": "ce/0-*/trial.json",
    "evaluation": "ce/0-*/evaluations/ce+none-*.json",
    "stream": "ce/0-*/streams/ce+none-*.json",
    "failed": "ride/0-*/failed.json",
}


def add_failed(results: Path) -> None:
    """Facts of a training that diverged, written as ltbench writes them."""
    (trial,) = results.glob("digits-lt/ce/0-*/trial.json")
    facts = {**read_checked(trial), "status": "diverged", "error": "the loss is NaN", "epoch": 2}
    facts["training"] |= {"name": "ride"}
    write_checked(results / "digits-lt" / "ride" / "0-0123456789ab" / "failed.json", facts)


@pytest.mark.parametrize("kind", RECORDS)
def test_f05_a_bit_of_a_record_reads_no_other_content(kind: str, results: Path) -> None:
    """What reads whole records; bits all over the file, at every place within a byte."""
    add_failed(results)
    (path,) = results.glob(f"digits-lt/{RECORDS[kind]}")
    whole, expected = path.read_bytes(), store.read_record(path)
    bits = 8 * len(whole)
    refused, tried = 0, [*range(0, bits, max(1, bits // 500) | 1), *range(bits - 100, bits)]
    for bit in tried:
        content = bytearray(whole)
        content[bit // 8] ^= 1 << bit % 8
        path.write_bytes(content)
        try:
            found = store.read_record(path)
        except InputError:
            refused += 1
            continue
        # A bit of the name of the key alone: then the record is as one without a checksum.
        strange = [key for key in found if key not in expected]
        assert len(strange) <= 1
        assert {key: value for key, value in found.items() if key in expected} == expected
    assert refused > 0.9 * len(tried)


@pytest.mark.parametrize("kind", RECORDS)
def test_f05_a_bit_of_a_record_reports_no_other_number(kind: str, results: Path) -> None:
    """What reports read: the same numbers of the file, or none and its path."""
    add_failed(results)
    (path,) = results.glob(f"digits-lt/{RECORDS[kind]}")
    whole, expected = path.read_bytes(), numbers(results)
    assert not expected.pop("unreadable")
    generator, noticed = random.Random(0), 0
    for _ in range(10):
        content = bytearray(whole)
        content[generator.randrange(len(content))] ^= 1 << generator.randrange(8)
        path.write_bytes(content)
        found = numbers(results)
        if unreadable := found.pop("unreadable"):
            noticed += 1
            assert [line.partition(": ")[0] for line in unreadable] == [str(path)]
            for table, lines in found.items():
                assert set(lines) <= set(expected[table])
        else:
            assert found == expected
    assert noticed > 7


def numbers(results: Path) -> dict[str, list[str]]:
    """All that a report takes from a folder, line by line, and what it could not read."""
    records = read_records(results)
    frames = {
        "results": load_results(results, draws="all"),
        "recalls": load_recalls(results),
        "streams": load_streams(results, windows=3),
    }
    told = {name: frame.to_csv(index=False).splitlines() for name, frame in frames.items()}
    return {
        **told,
        "trials": [f"{trial}" for trial in records.trials],
        "failures": [f"{failure}" for failure in records.failures],
        "unreadable": [f"{bad.path}: {bad.reason}" for bad in records.unreadable],
    }


@pytest.mark.parametrize("file", ["trial.json", "evaluations/ce+none-*.json"])
def test_f05_a_digit_that_became_another_is_told_and_made_anew(
    file: str, results: Path, ltbench_here: CommandLine
) -> None:
    (path,) = results.glob(f"digits-lt/ce/0-*/{file}")
    whole = path.read_text(encoding="utf-8")
    name = "final_loss" if file == "trial.json" else "top1"
    changed = re.sub(
        rf'("{name}": ?\d*)(\d)', lambda m: f"{m[1]}{(int(m[2]) + 1) % 10}", whole, count=1
    )
    assert changed != whole
    json.loads(changed)  # it is a record still
    path.write_text(changed, encoding="utf-8")
    told = "its checksum does not agree with its content: it was changed after it was written"
    done = ltbench_here("report", "--results", results, "--no-figures")
    assert done.returncode == 0
    assert f"{path}: {told}" in " ".join(done.stdout.split())
    done = ltbench_here("report", "--results", results, "--no-figures", "--strict")
    assert done.returncode == 2
    assert done.stderr.startswith(f"Error: 1 unreadable under {results}, the first: {path}: {told}")
    done = ltbench_here("run", "--methods", "ce,focal", *SETTINGS, "--results", results)
    assert done.returncode == 0, done.stdout
    assert ("trained in" in done.stdout) == (file == "trial.json")
    again = read_checked(path)
    assert path.read_text(encoding="utf-8") != changed
    if file != "trial.json":  # of the same logits
        assert again["distributions"] == json.loads(whole)["distributions"]
    done = ltbench_here("report", "--results", results, "--no-figures", "--strict")
    assert done.returncode == 0, done.stderr


# -- the other kinds of files, in this process ---------------------------------------------------


def network(value: float) -> tuple[nn.Linear, torch.optim.SGD]:
    net = nn.Linear(3, 2)
    nn.init.constant_(net.weight, value)
    nn.init.constant_(net.bias, value)
    return net, torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)


def test_f05_a_bit_of_a_checkpoint_is_noticed_wherever_it_is(tmp_path: Path) -> None:
    """The one before is used and the damaged kept; else the bit was one that says nothing."""
    trial, noticed, folder = "0123456789ab", 0, tmp_path
    for epoch in (1, 2):
        net, optimizer = network(float(epoch))
        progress = Progress(epoch, [{"epoch": epoch, "loss": 1.5}], seconds=12.25 * epoch)
        save_checkpoint(folder, trial, net, optimizer, progress, keep_last=True)
    whole = {name: (folder / name).read_bytes() for name in (FILE, PREVIOUS)}
    for seed in range(60):
        (folder / "checkpoint.corrupt").unlink(missing_ok=True)
        for name, content in whole.items():
            (folder / name).write_bytes(content)
        flip(folder / FILE, seed)
        net, optimizer = network(0.0)
        read = load_checkpoint(folder, trial, net, optimizer)
        assert read is not None
        corrupt = (folder / "checkpoint.corrupt").exists()
        epoch = 1 if corrupt else 2
        noticed += corrupt
        assert (read.epochs_done, read.seconds) == (epoch, 12.25 * epoch)
        assert read.history == [{"epoch": epoch, "loss": 1.5}]
        assert net.weight.unique().tolist() == net.bias.unique().tolist() == [float(epoch)]
    assert noticed > 20


def test_f05_a_bit_of_class_arrays_makes_no_other_numbers(tmp_path: Path) -> None:
    rng = np.random.RandomState(0)
    one = ClassArrays("{}", 2, rng.randint(0, 9, (5, 5)), rng.rand(5), rng.rand(5))
    path, noticed = tmp_path / "row.npz", 0
    for seed in range(60):
        write_arrays(path, {"uniform": one})
        flip(path, seed)
        try:
            (read,) = read_arrays(path).values()
        except ValueError:
            noticed += 1
            continue
        assert np.array_equal(np.asarray(read.confusion), one.confusion)
        assert np.array_equal(read.auroc, one.auroc)
        assert np.array_equal(read.average_precision, one.average_precision)
    assert noticed > 30


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LTBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.parametrize("file", ["train-images", "test-labels"])
def test_f05_a_bit_of_the_cached_images_makes_them_anew(
    file: str, cache: Path, tmp_path: Path
) -> None:
    rng = np.random.RandomState(0)
    for place in ("train/a", "train/b", "test/a", "test/b"):
        folder = tmp_path / "data" / place
        folder.mkdir(parents=True)
        Image.fromarray(rng.randint(0, 256, (8, 8, 3)).astype(np.uint8)).save(folder / "0.png")
    config = DataConfig(source="image-folder", classes=2, image_size=8)
    first = open_data(config, tmp_path / "data")
    before = first.train.read([0, 1]), first.test.labels.copy()
    (path,) = cache.glob(f"datasets/*/{file}.npy")
    whole = path.read_bytes()
    for seed in range(3):
        flip(path, seed, 128)
        again = open_data(config, tmp_path / "data")
        assert np.array_equal(again.train.read([0, 1]), before[0])
        assert np.array_equal(again.test.labels, before[1])
        assert path.read_bytes() == whole


def pictures() -> ArrayDataset:
    images = np.random.RandomState(0).randint(0, 256, (6, 3, 8, 8)).astype(np.uint8)
    return ArrayDataset(images, np.arange(6) % 2, ("a", "b"))


def test_f05_a_bit_of_cached_views_makes_them_anew(cache: Path) -> None:
    before = np.array(view_pair(pictures(), ViewsConfig(), 0))
    (path,) = cache.glob("views/*/pair0.npy")
    whole = path.read_bytes()
    for seed in range(4):
        flip(path, seed, 128)
        assert np.array_equal(view_pair(pictures(), ViewsConfig(), 0), before)
        assert path.read_bytes() == whole


def test_f05_a_bit_of_cached_view_logits_makes_them_anew(cache: Path) -> None:
    asked: list[int] = []

    def infer(read: Callable[..., np.ndarray], count: int, *_: object, bf16: bool) -> Tensor:
        asked.append(count)
        return torch.tensor(read(slice(0, count))).float().mean((1, 2, 3)).reshape(-1, 1, 1)

    def logits() -> Tensor:
        def quiet(what: str, done: int, total: int) -> None: ...

        made = ViewLogits(lambda: infer, "d", pictures(), ViewsConfig(), quiet, (1, 1))  # type: ignore[arg-type, return-value]
        return made(0).clone()

    before = logits()
    assert torch.equal(logits(), before)
    assert asked == [6, 6]  # both sides, once
    (path,) = cache.glob("view-logits/*/pair0.safetensors")
    for seed in range(3):
        flip(path, seed, numbers_of(path))
        assert torch.equal(logits(), before)
    assert asked == [6, 6] * 4


def test_f05_a_bit_of_features_is_told_by_their_digests(tmp_path: Path) -> None:
    """By `ltbench data check`, which reads all of them; a run opens them as they are."""
    header = Header(
        Encoder("test:tiny"), 4, source=Origin("test"), class_names=("a", "b"), whole_pool=True
    )
    writer = FolderWriter(tmp_path)
    split = {"clean": torch.rand(6, 4), "labels": torch.arange(6) % 2, "row": torch.arange(6)}
    for name in ("train", "test"):
        writer.file(f"{name}.safetensors", {k: v.clone() for k, v in split.items()})
    writer.finish(header)
    FeatureFolder(tmp_path).verify()
    path = tmp_path / "test.safetensors"
    whole = path.read_bytes()
    for seed in range(6):
        flip(path, seed, numbers_of(path))
        with pytest.raises(DataError, match=r"test\.safetensors"):
            FeatureFolder(tmp_path).verify()
        path.write_bytes(whole)
