"""``python -m benchmarks.all_methods``: one line for each method of a run of all, to show that they work.

    ltbench run --methods all --protocol digits-lt --seeds 1 --results R
    python -m benchmarks.all_methods R --output results/published/all-methods

``make all-methods`` does both.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from benchmarks.flaws.finding import Finding
from ltbench import load_results
from ltbench.errors import InputError

SHOWN = (
    *("forward50", "forward20", "forward5", "uniform"),
    *("backward5", "backward20", "backward50"),
)
"""Columns, of those that every row has."""


def measure(results: Path, protocol: str, about: str = "") -> Finding:
    """Top-1 of each method with its own strategy, each trial of ``protocol`` in ``results`` alone.

    about: a sentence for the page, such as which encoder heads stand on.

    Raises :class:`InputError` where there is none, or more than one seed of a method.
    """
    frame = load_results(results)
    own = frame["label"] == frame["method"]  # a label without parameters or strategy
    chosen = frame[own & (frame["protocol"] == protocol) & (frame["variant"] == "")]
    rows = []
    for method, group in chosen.groupby("method"):
        if len(set(group["trial"])) > 1:
            raise InputError(f"{results} holds more than one trial of {method}; one seed is shown")
        top1 = {
            str(d): round(float(v), 4) for d, v in group.set_index("distribution")["top1"].items()
        }
        one = group.iloc[0]
        rows.append(
            {
                "method": str(method),
                "strategy": str(one["strategy"]),
                "seed": int(one["seed"]),
                "trial": str(one["trial"]),
                "top1": top1,
            }
        )
    if not rows:
        raise InputError(
            f"{results} has no method of {protocol}; `ltbench run --methods all --protocol "
            f"{protocol} --seeds 1 --results {results}` makes them"
        )
    return rendered({"protocol": protocol, **({"about": about} if about else {}), "rows": rows})


def rendered(data: Mapping[str, Any]) -> Finding:
    """The table of the numbers in ``data``."""
    protocol = data["protocol"]
    shown = [name for name in SHOWN if all(name in row["top1"] for row in data["rows"])]
    rows = []
    for row in sorted(data["rows"], key=lambda row: str(row["method"])):
        label = row["method"] + ("" if row["strategy"] == "none" else f" ({row['strategy']})")
        rows.append((label, *(f"{row['top1'][name]:.1f}" for name in shown)))
    seeds = ", ".join(map(str, sorted({row["seed"] for row in data["rows"]})))
    return Finding(
        name=str(protocol),
        title=f"Every method on {protocol}, seed {seeds}: this shows that they work, not which is best",
        columns=("method (strategy)", *shown),
        rows=tuple(rows),
        notes=(
            "Top-1, mean over the draws of a test set; each method with the strategy of its own paper. One "
            "training each, at settings that come from other data sets: one seed tells no ranking. In the "
            "order of the names.",
            *([data["about"]] if "about" in data else []),
        ),
        data=data,
    )


@click.command()
@click.argument("results", type=click.Path(path_type=Path))
@click.option("--protocol", default="digits-lt", show_default=True)
@click.option("--about", default="", help="A sentence for the page, such as which encoder it is.")
@click.option("--output", type=click.Path(path_type=Path), help="Folder for .md and .json.")
def main(results: Path, protocol: str, about: str, output: Path | None) -> None:
    """One line for each method in RESULTS."""
    try:
        finding = measure(results, protocol, about)
    except InputError as error:
        raise click.ClickException(str(error)) from None
    click.echo(finding.markdown())
    if output is not None:
        finding.write(output)


if __name__ == "__main__":
    main()
