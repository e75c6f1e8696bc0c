"""Source "lists" through the command line: checked, trained, killed, resumed, reported."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from tests.list_sets import write_digits, write_gratings
from tests.zygote import started

CommandLine = Callable[..., CompletedProcess[str]]
NORM = "mean = [0.3, 0.3, 0.3]\nstd = [0.38, 0.38, 0.38]\n"
FILES = '[data.lists]\ntrain = { file = "train.txt" }\ntest = { file = "test.txt" }\n'
DIGITS = '[data]\nsource = "lists"\nclasses = 10\nimage_size = 8\n' + NORM + FILES
GROUPS = "[groups]\nmany_above = 40\nfew_below = 10\n"
SHORT = "[train]\nmax_count = 60\n[recipe]\nepochs = 2\n[test]\nratios = [5]\ndraws = 1\npartial = false\n"
PICTURES = """
name = "gratings"
version = "1.0"
title = "Gratings"
[data]
source = "lists"
classes = 10
image_size = 16
resize = 18
mean = [0.4, 0.4, 0.4]
std = [0.25, 0.25, 0.25]
[data.lists]
train = { file = "train.txt" }
test = { file = "test.txt" }
[train]
profile = "all"
[groups]
many_above = 20
few_below = 8
[test]
ratios = [2]
draws = 1
[model]
backbone = "resnet8"
[recipe]
epochs = 2
batch_size = 16
lr = 0.05
head_lr = 0.1
warmup_epochs = 0
schedule = "cosine"
crop = "resized"
crop_scale = [0.5, 1.0]
jitter = [0.2, 0.2, 0.2, 0]
[views]
pairs = 1
crop = "resized"
crop_scale = [0.5, 1.0]
crop_padding = 0
"""


SADE = "sade+stability[epochs=1]"


def protocol(folder: Path, name: str, data: str) -> Path:
    path = folder / f"{name}.toml"
    head = f'extends = "digits-lt"\nname = "{name}"\nversion = "1.0"\ntitle = "Digits"\n'
    path.write_text(head + data + GROUPS + SHORT)
    return path


def outcome(results: Path, name: str, method: str) -> tuple[Any, ...]:
    """What must be the same to the last bit."""
    (folder,) = (results / name / method).glob("0-*")
    read = [json.loads(path.read_text()) for path in (folder / "evaluations").glob("*.json")]
    evaluations = {each["strategy"]: each["distributions"] for each in read}
    files = [(folder / f"{file}.safetensors").read_bytes() for file in ("logits", "weights")]
    return *(hashlib.sha256(each).hexdigest() for each in files), evaluations


def record(results: Path, name: str, method: str) -> dict[str, Any]:
    (path,) = (results / name / method).glob("0-*/trial.json")
    found: dict[str, Any] = json.loads(path.read_text())
    return found


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_digits(tmp_path_factory.mktemp("set") / "images")


@pytest.fixture(scope="module")
def resident(
    ltbench_shared: CommandLine, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Any, ...]:
    folder = tmp_path_factory.mktemp("resident")
    file = protocol(folder, "digits-in-memory", "[data]\n" + NORM)
    words = ["run", "--methods", SADE, "--protocol", file, "--results", folder / "results"]
    done = ltbench_shared(*words)
    assert done.returncode == 0, done.stderr
    assert "waiting_share" not in record(folder / "results", "digits-in-memory", "sade")["cost"]
    return outcome(folder / "results", "digits-in-memory", "sade")


@pytest.mark.parametrize("loaders", ["0", "2"])
def test_digits_as_files_are_the_digits(
    loaders: str, resident: tuple[Any, ...], ltbench: CommandLine, root: Path, tmp_path: Path
) -> None:
    file, results = protocol(tmp_path, "digits-by-lists", DIGITS), tmp_path / "results"
    words = ["run", "--methods", SADE, "--protocol", file, "--results", results]
    # What is asked for counts, whatever the machine's default is.
    env = {"LTBENCH_LOADERS": "1"}
    done = ltbench(*words, "--data-dir", root, "--loaders", loaders, env=env)
    assert done.returncode == 0, done.stderr
    assert outcome(results, "digits-by-lists", "sade") == resident
    cost = record(results, "digits-by-lists", "sade")["cost"]
    assert 0 < cost["waiting_share"] < 1
    assert cost["loaders"] == int(loaders)
    assert "loaders" not in json.dumps(record(results, "digits-by-lists", "sade")["identity"])


@pytest.mark.skipif(os.name == "nt", reason="there is no SIGKILL")
def test_killed_within_an_epoch_it_ends_in_the_same_bits(
    resident: tuple[Any, ...],
    command: list[str],
    environment: dict[str, str],
    ltbench: CommandLine,
    root: Path,
    tmp_path: Path,
) -> None:
    file, results = protocol(tmp_path, "digits-by-lists", DIGITS), tmp_path / "results"
    words = ["run", "--methods", SADE, "--protocol", file, "--results", results]
    words = [*map(str, words), "--data-dir", str(root), "--loaders", "0"]
    often = {"LTBENCH_CHECKPOINT_SECONDS": "0"}
    process = started(
        [*command, *words],
        env={**environment, **often},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    end = time.monotonic() + 100
    while not list(results.rglob("checkpoint.safetensors")):
        assert time.monotonic() < end, "waited in vain"
        assert process.poll() is None
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(10)
    assert not list(results.rglob("trial.json"))
    done = ltbench(*words)
    assert done.returncode == 0, done.stderr
    assert outcome(results, "digits-by-lists", "sade") == resident
    assert record(results, "digits-by-lists", "sade")["preemptions"] == 1
    assert not list(results.rglob("checkpoint*"))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a protocol; its images are in ``images``."""
    folder = tmp_path_factory.mktemp("gratings")
    write_gratings(folder / "images")
    (folder / "gratings.toml").write_text(PICTURES)
    return folder


