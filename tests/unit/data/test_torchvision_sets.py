"""Sets of torchvision by name, against torchvision's own reading of the same files."""

from __future__ import annotations

import bz2
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from ltbench.contract.check import check_source
from ltbench.data.cache import entry_path
from ltbench.data.findings import DataProblems
from ltbench.data.flowers102_names import NAMES
from ltbench.data.locate import locate
from ltbench.data.sources import describe, open_data
from ltbench.data.torchvision_files import read_svhn
from ltbench.data.torchvision_set import MISSING, OWN_ORDER, TorchvisionSet
from ltbench.errors import DataError, InputError
from ltbench.protocol.protocol import DataConfig
from ltbench.registry import load_sources

RANDOM = np.random.RandomState(0)
SETS = sorted(name for name in load_sources().plugins if name.startswith("torchvision:"))


def picture(path: Path, height: int = 9, width: int = 9) -> None:
    """Without loss, whatever the name of the file says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = RANDOM.randint(0, 256, (height, width, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(path, "PPM" if path.suffix == ".ppm" else "PNG")


def write_idx(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    head = bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
    path.write_bytes(head + array.astype(np.uint8).tobytes())


def mnist(root: Path, name: str) -> None:
    for split, count in (("train", 30), ("t10k", 20)):
        raw = root / name / "raw"
        write_idx(raw / f"{split}-images-idx3-ubyte", RANDOM.randint(0, 256, (count, 28, 28)))
        write_idx(raw / f"{split}-labels-idx1-ubyte", np.arange(count) % 10)


def usps(root: Path) -> None:
    for name, count in (("usps.bz2", 30), ("usps.t.bz2", 20)):
        values = RANDOM.uniform(-1, 1, (count, 256))
        lines = [
            f"{i % 10 + 1} " + " ".join(f"{k + 1}:{v:.6f}" for k, v in enumerate(row)) + " \n"
            for i, row in enumerate(values)
        ]
        (root / name).write_bytes(bz2.compress("".join(lines).encode()))


def svhn(root: Path) -> None:
    for name, count in (("train", 30), ("test", 20)):
        pixels = RANDOM.randint(0, 256, (32, 32, 3, count)).astype(np.uint8)
        labels = (np.arange(count) % 10 + 1).astype(np.uint8)[:, None]
        savemat(root / f"{name}_32x32.mat", {"X": pixels, "y": labels})


def eurosat(root: Path) -> None:
    for name in ("River", "Forest", "Highway"):
        for i in range(105):
            picture(root / "eurosat" / "2750" / name / f"{name}_{i}.jpg", 4, 4)


def food101(root: Path) -> None:
    base = root / "food-101"
    names = ("waffles", "apple_pie", "miso_soup")
    (base / "meta").mkdir(parents=True)
    for split, count in (("train", 4), ("test", 2)):
        listed = {name: [f"{name}/{split}{i}" for i in range(count)] for name in names}
        (base / "meta" / f"{split}.json").write_text(json.dumps(listed))
        for files in listed.values():
            for file in files:
                picture(base / "images" / f"{file}.jpg")


def flowers102(root: Path) -> None:
    base = root / "flowers-102"
    labels = np.arange(408) % 102 + 1
    order = RANDOM.permutation(408) + 1
    for i in order:
        picture(base / "jpg" / f"image_{i:05d}.jpg", 3, 3)
    savemat(base / "imagelabels.mat", {"labels": labels[None]})
    held = {"trnid": order[labels[order - 1] > 0][:204], "valid": order[204:306]}
    first = np.arange(1, 103)  # each class in training
    trained = np.concatenate([first, np.setdiff1d(held["trnid"], first)])
    rest = np.setdiff1d(np.arange(1, 409), trained)
    ids = {"trnid": trained[None], "valid": rest[None, :60], "tstid": rest[None, 60:]}
    savemat(base / "setid.mat", ids)


def gtsrb(root: Path) -> None:
    base = root / "gtsrb"
    for label in range(3):
        for i in range(4):
            picture(base / "GTSRB" / "Training" / f"{label:05d}" / f"00000_{i:05d}.ppm", 12, 9)
        (base / "GTSRB" / "Training" / f"{label:05d}" / f"GT-{label:05d}.csv").write_text("x")
    rows = ["Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId"]
    for i in range(6):
        picture(base / "GTSRB" / "Final_Test" / "Images" / f"{i:05d}.ppm")
        rows.append(f"{i:05d}.ppm;9;9;1;1;2;2;{(i * 2) % 3}")
    (base / "GT-final_test.csv").write_text("\n".join(rows) + "\n")


def dtd(root: Path) -> None:
    base = root / "dtd" / "dtd"
    (base / "labels").mkdir(parents=True)
    for partition in (1, 2):
        for split in ("train", "val", "test"):
            names = [
                f"{name}/{name}_{split}{partition}{i}.jpg"
                for i in range(2)
                for name in ("zigzagged", "banded")
            ]
            (base / "labels" / f"{split}{partition}.txt").write_text("\n".join(names) + "\n")
            for name in names:
                picture(base / "images" / name)


def aircraft(root: Path) -> None:
    data = root / "fgvc-aircraft-2013b" / "data"
    classes = {
        "variant": ("variants", ["A330-200", "707-320", "DC-3"]),
        "family": ("families", ["Boeing 707", "A330"]),
        "manufacturer": ("manufacturers", ["Boeing", "Airbus Industrie"]),
    }
    number = 0
    for level, (plural, names) in classes.items():
        data.mkdir(parents=True, exist_ok=True)
        (data / f"{plural}.txt").write_text("\n".join(names) + "\n")
        for split in ("train", "val", "trainval", "test"):
            lines = []
            for name in names * 2:
                number += 1
                lines.append(f"{number:07d} {name}")
                picture(data / "images" / f"{number:07d}.jpg")
            if split == "trainval":
                halves = [(data / f"images_{level}_{s}.txt").read_text() for s in ("train", "val")]
                lines = "".join(halves).splitlines()
            (data / f"images_{level}_{split}.txt").write_text("\n".join(lines) + "\n")


Writer = Callable[[Path], None]
WRITERS: dict[str, tuple[Writer, int]] = {
    "torchvision:MNIST": (lambda root: mnist(root, "MNIST"), 10),
    "torchvision:FashionMNIST": (lambda root: mnist(root, "FashionMNIST"), 10),
    "torchvision:KMNIST": (lambda root: mnist(root, "KMNIST"), 10),
    "torchvision:USPS": (usps, 10),
    "torchvision:SVHN": (svhn, 10),
    "torchvision:EuroSAT": (eurosat, 3),
    "torchvision:Food101": (food101, 3),
    "torchvision:Flowers102": (flowers102, 102),
    "torchvision:GTSRB": (gtsrb, 3),
    "torchvision:DTD": (dtd, 2),
    "torchvision:FGVCAircraft": (aircraft, 3),
}


def made(name: str, tmp_path: Path) -> tuple[Path, DataConfig]:
    root = tmp_path / "root"
    root.mkdir()
    write, classes = WRITERS[name]
    write(root)
    return root, DataConfig(name, classes, 9)


def theirs(name: str, root: Path, monkeypatch: pytest.MonkeyPatch, **how: Any) -> Any:
    """torchvision's own reading; small files have no published checksum."""
    from torchvision import datasets
    from torchvision.datasets import flowers102 as flowers_module
    from torchvision.datasets import svhn as svhn_module

    for module in (svhn_module, flowers_module):
        monkeypatch.setattr(module, "check_integrity", lambda path, md5=None: Path(path).is_file())
    return getattr(datasets, name.partition(":")[2])(str(root), **how)


