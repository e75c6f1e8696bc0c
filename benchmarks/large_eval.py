"""Peak memory and time of an evaluation with the shape of iNaturalist 2018, on random logits.

    python -m benchmarks.large_eval [--classes 8142] [--strategies none,tilt,em,oracle,stability]

Three test images a class, three experts of SADE, training counts from 1,000 down to 2; the true class is
raised by a random amount above what the training counts say, so that strategies have something to find.
Logits lie in a file as a finished trial leaves them, views as float16. Every strategy runs in a process of
its own: one draw of each test set, all metrics, counts by class. Prints seconds, the peak of resident
memory, and of it what is no map of a file as `anonymous`. Every twelfth image is the hold-out for
strategies that need one: a matter of memory and time, not of scores.
"""

from __future__ import annotations

import dataclasses
import json
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import click
import numpy as np
import torch
from torch import Tensor

from ltbench import get_method
from ltbench.data.dataset import Splits
from ltbench.evaluate.by_class import ClassCounts
from ltbench.evaluate.evaluate import evaluate_row
from ltbench.evaluate.outputs import HoldOut, TrialOutputs
from ltbench.method import log_prior
from ltbench.names import parse_row
from ltbench.protocol.file import load_protocol_config
from ltbench.protocol.protocol import GroupsConfig, TestConfig
from ltbench.registry import load_registries
from ltbench.resolve.rows import resolve_row
from ltbench.shift.groups import class_groups
from ltbench.shift.profiles import Counts, exponential_counts
from ltbench.shift.testsets import build_test_sets
from ltbench.shift.trainset import TrainSet
from ltbench.task import Task
from ltbench.trial.class_arrays import write_arrays
from ltbench.trial.tensor_file import Pieces, read_tensors, write_pieces
from ltbench.trial.trial import Trial

CLASSES, EXPERTS, PER_CLASS = 8142, 3, 3
STRATEGIES = "none,tilt,em,oracle,stability"
SETS = "forward3,uniform,backward3"
_PIECE, _HELD = 512, 12


def make(folder: Path, classes: int, *, views: bool) -> None:
    """``logits.safetensors`` of ``(3 C, 3, C)`` and, if asked for, ``views.safetensors``."""
    size = classes * PER_CLASS
    labels = torch.arange(classes).repeat_interleave(PER_CLASS)
    counts = torch.from_numpy(counts_of(classes))
    bias = get_method("sade", counts).bias()
    assert bias is not None
    carried = log_prior(counts) - bias  # so that z + b is a log-posterior

    def parts(seed: int) -> Iterator[Tensor]:
        rng = torch.Generator().manual_seed(seed)
        for start in range(0, size, _PIECE):
            own = labels[start : start + _PIECE]
            z = torch.randn(len(own), EXPERTS, classes, generator=rng)
            raised = 2 + 3 * torch.rand(len(own), 1, generator=rng)
            z[torch.arange(len(own)), :, own] += raised * torch.tensor([1.0, 0.8, 0.5])
            yield z + carried

    def halves() -> Iterator[Tensor]:
        for seed in (0, 1):
            yield from (part.half() for part in parts(seed))

    shape = (size, EXPERTS, classes)
    logits = Pieces(shape, torch.float32, parts(0))
    write_pieces(folder / "logits.safetensors", {"logits": logits})
    if views:
        pair = Pieces((2, *shape), torch.float16, halves())
        write_pieces(folder / "views.safetensors", {"logits": pair})


def counts_of(classes: int) -> Counts:
    return exponential_counts(1000, 500, classes)


