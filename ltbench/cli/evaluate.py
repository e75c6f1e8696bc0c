"""``ltbench evaluate``: more rows or test sets on finished trials, or on a user's own logits."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import click

from ltbench.cli.options import plugin_option, protocol_options, results_option, run_options
from ltbench.cli.run import execute_command

EPILOG = """\b
Examples:
  ltbench evaluate --methods sade+none,ce+oracle --protocol digits-lt
  ltbench evaluate --methods sade --protocol digits-lt --test-ratios 2,3,30
  ltbench evaluate --methods sade --protocol digits-lt --mix clinic.csv
  ltbench evaluate --methods all+em --protocol digits-lt
  ltbench evaluate --methods ce --protocol cifar100-lt --mode augmented
  ltbench evaluate --methods sade --protocol digits-lt --arrival batch:64
  ltbench evaluate --methods plain+tilt --ensemble plain=ce,ce,sade --protocol digits-lt
  ltbench evaluate --methods both --ensemble both=mine,theirs --protocol imported
  ltbench evaluate --logits z.npy --labels y.npy --counts n.csv --name mine
  ltbench evaluate --logits z.pt --labels y.txt --counts n.csv --name mine --title "Ours"
  ltbench evaluate --logits z.npy --labels y.npy --name mine --protocol cifar100-lt --bias b.npy
  ltbench evaluate --predictions p.csv --name mine --protocol cifar100-lt
  ltbench evaluate --logits z.npy --labels names.txt --classes classes.txt --counts n.csv --name mine
  ltbench evaluate --logits z.npy --labels y.npy --counts n.csv --name mine --holdout-logits h.npy \
      --holdout-labels hy.npy
"""

_FILE = click.Path(path_type=Path)
_TRAINED = ("methods", "seeds", "jobs", "loaders")


@click.command(name="evaluate", epilog=EPILOG)
@click.option(
    "--methods",
    metavar="LIST",
    help="Rows by commas: ce,'sade[tau=1]+none'; of finished trials. all: of every method.",
)
@click.option("--logits", type=_FILE, help="Your own model's test logits, (N, C) or (N, E, C).")
@click.option("--labels", type=_FILE, help="With --logits: test labels (N,), numbers or names.")
@click.option(
    "--predictions",
    type=_FILE,
    help="Instead of both a .csv or .parquet: index or file, label, one column a class.",
)
@click.option(
    "--classes",
    type=_FILE,
    help="With --logits: names of your model's classes in its own order, one a line or JSON.",
)
@click.option("--counts", type=_FILE, help="With --logits: training images per class (C,).")
@click.option(
    "--bias", type=_FILE, help="With --logits: softmax(z + bias) is the training posterior."
)
@click.option(
    "--holdout-logits",
    type=_FILE,
    help="With --logits: those of training images that were held out, (H, C) or (H, E, C).",
)
@click.option("--holdout-labels", type=_FILE, help="With --holdout-logits: their labels (H,).")
@click.option(
    "--view-logits",
    type=_FILE,
    help="With --logits: those of V views of each test image, (V, N, C) or (V, N, E, C).",
)
@click.option("--name", metavar="NAME", help="With --logits: the name of your model.")
@click.option(
    "--title", metavar="TEXT", help="With --logits: what tables call it; default: its name."
)
@click.option(
    "--seed", type=int, default=0, show_default=True, help="With --logits: your training's seed."
)
@click.option(
    "--strategies",
    metavar="LIST",
    help="With --logits: by commas; default: all that need no more than you give.",
)
@partial(protocol_options, required=False)
@run_options
@results_option
@plugin_option
def command(
    logits: Path | None,
    labels: Path | None,
    predictions: Path | None,
    classes: Path | None,
    counts: Path | None,
    bias: Path | None,
    holdout_logits: Path | None,
    holdout_labels: Path | None,
    view_logits: Path | None,
    name: str | None,
    title: str | None,
    seed: int,
    strategies: str | None,
    **arguments: Any,
) -> int:
    """Add strategies or test distributions to finished trials, or score a model's own logits.

    Nothing is trained. With --logits, files are .safetensors, .npy, .npz, .pt, .pth, .csv or .txt;
    with --protocol the labels must be that protocol's test labels in order and the row joins its
    table, marked as imported; without it the protocol is called `imported`.
    """
    given = {
        "labels": labels,
        "counts": counts,
        "bias": bias,
        "classes": classes,
        "holdout_logits": holdout_logits,
        "holdout_labels": holdout_labels,
        "view_logits": view_logits,
        "name": name,
        "title": title,
        "strategies": strategies,
    }
    if logits is not None or predictions is not None:
        return _score(arguments, logits=logits, predictions=predictions, seed=seed, **given)
    for option, value in given.items():
        if value is not None:
            raise click.UsageError(
                f"--{option.replace('_', '-')} belongs to --logits FILE, which is missing"
            )
    for option in ("methods", "protocol"):
        if arguments[option] is None:
            raise click.UsageError(f"Missing option '--{option}' (or --logits FILE).")
    return execute_command(train=False, dry_run=False, **arguments)


def _score(arguments: dict[str, Any], **given: Any) -> int:
    from ltbench.cli.options import overrides
    from ltbench.imported.score import ImportRequest, score_outputs

    for option in _TRAINED:
        if arguments[option] is not None:
            raise click.UsageError(f"--{option} is for trials of ltbench, not for --logits")
    if arguments["mode"] != "clean" or arguments["precision"] != "default":
        raise click.UsageError("--mode and --precision are for trials of ltbench, not for --logits")
    if arguments["engine"] != "local" or arguments["engine_settings"] or arguments["detach"]:
        raise click.UsageError("--engine and --detach are for trials of ltbench, not for --logits")
    if arguments["timeout"]:
        raise click.UsageError("--timeout is for trials of ltbench, not for --logits")
    if arguments["track"]:
        raise click.UsageError("--track is for trials of ltbench, not for --logits")
    if arguments["ensembles"] or arguments["mixed_recipe"]:
        raise click.UsageError(
            "--ensemble and --mixed-recipe are not for --logits; import each model, then `ltbench "
            "evaluate --methods both --ensemble both=mine,theirs` scores them together"
        )
    if given["predictions"] is None and given["labels"] is None:
        raise click.UsageError("--logits needs --labels too")
    if given["name"] is None:
        which = "logits" if given["predictions"] is None else "predictions"
        raise click.UsageError(f"--{which} needs --name too")
    request = ImportRequest(
        **given,
        protocol=arguments["protocol"],
        overrides=overrides(
            arguments["sets"],
            arguments["imbalance"],
            arguments["test_ratios"],
            mixes=arguments["mixes"],
        ),
        results=arguments["results"],
        data_dir=arguments["data_dir"],
        plugins=arguments["plugins"],
    )

    def told(label: str, top1: float) -> None:
        if not arguments["quiet"]:
            click.echo(f"{label}: uniform top-1 {top1:.1f}")

    done = score_outputs(request, told)
    for note in done.notes:
        click.echo(f"note: {note}", err=True)
    if not arguments["quiet"]:
        click.echo(f"records: {done.folder}; `ltbench report` shows them, marked as imported")
    return 0