def as_ours(image: Image.Image) -> np.ndarray:
    """torchvision's Resize and CenterCrop on what it gives, as three channels."""
    from torchvision.transforms import functional as F

    resized = F.center_crop(F.resize(image.convert("RGB"), 9), [9])
    return np.asarray(resized).transpose(2, 0, 1)


def check_equal(ours: Any, reference: Any) -> None:
    assert len(ours) == len(reference) > 0
    pairs = [reference[i] for i in range(len(reference))]
    assert ours.labels.tolist() == [label for _, label in pairs]
    images = ours.read(np.arange(len(ours)))
    for mine, (image, _) in zip(images, pairs, strict=True):
        np.testing.assert_array_equal(mine, as_ours(image))


def test_every_set_is_tested_here() -> None:
    assert set(WRITERS) == set(SETS)
    assert len(SETS) >= 10


@pytest.mark.parametrize("name", [name for name in WRITERS if name != "torchvision:EuroSAT"])
def test_rows_and_classes_are_those_that_torchvision_reads(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, config = made(name, tmp_path)
    splits = open_data(config, root)
    cls = load_sources().get(name).cls
    assert issubclass(cls, TorchvisionSet)
    asked = {"train": True} in cls.splits
    ways = [{"train": True}, {"train": False}] if asked else [{"split": "train"}, {"split": "test"}]
    train, test = (theirs(name, root, monkeypatch, **way) for way in ways)
    check_equal(splits.train, train)
    check_equal(splits.test, test)
    names = getattr(train, "classes", None)
    expected = list(names) if names else [str(i) for i in range(config.classes)]
    if name == "torchvision:Flowers102" and not names:
        expected = list(NAMES)  # older ones name no flower
    assert list(splits.train.class_names) == expected
    assert splits.notes[OWN_ORDER] == [1, f"{expected[0]} to {expected[-1]}"]


def test_the_flowers_are_called_as_torchvision_calls_them() -> None:
    from torchvision.datasets import Flowers102

    assert len(set(NAMES)) == 102
    named = getattr(Flowers102, "classes", None)  # older ones have none
    assert named is None or tuple(named) == NAMES


@pytest.mark.parametrize("name", ["Flowers102", "DTD", "FGVCAircraft"])
def test_validation_images_are_held_apart_or_trained_on(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"torchvision:{name}"
    root, config = made(name, tmp_path)
    splits = open_data(config, root)
    assert splits.holdout is not None
    check_equal(splits.holdout, theirs(name, root, monkeypatch, split="val"))
    both = open_data(DataConfig(name, config.classes, 9, options={"train_split": "trainval"}), root)
    assert both.holdout is None
    assert len(both.train) == len(splits.train) + len(splits.holdout)
    assert both.test.fingerprint == splits.test.fingerprint


def test_other_partitions_and_levels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dtd(tmp_path)
    other = open_data(DataConfig("torchvision:DTD", 2, 9, options={"partition": 2}), tmp_path)
    reference = theirs("torchvision:DTD", tmp_path, monkeypatch, split="test", partition=2)
    check_equal(other.test, reference)
    aircraft(tmp_path)
    config = DataConfig("torchvision:FGVCAircraft", 2, 9, options={"level": "family"})
    families = open_data(config, tmp_path)
    reference = theirs(
        "torchvision:FGVCAircraft", tmp_path, monkeypatch, split="test", annotation_level="family"
    )
    check_equal(families.test, reference)
    assert families.test.class_names == ("Boeing 707", "A330")  # as listed, not sorted


def test_a_set_without_a_split_is_drawn_as_the_digits_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "torchvision:EuroSAT"
    root, config = made(name, tmp_path)
    splits = open_data(config, root)
    assert (len(splits.train), len(splits.test)) == (15, 300)
    whole = theirs(name, root, monkeypatch)
    assert list(splits.train.class_names) == whole.classes
    assert splits.files is not None
    both = sorted([*splits.files.train, *splits.files.test])
    assert both == sorted((str(Path(path)), label) for path, label in whole.samples)
    generator = np.random.RandomState(0)
    drawn = []
    for label in range(3):
        places = np.flatnonzero(np.array(whole.targets) == label)
        generator.shuffle(places)
        drawn += [whole.samples[place][0] for place in places[:100]]
    assert [path for path, _ in splits.files.test] == [str(Path(path)) for path in drawn]
    fewer = DataConfig(name, 3, 9, options={"test_per_class": 5, "seed": 1})
    assert len(open_data(fewer, root).test) == 15
    many = DataConfig(name, 3, 9, options={"test_per_class": 105})
    with pytest.raises(DataError, match="class 0 has 105 images, too few for test_per_class = 105"):
        open_data(many, root)


def test_the_folder_may_be_the_set_itself_and_packed(tmp_path: Path) -> None:
    import gzip

    root, config = made("torchvision:FashionMNIST", tmp_path)
    whole = open_data(config, root)
    raw = root / "FashionMNIST" / "raw"
    assert open_data(config, raw).train.fingerprint == whole.train.fingerprint
    for path in list(raw.iterdir()):
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    assert open_data(config, root).test.fingerprint == whole.test.fingerprint


def test_names_of_a_file_and_fit(tmp_path: Path) -> None:
    root, config = made("torchvision:GTSRB", tmp_path)
    (root / "classes.json").write_text('["20", "30", "50"]')
    named = open_data(config, root)
    assert named.train.class_names == ("20", "30", "50")
    padded = DataConfig("torchvision:GTSRB", 3, 9, fit="pad")
    assert open_data(padded, root).train.fingerprint != named.train.fingerprint
    (root / "classes.json").write_text('["20", "30"]')
    with pytest.raises(DataError, match="names 2 classes, the set has 3"):
        open_data(config, root)


def test_one_folder_of_idx_files_under_two_names_is_not_one_entry(tmp_path: Path) -> None:
    mnist(tmp_path, "MNIST")
    raw = tmp_path / "MNIST" / "raw"
    places = []
    for name in ("MNIST", "KMNIST"):
        found = locate(DataConfig(f"torchvision:{name}", 10, 28), raw).find()
        assert found is not None
        places.append(entry_path(found))
    assert places[0] != places[1]


@pytest.mark.parametrize("name", list(WRITERS))
def test_the_contract_holds_with_images(name: str, tmp_path: Path) -> None:
    root, _ = made(name, tmp_path)
    checks = list(check_source(load_sources().get(name), root))
    for check in checks:
        check()
    assert any("damaged" in str(check) for check in checks)


def break_idx(root: Path) -> None:
    path = root / "FashionMNIST" / "raw" / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-5])


