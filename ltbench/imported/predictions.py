"""Predictions of single test images as a table, for trained and imported rows, and as a file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd
import torch

from ltbench.data.subset import files_of
from ltbench.errors import InputError
from ltbench.evaluate.outputs import TrialOutputs
from ltbench.evaluate.predict import Predictions, predict_images
from ltbench.execute.request import Request
from ltbench.execute.stored_outputs import stored_outputs
from ltbench.files import write_atomically
from ltbench.imported.stored import imported_outputs, is_imported
from ltbench.imported.task import PROTOCOL

KINDS = (".csv", ".parquet")


@dataclass(frozen=True)
class Asked:
    """row: ``method`` or ``method+strategy``; distribution and draw: see
    :func:`ltbench.evaluate.predict.predict_images`."""

    row: str
    request: Request
    seed: int = 0
    distribution: str | None = None
    draw: int = 0


def predictions_frame(asked: Asked) -> pd.DataFrame:
    """One line an image: ``file`` (below the folder of the images) or, where images are no files,
    ``index`` (its place in the test pool), ``label`` and ``prediction`` (names of classes), and the
    softmax probability of each class under its name.

    A class whose name is that of another column or class is called ``name (number)``.
    """
    request = asked.request
    if is_imported(asked.row, request.protocol, request.results):
        outputs, row = imported_outputs(
            asked.row,
            request.protocol,
            seed=asked.seed,
            results=request.results,
            overrides=request.overrides,
            data_dir=request.data_dir,
            plugins=request.plugins,
        )
    elif request.protocol == PROTOCOL:
        raise InputError(f"no model {asked.row!r} was imported below {request.results / PROTOCOL}")
    else:
        outputs, row = stored_outputs(request)
    return _frame(outputs, predict_images(outputs, row, asked.distribution, asked.draw))


def _frame(outputs: TrialOutputs, found: Predictions) -> pd.DataFrame:
    splits = outputs.task.splits
    names, files = splits.test.class_names, files_of(splits, "test")
    places = found.images.tolist()
    images = [files[place] for place in places] if files else places
    frame = {
        "file" if files else "index": images,
        "label": [names[c] for c in outputs.labels[found.images].tolist()],
        "prediction": [names[c] for c in found.scores.argmax(dim=1).tolist()],
    }
    p = torch.softmax(found.scores.detach().double(), dim=1).numpy()
    columns = _columns(names, taken=list(frame))
    probabilities = pd.DataFrame(p, columns=columns)
    return pd.concat([pd.DataFrame(frame), probabilities], axis=1)


def _columns(names: Sequence[str], taken: Sequence[str]) -> list[str]:
    often = Counter([*names, *taken])
    return [f"{name} ({c})" if often[name] > 1 else name for c, name in enumerate(names)]


def checked_kind(path: Path) -> Path:
    """Raises :class:`InputError` for a file of another kind, before any work."""
    if path.suffix not in KINDS:
        raise InputError(f"{path}: the file must end in {' or '.join(KINDS)}")
    if path.is_dir():
        raise InputError(f"{path} is a folder, not a file for predictions")
    return path


def write_frame(frame: pd.DataFrame, path: Path) -> None:
    """Whole or not at all. Raises :class:`InputError` where it cannot be written."""
    write = frame.to_csv if checked_kind(path).suffix == ".csv" else frame.to_parquet
    try:
        write_atomically(path, partial(write, index=False), durable=False)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror or error}") from error