def outputs_of(folder: Path, classes: int, sets: tuple[str, ...]) -> TrialOutputs:
    """As evaluation opens a finished trial."""
    protocol = dataclasses.replace(
        load_protocol_config("digits-lt"),
        test=TestConfig(ratios=(2.0, 3.0), draws=1, partial=False),
        groups=GroupsConfig(),
    )
    protocol = dataclasses.replace(protocol, views=dataclasses.replace(protocol.views, pairs=1))
    counts = counts_of(classes)
    empty = np.zeros(0, dtype=np.int64)
    train = TrainSet(empty, empty, counts, counts)
    groups = class_groups(counts, protocol.groups)
    labels = torch.arange(classes).repeat_interleave(PER_CLASS)
    built = build_test_sets(
        protocol.test, np.full(classes, PER_CLASS, dtype=np.int64), train.rank, groups
    )
    chosen = [one for one in built if one.name in sets]
    task = Task(protocol, cast(Splits, None), train, train.rank, groups, chosen)
    trial = Trial(protocol, "sade", {}, 1, "", protocol.recipe, 0, "float32", "train", "test")
    logits = read_tensors(folder / "logits.safetensors")["logits"]

    def views(_: int) -> Tensor:
        return read_tensors(folder / "views.safetensors")["logits"]

    holdout = HoldOut(logits[::_HELD], labels[::_HELD])
    return TrialOutputs(trial, task, logits, logits, labels, views, holdout=holdout)


def measure(folder: Path, classes: int, strategy: str, sets: tuple[str, ...]) -> dict[str, Any]:
    """Seconds and bytes of one row, in this process."""
    began = time.monotonic()
    with anonymous_peak() as anonymous:
        outputs = outputs_of(folder, classes, sets)
        protocol, registries = outputs.task.protocol, load_registries()
        row = resolve_row(parse_row(f"sade+{strategy}"), protocol, registries)
        counts = ClassCounts()
        found = evaluate_row(outputs, row, {}, by_class=counts)
        write_arrays(folder / f"{strategy}.npz", counts.result())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "strategy": strategy,
        "seconds": round(time.monotonic() - began, 1),
        "peak": peak if sys.platform == "darwin" else peak * 1024,
        "anonymous": anonymous(),
        "top1": {name: one["draws"]["0"]["top1"] for name, one in found.items()},
    }


class anonymous_peak:
    """The most memory that is no map of a file, watched ten times a second; None where the system
    does not tell."""

    def __enter__(self) -> Callable[[], int | None]:
        self._most: int | None = None
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return lambda: self._most

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        status = Path("/proc/self/status")
        while status.exists():
            for line in status.read_text().splitlines():
                if line.startswith("RssAnon"):
                    self._most = max(self._most or 0, 1024 * int(line.split()[1]))
            if self._done.wait(0.1):
                return


@click.command(help=(__doc__ or "").partition("\n")[0])
@click.option("--classes", default=CLASSES, show_default=True)
@click.option("--strategies", default=STRATEGIES, show_default=True)
@click.option("--sets", default=SETS, show_default=True, help="test sets, of ratios 2 and 3")
@click.option(
    "--folder", type=click.Path(path_type=Path), help="of the files; else a temporary one"
)
@click.option("--only", hidden=True)
def main(classes: int, strategies: str, sets: str, folder: Path | None, only: str | None) -> None:
    if only is not None:
        assert folder is not None
        print(json.dumps(measure(folder, classes, only, tuple(sets.split(",")))))
        return
    names = strategies.split(",")
    with tempfile.TemporaryDirectory(dir=folder) as own:
        make(Path(own), classes, views=any(name.startswith("stability") for name in names))
        size = classes * PER_CLASS
        print(f"{size} images, {EXPERTS} experts, {classes} classes")
        print(f"{4 * size * EXPERTS * classes / 1e9:.2f} GB of logits")
        for name in names:
            words = [sys.executable, "-m", "benchmarks.large_eval", "--classes", str(classes)]
            words += ["--sets", sets]
            words += ["--folder", own, "--only", name]
            done = subprocess.run(words, capture_output=True, text=True, check=False)
            if done.returncode:
                raise click.ClickException(f"{name}: {done.stderr.strip().splitlines()[-1]}")
            print(_line(json.loads(done.stdout)), flush=True)


def _line(found: dict[str, Any]) -> str:
    anonymous = found["anonymous"]
    told = "" if anonymous is None else f", anonymous {anonymous / 1e9:.2f}"
    top1 = " ".join(f"{name} {value:.2f}" for name, value in found["top1"].items())
    peak = f"peak {found['peak'] / 1e9:.2f} GB{told}"
    return f"{found['strategy']:>12}  {found['seconds']:8.1f} s  {peak}  {top1}"


if __name__ == "__main__":
    main()