def strange_label(root: Path) -> None:
    write_idx(root / "FashionMNIST" / "raw" / "train-labels-idx1-ubyte", np.full(30, 11))


def few_labels(root: Path) -> None:
    write_idx(root / "FashionMNIST" / "raw" / "train-labels-idx1-ubyte", np.arange(9))


WRONG: list[tuple[str, Callable[[Path], Any], str]] = [
    ("FashionMNIST", break_idx, "train-images-idx3-ubyte has .* is it whole"),
    ("FashionMNIST", strange_label, r"label 11 is outside 0\.\.9"),
    ("FashionMNIST", few_labels, "30 need as many labels"),
    (
        "FashionMNIST",
        lambda root: (root / "FashionMNIST/raw/t10k-labels-idx1-ubyte").unlink(),
        "t10k-labels-idx1-ubyte is missing; expected FashionMNIST/raw",
    ),
    ("SVHN", lambda r: (r / "test_32x32.mat").write_bytes(b"no"), "test_32x32.mat is not of"),
    ("USPS", lambda r: (r / "usps.bz2").write_bytes(b"no"), "usps.bz2 cannot be read"),
    (
        "Food101",
        lambda r: (r / "food-101/images/waffles/test1.jpg").unlink(),
        "no file .*test1.jpg, which Food-101 lists",
    ),
    ("Food101", lambda r: (r / "food-101/meta/test.json").write_text("["), "test.json is not of"),
    (
        "Food101",
        lambda r: (r / "food-101/meta/test.json").write_text('{"tea": ["x"]}'),
        "class 'tea' is listed, but is none of the 3 classes",
    ),
    (
        "GTSRB",
        lambda r: (r / "gtsrb/GTSRB/Training/00001").rename(r / "gtsrb/GTSRB/Training/00007"),
        "must be numbered from 00000 without a gap",
    ),
    ("Flowers102", lambda r: (r / "flowers-102/setid.mat").write_bytes(b""), "setid.mat is not of"),
    ("DTD", lambda r: (r / "dtd/dtd/labels/val1.txt").unlink(), "val1.txt cannot be read"),
    (
        "FGVCAircraft",
        lambda r: (r / "fgvc-aircraft-2013b/data/images_variant_test.txt").write_text("1 UFO\n"),
        "class 'UFO' is listed",
    ),
]


