"""Images a second of streamed training's loader against torchvision's ImageFolder in a DataLoader.

    python -m benchmarks.loaders [--images 320] [--workers 0,2] [--rounds 5]

Both open the same generated JPEG files (parts of scikit-learn's two photographs, 500 x 375 pixels), crop them
at random to 224 pixels, flip and, with --jitter, change their colours as SADE's recipe for ImageNet-LT does,
and hand over uint8 batches of 64; both have as many processes and read in a random order. Neither
normalises: ltbench does that on the device. Epochs alternate within one process, after one of each that
counts for nothing; printed are medians with the smallest and largest of the rounds, and the ratio round
by round.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import click
import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_sample_images
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import (
    ColorJitter,
    Compose,
    PILToTensor,
    RandomHorizontalFlip,
    RandomResizedCrop,
)

from benchmarks.timing import Procedure, Spread, rates, ratio
from ltbench.data.sources import open_data
from ltbench.protocol.protocol import DataConfig, ListFile, Recipe
from ltbench.train.streamed import Streamed, StreamedFeed

CLASSES, BATCH, SIZE = 10, 64, 224
JITTER = (0.4, 0.4, 0.4, 0.0)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def write_photographs(root: Path, count: int) -> None:
    """``count`` JPEG files in a folder a class, and their lists."""
    photographs = [Image.fromarray(pixels) for pixels in load_sample_images().images]
    rng = np.random.RandomState(0)
    lines = []
    for i in range(count):
        label = i % CLASSES
        name = f"train/n{label:04d}/{i:05d}.JPEG"
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        left, top = int(rng.randint(0, 141)), int(rng.randint(0, 53))
        part = photographs[i % 2].crop((left, top, left + 500, top + 375))
        part.save(root / name, "JPEG", quality=92)
        lines.append(f"{name} {label}\n")
    for split in ("train", "test"):
        (root / f"{split}.txt").write_text("".join(lines))


def ours(root: Path, workers: int, jitter: bool) -> tuple[Procedure, StreamedFeed]:
    files = {split: ListFile(f"{split}.txt") for split in ("train", "test")}
    config = DataConfig("lists", CLASSES, SIZE, mean=MEAN, std=STD, resize=256, lists=files)
    images = open_data(config, root).train
    recipe = Recipe(1, BATCH, 0.1, crop="resized", flip=True, jitter=JITTER if jitter else ())
    streamed = Streamed(images, np.arange(len(images)), workers)
    norm = torch.tensor(MEAN), torch.tensor(STD)
    feed = StreamedFeed(streamed, recipe, *norm, 0, torch.device("cpu"))
    batches = [slice(i, min(i + BATCH, len(images))) for i in range(0, len(images), BATCH)]
    epochs = iter(range(10**9))

    def epoch() -> int:
        order = torch.randperm(len(images))
        return sum(len(t.views[0]) for t in feed.tickets(next(epochs), order, batches))  # type: ignore[arg-type]

    return epoch, feed


def theirs(root: Path, workers: int, jitter: bool) -> Procedure:
    steps = [RandomResizedCrop(SIZE), RandomHorizontalFlip()]
    steps += [ColorJitter(*JITTER)] if jitter else []
    loader = DataLoader(
        ImageFolder(str(root / "train"), Compose([*steps, PILToTensor()])),
        batch_size=BATCH,
        shuffle=True,
        num_workers=workers,
        persistent_workers=workers > 0,
    )
    return lambda: sum(len(images) for images, _ in loader)


@click.command()
@click.option("--images", default=320, show_default=True)
@click.option("--workers", default="0,2", show_default=True, help="Processes of each, by commas.")
@click.option("--rounds", default=5, show_default=True)
@click.option("--jitter/--no-jitter", default=True, show_default=True)
def main(images: int, workers: str, rounds: int, jitter: bool) -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_photographs(root, images)
        click.echo("processes | ltbench, images/s | ImageFolder, images/s | ratio")
        for many in map(int, workers.split(",")):
            ours_epoch, feed = ours(root, many, jitter)
            procedures = {"ours": ours_epoch, "theirs": theirs(root, many, jitter)}
            rates(procedures, 1)  # starts the processes
            found = rates(procedures, rounds)
            feed.close()
            cells = [Spread.of(found[name]) for name in procedures]
            cells.append(ratio(found["ours"], found["theirs"]))
            digits = (0, 0, 2)
            shown = [
                f"{s.median:.{d}f} ({s.low:.{d}f} to {s.high:.{d}f})"
                for s, d in zip(cells, digits, strict=True)
            ]
            click.echo(" | ".join([str(many), *shown]))


if __name__ == "__main__":
    main()
