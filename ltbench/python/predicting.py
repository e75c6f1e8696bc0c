"""Predictions of single test images, from Python."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ltbench.python.arguments import AnyPath, Ensembles, Plugins
from ltbench.python.execution import make_request

if TYPE_CHECKING:
    import pandas as pd


def load_predictions(
    row: str,
    protocol: str,
    *,
    seed: int = 0,
    distribution: str | None = None,
    draw: int = 0,
    results: AnyPath = "results",
    data_dir: AnyPath | None = None,
    ensembles: Ensembles | None = None,
    plugins: Plugins = (),
    **overrides: Any,
) -> pd.DataFrame:
    """What ``row`` of a finished trial predicts for single test images, as ``ltbench predictions``.

    row: ``"sade"``, ``"sade+none"``, or the name of an imported model (its protocol is ``"imported"``
    unless it joined another one's table); distribution: the images of this test set and ``draw``; None:
    the whole test pool, or ``uniform`` for a row that adapts. Columns: ``file`` (``index`` where images
    are no files), ``label``, ``prediction``, and the softmax probability of each class under its name.
    Raises :class:`ValueError` where there is no such row, trial, test set or draw.
    """
    from ltbench.imported.predictions import Asked, predictions_frame

    request = make_request(
        *(row, protocol, [seed], results, data_dir, plugins, overrides, ensembles), train=False
    )
    return predictions_frame(Asked(row, request, seed, distribution, draw))