@pytest.mark.parametrize(("name", "spoil", "message"), WRONG)
def test_what_is_wrong_is_one_line(
    name: str, spoil: Callable[[Path], Any], message: str, tmp_path: Path
) -> None:
    root, config = made(f"torchvision:{name}", tmp_path)
    spoil(root)
    with pytest.raises(DataError, match=message) as caught:
        open_data(config, root)
    assert "\n" not in str(caught.value)


def test_all_missing_files_are_told_at_once(tmp_path: Path) -> None:
    root, config = made("torchvision:Food101", tmp_path)
    for path in (root / "food-101" / "images" / "waffles").iterdir():
        path.unlink()
    with pytest.raises(DataProblems, match="5 more like it") as caught:
        open_data(config, root, thorough=True)
    assert len(caught.value.findings.errors[MISSING]) == 6


def test_a_set_that_is_not_in_the_table_is_one_line() -> None:
    with pytest.raises(InputError) as caught:
        open_data(DataConfig("torchvision:FashonMNIST", 10, 28))
    assert "did you mean 'torchvision:FashionMNIST'?" in str(caught.value)
    assert "`ltbench new source NAME` writes one of 15 lines" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_only_prepare_downloads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By torchvision's own class, into the cache, a folder for each set."""
    from torchvision import datasets

    asked = []

    def download(root: str, *, download: bool, train: bool) -> None:
        assert download
        if not asked:
            mnist(Path(root), "FashionMNIST")
        asked.append(train)

    monkeypatch.setattr(datasets, "FashionMNIST", download)
    config = DataConfig("torchvision:FashionMNIST", 10, 28)
    with pytest.raises(DataError, match="Fashion-MNIST is not here; `ltbench data prepare`"):
        open_data(config)
    assert asked == []
    splits = open_data(config, asked=True)
    assert asked == [True, False]
    assert open_data(config).train.fingerprint == splits.train.fingerprint
    assert "downloads" in describe(config).found
    assert "torchvision-FashionMNIST" in describe(config).found


