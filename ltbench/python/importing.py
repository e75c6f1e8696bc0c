"""Outputs of a model that was trained elsewhere, scored from Python."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ltbench.imported.in_memory import InMemory, Source
from ltbench.python.arguments import (
    AnyPath,
    Plugins,
    dotted,
    joined,
    optional_path,
    plugin_files,
)

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike
    from torch import Tensor

    from ltbench.imported.score import Imported


def import_outputs(
    logits: ArrayLike | Tensor | AnyPath | None = None,
    labels: ArrayLike | Tensor | AnyPath | pd.Series | None = None,
    *,
    name: str,
    predictions: AnyPath | None = None,
    classes: Iterable[str] | AnyPath | None = None,
    counts: ArrayLike | Tensor | AnyPath | pd.Series | None = None,
    bias: ArrayLike | Tensor | AnyPath | None = None,
    holdout_logits: ArrayLike | Tensor | AnyPath | None = None,
    holdout_labels: ArrayLike | Tensor | AnyPath | pd.Series | None = None,
    view_logits: ArrayLike | Tensor | AnyPath | None = None,
    protocol: str | None = None,
    strategies: str | Iterable[str] | None = None,
    seed: int = 0,
    title: str | None = None,
    results: AnyPath = "results",
    data_dir: AnyPath | None = None,
    plugins: Plugins = (),
    **overrides: Any,
) -> Imported:
    """Scores a model's own test outputs under every test distribution, as
    ``ltbench evaluate --logits``; nothing is trained.

    Args:
        logits: ``(N, C)``, or ``(N, E, C)`` for E experts: floating-point scores of the test images
            before any softmax. An array, a tensor, lists, or a file (``.safetensors``, ``.npy``,
            ``.npz``, ``.pt``, ``.csv``); so are labels, counts, bias, hold-out and views. ``(N,)``
            scores are those of class 1 of two: probabilities where all lie in [0, 1], else logits.
        labels: ``(N,)`` whole numbers 0 to C-1 or names of ``classes``, in the order of the logits.
        name: what tables call the model, followed by "(imported)".
        predictions: in the place of both a ``.csv`` or ``.parquet`` file with the columns ``index``
            or ``file``, ``label`` and one column a class: probabilities or logits.
        classes: names of the classes in the order of the logits: a list or a file. Where those of
            ``protocol`` are in another order, the columns are moved, and a note says so.
        counts: ``(C,)`` training images per class; needed without ``protocol``.
        bias: ``(C,)`` or ``(E, C)`` such that softmax(z_e + b_e) is the posterior under the training
            prior: zeros for plain cross-entropy, log(counts / counts.sum()) for balanced softmax.
            Without it strategies that reason about priors refuse, unless there is a hold-out.
        holdout_logits, holdout_labels: ``(H, C)`` or ``(H, E, C)`` and ``(H,)`` of training images
            that the model was not trained on; ``bbse``, ``rlls``, ``bcts-em`` and others need them.
        view_logits: ``(V, N, C)``, ``(N, V, C)`` or with experts ``(V, N, E, C)``, ``(N, V, E, C)``:
            V augmented views of each test image, an even number; ``stability`` needs them.
        protocol: whose table the row joins; ``labels`` must be its test labels in their order.
        strategies: ``"none,oracle"`` or a list; default: all that need no more than is given.
        seed: which training of the same model this is.
        title: what tables call the model; by default that of an earlier import, else ``name``.
        overrides: as for :func:`ltbench.load_protocol`; without ``protocol`` those of ``groups``
            and ``test``.

    Returns:
        ``folder`` (where the records lie), ``uniform`` (top-1 of each row on the uniform set, per
        cent) and ``notes`` (what deserves a second look, a line each). What is there already is not
        computed again.

    Raises:
        InputError: (a :class:`ValueError`) with one line for whatever is wrong, before anything is
            written.
    """
    from ltbench.imported.score import ImportRequest, score_outputs

    return score_outputs(
        ImportRequest(
            name=name,
            logits=_optional(logits),
            labels=_optional(labels),
            predictions=optional_path(predictions),
            counts=_optional(counts),
            bias=_optional(bias),
            classes=_optional(classes),
            holdout_logits=_optional(holdout_logits),
            holdout_labels=_optional(holdout_labels),
            view_logits=_optional(view_logits),
            strategies=None if strategies is None else joined(strategies),
            protocol=protocol,
            overrides=dotted(overrides),
            seed=seed,
            title=title,
            results=Path(results),
            data_dir=optional_path(data_dir),
            plugins=plugin_files(plugins),
        )
    )


def _optional(given: object) -> Source | None:
    if given is None:
        return None
    return Path(given) if isinstance(given, str | os.PathLike) else InMemory(given)