def test_from_lists_to_a_report(pictures: Path, ltbench_here: CommandLine) -> None:
    """Files of many shapes, grey and CMYK among them: crops, cosine, heads of their own rate, experts."""
    results = pictures / "results"
    words = ["--protocol", pictures / "gratings.toml", "--data-dir", pictures / "images"]
    words += ["--loaders", "0"]  # a process of them takes longer than the images
    done = ltbench_here("run", "--methods", "ce,sade", *words, "--results", results)
    assert done.returncode == 0, done.stderr
    done = ltbench_here("report", "--results", results, "--no-figures")
    assert done.returncode == 0, done.stderr
    assert "Gratings" in done.stdout
    found = record(results, "gratings", "sade")
    assert found["recipe"]["schedule"] == "cosine"
    assert found["recipe"]["head_lr"] == 0.1
    assert found["data"]["class_names"][:2] == ["n0000", "n0001"]
    assert "lists" not in found["identity"]["data"]
    done = ltbench_here("run", "--methods", "mdcs", *words, "--results", results)
    assert done.returncode == 2
    assert "'mdcs' asks for strong views" in done.stderr
    resident = ("--protocol", "digits-lt", "--set", "recipe.crop=resized", "--results", results)
    done = ltbench_here("run", "--methods", "ce", *resident)
    assert done.returncode == 2
    assert 'crop = "resized" needs images that are opened one by one' in done.stderr


def test_all_leaves_out_what_the_images_cannot_be_fed_to(
    pictures: Path, ltbench_here: CommandLine, tmp_path: Path
) -> None:
    words = ("--protocol", pictures / "gratings.toml", "--data-dir", pictures / "images")
    asked = (*words, "--seeds", "1", "--results", tmp_path, "--dry-run")
    done = ltbench_here("run", "--methods", "all", *asked)
    assert done.returncode == 0, done.stderr
    told = " ".join(done.stdout.split())
    assert "ncl is left out: method 'ncl' asks for strong views, which are made of padded" in told
    assert "balanced-softmax" in told
    named = ltbench_here("run", "--methods", "ce,ncl", *asked)
    assert named.returncode == 2
    assert "method 'ncl' asks for strong views" in named.stderr


