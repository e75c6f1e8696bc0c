"""The decision at a mix from Python."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ltbench.python.arguments import AnyPath

if TYPE_CHECKING:
    import pandas as pd


def decide_mix(
    mix: AnyPath | Mapping[str, float],
    results: AnyPath = "results",
    *,
    protocol: str | None = None,
    name: str = "",
) -> pd.DataFrame:
    """All rows of stored results ranked at a mix of classes, as ``ltbench decide`` does.

    mix: a CSV file with lines ``class,count`` or ``class,share``, or a mapping,
    ``{"benign": 0.95, "malignant": 0.05}``; protocol: name or ``.toml`` file, needed where the results
    are of several; name: of the mix, by default that of the file, else ``mix``.

    Returns one row per row of the results and section: ``protocol, variant, mix, row, block`` (does not
    adapt, adapts, knows the prior), ``rank`` within the block, ``seeds, exact`` (True: from recalls;
    False: measured on drawn sets of this mix), ``accuracy, half_width`` (per cent, 95 %),
    ``interval_over`` (seeds or images), ``difference`` to the first row that does not adapt,
    ``difference_half_width, difference_over, told_apart`` (missing where not tested), ``macs_millions,
    training_seconds``, and the accuracy at the strongest ``forward`` set, at ``uniform`` and at the
    strongest ``backward`` set, named in ``forward_set`` and ``backward_set``.
    ``frame.attrs["evaluate"]``: the commands that measure rows that adapt. Raises :class:`ValueError`
    for a mix that cannot be read, an unknown class and results without a row that can be ranked.
    """
    import pandas as pd

    from ltbench.protocol.mix import mix_name, read_mix, read_mix_file
    from ltbench.report.decide import decide
    from ltbench.report.decide_shown import decision_values

    if isinstance(mix, Mapping):
        name = name or "mix"
        weights, source = read_mix(mix, name), ""
    else:
        name = name or mix_name(Path(mix), "mix")
        weights, source = read_mix_file(Path(mix), "mix"), str(mix)
    found = decide(Path(results), {name: weights}, protocol, {name: source})
    frame = pd.DataFrame([values for one in found for values in decision_values(one)])
    frame["told_apart"] = frame["told_apart"].astype("boolean")
    frame.attrs["evaluate"] = [command for one in found for command in one.commands]
    return frame
