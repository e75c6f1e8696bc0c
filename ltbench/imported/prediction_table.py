"""A table of predictions, one image a row: ``file`` or ``index``, ``label``, then one column a class."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ltbench.data.findings import brief
from ltbench.data.subset import ClassSubset, files_of
from ltbench.errors import InputError
from ltbench.imported.class_names import Names, normal, numbers_of
from ltbench.imported.class_order import column_order
from ltbench.imported.outputs import ModelOutputs, check_labels
from ltbench.imported.probabilities import normalised_scores
from ltbench.imported.scores import checked_logits, doubtful_range

if TYPE_CHECKING:
    import pandas as pd

    from ltbench.task import Task

_KEYS = ("index", "file")
_LABEL = "label"
_PREDICTED = "prediction"  # as `ltbench predictions` writes it; the scores tell it again


@dataclass(frozen=True)
class Predictions:
    """scores: ``(N, C)`` float64; names: of the columns, None where they are 0 to C-1 and nobody told
    names; labels, index and files: columns as text where they are there."""

    where: str
    scores: Tensor
    names: Names | None
    labels: list[str] | None
    index: list[str] | None
    files: list[str] | None


def read_predictions(path: Path, classes: Names | None) -> Predictions:
    """Reads a ``.csv`` or ``.parquet`` file. classes: the names that ``--classes`` gives.

    Raises :class:`InputError` with one line, also for a table of predicted classes alone, which no
    strategy can adapt.
    """
    where = f"predictions file {path}"
    frame = _frame(path, where)
    doubled = [name for name in frame.columns if list(frame.columns).count(name) > 1]
    if doubled:
        raise InputError(f"{where} has two columns {brief(doubled[0])!r}")
    rest = [name for name in frame.columns if name not in (*_KEYS, _LABEL, _PREDICTED)]
    if len(rest) < 2:
        only = f" (only {brief(rest[0])!r})" if rest else ""
        raise InputError(
            f"{where} has no column for each class{only}; predicted classes alone tell no scores, which "
            "every strategy needs: give a probability or a logit for each class"
        )
    if not len(frame):
        raise InputError(f"{where} has no rows")
    names = _names(rest, classes, where)
    columns = [_numbers(frame[name], f"{where}: column {brief(name)!r}") for name in rest]
    text = {
        name: frame[name].astype(str).tolist() for name in (*_KEYS, _LABEL) if name in frame.columns
    }
    if not text.keys() & set(_KEYS):
        raise InputError(f"{where} has neither a column 'index' nor 'file' that names the image")
    return Predictions(
        where,
        torch.from_numpy(np.stack(columns, axis=1)),
        names,
        text.get(_LABEL),
        text.get("index"),
        text.get("file"),
    )


def _frame(path: Path, where: str) -> pd.DataFrame:
    import pandas as pd

    if not path.is_file():
        raise InputError(f"{where} does not exist" if not path.exists() else f"{where} is no file")
    suffix = path.suffix.lower()
    try:
        if suffix == ".csv":
            frame = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
        elif suffix == ".parquet":
            frame = pd.read_parquet(path)
        else:
            raise InputError("its name must end in .csv or .parquet")
    except (InputError, OSError, ValueError) as error:  # pyarrow's and pandas' are ValueErrors
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(f"{where} is not readable: {reason}") from None
    frame.columns = [normal(str(name).strip()) for name in frame.columns]
    return frame


def _names(columns: list[str], classes: Names | None, where: str) -> Names | None:
    numbered = columns == list(map(str, range(len(columns))))
    if classes is None:
        return None if numbered else tuple(columns)
    if set(columns) == set(classes):
        return tuple(columns)
    if numbered and len(columns) == len(classes):
        return classes
    strange = next((name for name in columns if name not in classes), None)
    what = (
        f"column {brief(strange)!r} is no class of --classes"
        if strange is not None
        else f"class {next(name for name in classes if name not in columns)!r} has no column"
    )
    raise InputError(f"{where}: {what}")


def _numbers(column: pd.Series[str], where: str) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    try:
        return np.asarray(column, dtype=np.float64)
    except (ValueError, TypeError):
        for row, value in enumerate(column.tolist()):
            try:
                float(value)
            except (ValueError, TypeError):
                raise InputError(
                    f"{where}, row {row}: {str(value)[:40]!r} is not a number; every column but "
                    "'file', 'index' and 'label' is a class"
                ) from None
        raise InputError(f"{where} does not hold numbers") from None


def outputs_of(found: Predictions, task: Task | None) -> ModelOutputs:
    """The outputs in the order of the protocol's test images; without a protocol as the rows stand.

    Probabilities, also in per cent, become their logarithms, which is told in a note. Classes stay in
    the order of the columns. Raises :class:`InputError` where images are missing, doubled or others.
    """
    scores, note = _logits(found.scores, found.where)
    names = found.names
    rows = _rows(found, task)
    if task is not None and names is None:
        theirs = tuple(map(normal, task.splits.test.class_names))
        if set(theirs) == set(map(str, range(scores.shape[1]))):
            names = tuple(map(str, range(scores.shape[1])))
    labels, named = _labels(found, task, names, rows)
    scores = scores[rows]
    logits, floor = checked_logits(scores, found.where)
    check_labels(labels, len(logits), logits.shape[2], f"{found.where}: column 'label'")
    doubt = doubtful_range(logits)
    return ModelOutputs(
        logits,
        labels,
        None,
        None,
        floor,
        names,
        labels_named=named,
        notes=tuple(line for line in (note, doubt) if line is not None),
    )


def _logits(scores: Tensor, where: str) -> tuple[Tensor, str | None]:
    if bool((scores == scores.round()).all()):
        raise InputError(
            f"{where} holds whole numbers alone; give a probability or a logit for each class"
        )
    kind = normalised_scores(scores)
    if kind is None or kind.startswith("negative"):
        return scores, None  # logits; of the negative ones :func:`checked_logits` tells
    scale = 100.0 if kind.endswith("per cent") else 1.0
    return (scores / scale).log(), f"the columns hold {kind}; their logarithms are scored"


def _labels(
    found: Predictions, task: Task | None, names: Names | None, rows: Tensor
) -> tuple[Tensor, bool]:
    """In the order of the columns, and whether they were told as names."""
    if found.labels is None:
        if task is None:
            raise InputError(
                f"{found.where} has no column 'label', which only a protocol's test images tell"
            )
        truth = torch.tensor(task.splits.test.labels)
        if names is None:
            return truth, False
        order = column_order(names, task.splits.test.class_names, task.protocol.name)
        return torch.tensor(order)[truth], True
    where = f"{found.where}: column 'label'"
    texts = [found.labels[row] for row in rows.tolist()]
    if names is not None and {normal(text) for text in texts} <= set(names):
        return numbers_of(texts, names, where), True
    if all(text.isdecimal() for text in texts):
        return torch.tensor([int(text) for text in texts], dtype=torch.int64), False
    return numbers_of(texts, names, where), True


def _rows(found: Predictions, task: Task | None) -> Tensor:
    """Which row each test image has, in the order of the images."""
    n = len(found.scores)
    for column, values in (("index", found.index), ("file", found.files)):
        if values is not None and len(set(values)) != n:
            twice = next(v for i, v in enumerate(values) if v in values[:i])
            raise InputError(f"{found.where}: {column} {twice!r} has two rows")
    if task is None:
        return torch.arange(n)
    test = task.splits.test
    chosen = None
    if found.index is not None:
        places = test.places.tolist() if isinstance(test, ClassSubset) else range(len(test))
        chosen = _matched(found.index, list(map(str, places)), "index", found, task)
    if found.files is not None:
        known = [normal(name) for name in files_of(task.splits, "test")]
        if known:
            given = [normal(name.replace("\\", "/").removeprefix("./")) for name in found.files]
            by_file = _matched(given, known, "file", found, task)
            if chosen is not None and not torch.equal(chosen, by_file):
                raise InputError(f"{found.where}: index and file name different images")
            chosen = by_file
        elif chosen is None:
            raise InputError(
                f"{found.where}: the test images of {task.protocol.name} are no files of their own; "
                "give a column 'index', their place from 0"
            )
    assert chosen is not None  # one of the two columns is there
    return chosen


def _matched(
    given: list[str], known: list[str], column: str, found: Predictions, task: Task
) -> Tensor:
    name, rows = task.protocol.name, {value: row for row, value in enumerate(given)}
    strange = rows.keys() - set(known)
    if strange:
        first = next(value for value in given if value in strange)
        raise InputError(
            f"{found.where}: {column} {first!r} is no test image of {name} ({len(strange)} of "
            f"{len(given)} rows); `ltbench data export` lists them"
        )
    missing = [value for value in known if value not in rows]
    if missing:
        raise InputError(
            f"{found.where} lacks {len(missing)} of the {len(known)} test images of {name}, the first "
            f"of {column} {missing[0]!r}"
        )
    return torch.tensor([rows[value] for value in known], dtype=torch.int64)