def test_a_resized_crop_has_no_augmented_mode(
    pictures: Path, ltbench_here: CommandLine, tmp_path: Path
) -> None:
    """Its test images would get a padded crop, which such a recipe does not have."""
    words = ("--protocol", pictures / "gratings.toml", "--data-dir", pictures / "images")
    asked = ("run", "--methods", "ce", *words, "--seeds", "1", "--results", tmp_path, "--dry-run")
    assert ltbench_here(*asked).returncode == 0
    done = ltbench_here(*asked, "--mode", "augmented")
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert 'ce: recipe.crop = "resized" cuts' in line
    assert line.endswith("use mode 'clean'")


def test_check_tells_what_there_is(pictures: Path, ltbench_here: CommandLine) -> None:
    words = ["data", "check", pictures / "gratings.toml", "--data-dir", pictures / "images"]
    done = ltbench_here(*words)
    assert done.returncode == 0, done.stderr
    for text in (
        "no published list that ltbench knows",
        "many: ",
        "train: 100 of 100 sampled images open, ",
        "images a second in one process",
        "images of each class, train and test:",
    ):
        assert text in done.stdout, text


def test_check_tells_what_is_missing_and_how_to_get_it(
    tmp_path: Path, pictures: Path, ltbench_here: CommandLine
) -> None:
    lists, images = tmp_path / "lists", tmp_path / "images"
    images.mkdir()
    lists.mkdir()
    for split, name in (("train", "Places_LT_train.txt"), ("test", "test.txt")):
        (lists / name).write_bytes((pictures / "images" / f"{split}.txt").read_bytes())
    text = PICTURES.replace("train.txt", "Places_LT_train.txt")
    (tmp_path / "p.toml").write_text(text)
    words = ["data", "check", tmp_path / "p.toml", "--data-dir", images]
    (images / "other").write_text("")
    done = ltbench_here(*words)
    assert done.returncode == 2
    assert "list Places_LT_train.txt is not here" in done.stderr
    done = ltbench_here(*words, "--lists", lists)
    assert done.returncode == 2
    assert "Places-LT needs: Places365-Standard" in done.stdout
    assert "files are not below" in done.stdout
    assert done.stdout.count(".JPEG") == 2 * 5  # the first five of each list
    write_gratings(images / "again")
    done = ltbench_here(*words[:-1], images / "again", "--lists", lists)
    assert done.returncode == 0
    assert "NOT the published list of that name" in done.stdout
    damaged = images / "again/test/n0003/000.JPEG"
    damaged.write_bytes(damaged.read_bytes()[:100])
    done = ltbench_here(*words[:-1], images / "again", "--lists", lists)
    assert done.returncode == 2
    assert "n0003/000.JPEG is not a readable image" in done.stdout
    done = ltbench_here("data", "check", "digits-lt", "--lists", lists)
    assert done.returncode == 2
    assert '--lists is for source "lists"' in done.stderr


def test_lists_that_were_made_known_are_found(
    tmp_path: Path, root: Path, ltbench_here: CommandLine
) -> None:
    lists = tmp_path / "lists"
    lists.mkdir()
    content = (root / "train.txt").read_bytes()
    (lists / "elsewhere.txt").write_bytes(content.replace(b"\n", b"\r\n"))
    stated = f'{{ file = "elsewhere.txt", sha256 = "{hashlib.sha256(content).hexdigest()}" }}'
    data = DIGITS.replace('{ file = "train.txt" }', stated)
    file = protocol(tmp_path, "digits-by-lists", data)
    words = [file, "--data-dir", root]
    assert ltbench_here("data", "where", *words).stdout.count("elsewhere.txt is not here") == 1
    done = ltbench_here("data", "prepare", *words, "--lists", lists)
    assert done.returncode == 0, done.stderr
    assert "kept: " in done.stdout
    assert "ready:   yes" in ltbench_here("data", "where", *words).stdout
    done = ltbench_here("data", "prepare", *words, "--lists", tmp_path)
    assert done.returncode == 2
    assert "has none of the protocol's lists" in done.stderr
