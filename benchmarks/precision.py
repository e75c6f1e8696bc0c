"""Is bfloat16 harmless? Paired differences over seeds, from the records of two runs.

    ltbench run --methods ce,sade+none --protocol digits-lt --seeds 20 --results precision
    ltbench run --methods ce,sade+none --protocol digits-lt --seeds 20 --results precision --precision bf16
    python -m benchmarks.precision precision

For each row: bf16 minus float32 of the mean top-1 over the eleven-like distributions (forward,
uniform, backward), seed by seed, with the two-sided 90 % t interval. The default may become bfloat16
only where both intervals lie within one point of zero, and CIFAR agrees.
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np
from scipy import stats

from ltbench import load_results
from ltbench.files import write_json

BOUND = 1.0
LEVEL = 0.90


@click.command()
@click.argument("results", type=click.Path(path_type=Path, exists=True))
@click.option("--output", type=click.Path(path_type=Path), help="JSON of what is printed.")
def main(results: Path, output: Path | None) -> None:
    """Compares the precisions of the trials in RESULTS."""
    frame = load_results(results)
    shifted = frame["distribution"].str.match(r"forward|uniform|backward")
    none = frame["strategy"] == "none"
    keys = ["protocol", "variant", "method", "seed", "precision"]
    means = frame[shifted & none].groupby(keys)["top1"].mean().unstack("precision")
    if not {"bf16", "float32"} <= set(means.columns):
        raise click.ClickException(f"{results} needs trials in float32 and in bf16")
    record = []
    for (protocol, variant, method), group in means.groupby(level=[0, 1, 2]):
        paired = group.dropna()
        difference = (paired["bf16"] - paired["float32"]).to_numpy()
        n = len(difference)
        if n < 3:
            click.echo(f"{method} on {protocol}: {n} paired seeds are too few for an interval")
            continue
        half = stats.t.ppf(0.5 + LEVEL / 2, n - 1) * difference.std(ddof=1) / np.sqrt(n)
        low, high = difference.mean() - half, difference.mean() + half
        harmless = bool(low > -BOUND and high < BOUND)
        click.echo(
            f"{method} on {protocol} {variant}: bf16 - float32 = {difference.mean():+.2f} points, "
            f"90 % interval {low:+.2f} to {high:+.2f}, {n} paired seeds, spread of float32 over seeds "
            f"{paired['float32'].std(ddof=1):.2f}: {'within' if harmless else 'NOT within'} "
            f"+-{BOUND:g}"
        )
        record.append(
            {
                "protocol": protocol,
                "variant": variant,
                "row": f"{method}+none",
                "seeds": n,
                "mean_difference": float(difference.mean()),
                "interval_90": [float(low), float(high)],
                "sd_of_differences": float(difference.std(ddof=1)),
                "sd_of_float32_over_seeds": float(paired["float32"].std(ddof=1)),
                "within_one_point": harmless,
                "float32": [float(v) for v in paired["float32"]],
                "bf16": [float(v) for v in paired["bf16"]],
            }
        )
    if output is not None:
        write_json(output, {"measure": "mean top-1 over distributions, per cent", "rows": record})


if __name__ == "__main__":
    main()