def test_a_download_that_fails_is_one_line_with_the_way_by_hand(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from torchvision import datasets

    def fail(root: str, **how: Any) -> None:
        raise RuntimeError("Error downloading x.gz:\nTried http://a, got:\nno route\n")

    monkeypatch.setattr(datasets, "SVHN", fail)
    with pytest.raises(DataError) as caught:
        open_data(DataConfig("torchvision:SVHN", 10, 32), asked=True)
    text = str(caught.value)
    assert "could not be downloaded by torchvision: Error downloading x.gz: Tried" in text
    assert "ufldl.stanford.edu" in text
    assert "\n" not in text


def test_it_is_checked_and_located_by_the_commands(
    tmp_path: Path, ltbench_here: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    root, _ = made("torchvision:FashionMNIST", tmp_path)
    (tmp_path / "cwd" / "fashion.toml").write_text(
        'extends = "digits-lt"\nname = "fashion"\nversion = "1.0"\ntitle = "Fashion"\n[data]\n'
        'source = "torchvision:FashionMNIST"\nclasses = 10\nimage_size = 28\n'
        '[train]\nprofile = "all"\n[test]\nratios = [2]\n'
    )
    done = ltbench_here("data", "check", "fashion.toml", "--data-dir", root)
    assert done.returncode == 0, done.stderr
    assert f"note: {OWN_ORDER}: 1 (T-shirt/top to Ankle boot)" in done.stdout
    assert "note: grey, as three equal channels: 50" in done.stdout
    missing = ltbench_here("data", "where", "fashion.toml")
    assert "`ltbench data prepare` downloads it" in missing.stdout
    break_idx(root)
    again = ltbench_here("data", "check", "fashion.toml", "--data-dir", root)
    assert again.returncode == 2
    assert again.stderr.count("\n") == 1
    assert "is it whole?" in again.stderr


def test_the_registry_does_not_import_torchvision() -> None:
    code = (
        "import sys; from ltbench.registry import load_sources; "
        "found = load_sources(); assert 'torchvision:SVHN' in found.plugins, found.broken; "
        "print(sorted({'torch', 'torchvision', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("arrays", [{"X": {"a": 1}, "y": [1]}, {"X": "text", "y": [1]}, {"y": [1]}])
def test_a_mat_file_of_anything_but_numbers_is_refused_before_it_is_read(
    arrays: dict[str, Any], tmp_path: Path
) -> None:
    """scipy's reader of structs and cells ended the process on a damaged file."""
    savemat(tmp_path / "s.mat", arrays)
    with pytest.raises(DataError, match=r"s\.mat: X must be an array of numbers; it is \w+$"):
        read_svhn(tmp_path / "s.mat")
