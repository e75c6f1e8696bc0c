"""How much CIFAR-10's normalisation constants, used for CIFAR-100, change.

On CIFAR-100 they move each channel by delta and stretch it by rho:
(x - m10) / s10 = rho ((x - m100) / s100 - delta), rho = s100 / s10, delta = (m10 - m100) / s100.
The analogue on other data applies the same delta and rho to the data's own constants. ``data.mean``
and ``data.std`` are protocol keys and part of a trial's identity, so no switch is needed:

    python -m benchmarks.flaws constants digits-lt      prints the --set options
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.flaws.finding import Finding, signed
from benchmarks.flaws.paired import pair
from ltbench import load_protocol, load_results
from ltbench.data.dataset import channel_statistics
from ltbench.data.sources import open_data
from ltbench.errors import InputError
from ltbench.protocol.protocol import Protocol
from ltbench.task import build_task

PUBLISHED_MEAN = (0.4914, 0.4822, 0.4465)
PUBLISHED_STD = (0.2023, 0.1994, 0.2010)
"""Of CIFAR-10, as the loaders of LDAM-DRW, RIDE, SADE, LADE and BalPoE have them."""


def constants(name: str, data_dir: Path | None = None) -> tuple[list[float], list[float]]:
    """Mean and standard deviation by which ``name``'s images are as wrongly normalised as CIFAR-100
    is by CIFAR-10's."""
    protocol = load_protocol(name)
    mean, std = _own(protocol, data_dir)
    right = load_protocol("cifar100-lt").data
    assert right.mean is not None
    assert right.std is not None
    shifted = [
        m + (wrong - own) / spread * s
        for m, s, wrong, own, spread in zip(
            mean, std, PUBLISHED_MEAN, right.mean, right.std, strict=True
        )
    ]
    stretched = [s * a / b for s, a, b in zip(std, PUBLISHED_STD, right.std, strict=True)]
    return [round(v, 6) for v in shifted], [round(v, 6) for v in stretched]


def _own(protocol: Protocol, data_dir: Path | None) -> tuple[Sequence[float], Sequence[float]]:
    if protocol.data.mean is not None and protocol.data.std is not None:
        return protocol.data.mean, protocol.data.std
    task = build_task(protocol, open_data(protocol.data, data_dir, download=False))
    return channel_statistics(task.splits.train, task.train.indices)


def measure(results: Path, protocol: str, budget: str) -> Finding:
    """Wrong minus own constants, paired over seeds, of rows without adaptation.

    Raises :class:`InputError` where the trials with other constants are missing.
    """
    frame = load_results(results)
    frame = frame[
        (frame["protocol"] == protocol)
        & (frame["mode"] == "clean")
        & (frame["strategy"] == "none")
        & frame["kind"].isin(["forward", "uniform", "backward"])
    ]
    wrong = [v for v in frame["variant"].unique() if v.startswith("data.mean=")]
    if len(wrong) != 1:
        raise InputError(
            f"{results} needs trials of {protocol} with exactly one other data.mean and data.std, "
            f"not {len(wrong)}; `python -m benchmarks.flaws constants {protocol}` names them"
        )
    pairs = pair(frame, "variant", "", wrong[0])
    if not pairs:
        raise InputError(f"{results} has no seed with both its own and other constants")
    return Finding(
        name=f"normalisation-{protocol}",
        title=f"CIFAR-10's constants for CIFAR-100, analogue on {protocol}{budget}: top-1, points",
        columns=("row", "distribution", "n", "own", "other", "difference"),
        rows=tuple(
            (
                one.row,
                one.distribution,
                str(len(one.seeds)),
                f"{sum(one.first) / len(one.first):.2f}",
                f"{sum(one.second) / len(one.second):.2f}",
                signed(one.difference.mean, one.difference.half_width),
            )
            for one in pairs
        ),
        notes=(
            f"Other constants: {wrong[0]}. Mean over the draws, then over n seeds; ± is the half-width "
            "of the 95 % t interval over paired seeds. Trained and tested with the same constants.",
        ),
        data={"variant": wrong[0], "rows": [one.to_json() for one in pairs]},
    )
