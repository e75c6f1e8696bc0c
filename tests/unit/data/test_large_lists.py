"""Lists of the size of iNaturalist 2018, and real photographs through the clean transform."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from subprocess import PIPE

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images
from torchvision.transforms import functional as F

from ltbench.data.dataset import FileNames
from ltbench.data.published_draws import find_published
from ltbench.data.sources import open_data
from ltbench.protocol.protocol import DataConfig, ListFile
from ltbench.shift.profiles import exponential_counts
from tests.zygote import started

CLASSES, TRAIN = 8142, 437_513


@pytest.fixture(scope="module")
def training_list(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """437,513 lines in random order, 8,142 classes, each in a folder of its own."""
    rng = np.random.RandomState(0)
    counts = np.maximum(2, 1000 * np.arange(1, CLASSES + 1) ** -0.52).astype(np.int64)
    counts[0] += TRAIN - counts.sum()
    labels = rng.permutation(np.repeat(rng.permutation(CLASSES), counts))
    assert len(labels) == TRAIN
    path = tmp_path_factory.mktemp("lists") / "iNaturalist18_train.txt"
    with path.open("w") as file:
        file.writelines(
            f"train_val2018/Aves/{label}/{i:032x}.jpg {label}\n"
            for i, label in enumerate(labels.tolist())
        )
    return path


PARSE = """
import json, resource, sys
from pathlib import Path
import numpy as np
from ltbench.data.findings import Findings
from ltbench.data.list_file import class_names, read_list
from ltbench.shift.profiles import training_rank

def peak():
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

classes, findings, before = int(sys.argv[2]), Findings(), peak()
listing = read_list(Path(sys.argv[1]), classes, findings)
names = class_names(listing, classes)
grown = peak() - before
counts = np.bincount(listing.labels, minlength=classes)
print(json.dumps({
    "errors": len(findings.errors),
    "lines": [len(listing.names), len(listing.labels)],
    "kept": len(listing.names.joined) + listing.names.ends.nbytes + listing.labels.nbytes,
    "names": [names[0], names[-1]],
    "largest": [int(counts[np.argsort(training_rank(counts))[0]]), int(counts.max())],
    "grown": grown,
}))
"""


def test_a_list_of_437_513_lines_is_read_and_kept_small(
    training_list: Path, environment: dict[str, str]
) -> None:
    """Kept: the paths as one string, ends and labels; no text object a line. Reading takes less than 400
    megabytes. Measured: 298, ten times the file, most of it one text a line while duplicates are looked
    for."""
    words = [sys.executable, "-c", PARSE, str(training_list), str(CLASSES)]
    with started(words, env=environment, stdout=PIPE, stderr=PIPE, text=True) as process:
        out, err = process.communicate()
    assert process.returncode == 0, err
    found = json.loads(out)
    assert found["errors"] == 0
    assert found["lines"] == [TRAIN, TRAIN]
    assert found["kept"] < training_list.stat().st_size + 16 * TRAIN
    assert found["names"] == ["0", "8141"]
    assert found["largest"][0] == found["largest"][1]
    if sys.platform == "linux":  # elsewhere peak memory is not told in kilobytes
        assert 0 < found["grown"] < 400e6


def test_published_sets_of_8_142_classes_are_met(tmp_path: Path) -> None:
    """Ratio 3 as published: with the factor 0.333 for 1/3 eight classes have no image."""
    test = [(f"train_val2018/Aves/{c}/{i}-{c}.jpg", c) for i in range(3) for c in range(CLASSES)]
    counts = [int(3 * 0.333 ** (r / (CLASSES - 1))) for r in range(CLASSES)]
    chosen = [
        line
        for c, n in enumerate(counts)
        for line in (test[c], test[CLASSES + c], test[2 * CLASSES + c])[:n]
    ]
    text = "".join(f"{name} {label}\n" for name, label in chosen)
    (tmp_path / "iNaturalist18_forward3.txt").write_text(text)
    found, absent = find_published(
        "iNaturalist18_{name}.txt", ["forward3"], FileNames(tmp_path, [], test), CLASSES
    )
    assert not absent
    draw = found["forward3"]
    assert len(draw.indices) == draw.counts.sum() == 11_137
    assert draw.counts.tolist() == counts
    assert (draw.counts == 0).sum() == 8
    assert (exponential_counts(3, 3, CLASSES) - draw.counts).sum() == 11  # which have one by 1/3


def test_photographs_are_what_torchvision_makes_of_them(tmp_path: Path) -> None:
    """Short side to 64, middle 56, as the published evaluations do it: equal to the last bit."""
    lines, expected = [], []
    for number, pixels in enumerate(load_sample_images().images):
        for cut, box in enumerate([(0, 0, 500, 375), (90, 30, 420, 427), (0, 0, 640, 427)]):
            name = f"train/{number}/{cut}.JPEG"
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).crop(box).save(tmp_path / name, quality=88)
            lines.append(f"{name} {number}\n")
            with Image.open(tmp_path / name) as image:
                small = F.center_crop(F.resize(image.convert("RGB"), 64), [56, 56])
            expected.append(np.asarray(small).transpose(2, 0, 1))
    for split in ("train", "test"):
        (tmp_path / f"{split}.txt").write_text("".join(lines))
    files = {split: ListFile(f"{split}.txt") for split in ("train", "test")}
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    config = DataConfig("lists", 2, 56, mean=mean, std=std, resize=64, lists=files)
    found = open_data(config, tmp_path).test.read(range(6))
    np.testing.assert_array_equal(found, np.stack(expected))
