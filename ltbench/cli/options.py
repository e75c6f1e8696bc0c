"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


class NumberOrAuto(click.ParamType):  # type: ignore[type-arg]  # generic in newer versions alone
    """A whole number, or the word ``auto``."""

    name = "N|auto"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | str:
        if value == "auto":
            return "auto"
        try:
            return int(value)
        except ValueError:
            self.fail(f"{value!r} is neither a whole number nor auto", param, ctx)


def results_option(function: F) -> F:
    return click.option(
        "--results",
        type=click.Path(path_type=Path, file_okay=False),
        default=Path("results"),
        show_default=True,
        help="Folder of results.",
    )(function)


def plugin_option(function: F) -> F:
    return click.option(
        "--plugin",
        "plugins",
        multiple=True,
        metavar="FILE",
        help="A .py file with methods, strategies or data sources, or a protocol .toml; may be repeated.",
    )(function)


def protocol_options(function: F, *, required: bool = True) -> F:
    """--protocol and what overrides it; see :func:`overrides`."""
    for option in reversed(
        (
            click.option(
                "--protocol", required=required, metavar="NAME|FILE.toml", help="Which protocol."
            ),
            click.option("--imbalance", metavar="R", help="Imbalance ratio of the training set."),
            click.option("--test-ratios", metavar="R,R", help="Imbalance ratios of the test sets."),
            click.option(
                "--set",
                "sets",
                multiple=True,
                metavar="KEY=VALUE",
                help="Override of the protocol, e.g. recipe.epochs=40; may be repeated.",
            ),
        )
    ):
        function = option(function)
    return function


def ensemble_options(function: F) -> F:
    """Rows that are several networks."""
    named = click.option(
        "--ensemble",
        "ensembles",
        multiple=True,
        metavar="NAME=LIST",
        help="A row of several networks, e.g. plain=ce,ce,balanced-softmax, or of several imports; "
        "may be repeated.",
    )
    mixed = click.option(
        "--mixed-recipe",
        is_flag=True,
        help="Let an ensemble have members that were trained by different recipes.",
    )
    return named(mixed(function))


def mix_option(function: F) -> F:
    return click.option(
        "--mix",
        "mixes",
        multiple=True,
        type=click.Path(path_type=Path),
        metavar="FILE.csv",
        help="Also test at this mix of classes: lines class,count or class,share; may be repeated.",
    )(function)


def run_options(function: F) -> F:
    """How and where trials run and are evaluated."""
    mode = click.option(
        "--mode",
        type=click.Choice(["clean", "augmented"]),
        default="clean",
        show_default=True,
        help="'augmented' reproduces a flaw of published code: shifted test images augmented.",
    )
    arrival = click.option(
        "--arrival",
        "arrivals",
        multiple=True,
        metavar="batch:N|single",
        help="Also meet every test set as a stream, in a random and in a drifting order.",
    )
    return training_options(ensemble_options(mix_option(mode(arrival(function)))))


def _engine_settings(
    context: click.Context, parameter: click.Parameter, texts: tuple[str, ...]
) -> dict[str, str]:
    from ltbench.protocol.overrides import parse_overrides

    return parse_overrides(texts, "--engine-set", "partition=gpu")


def training_options(function: F) -> F:
    """How and where trials run."""
    for option in reversed(
        (
            click.option("--seeds", metavar="N|LIST", help="5 (seeds 0 to 4), 0,3 or 2-4."),
            click.option(
                "--data-dir",
                type=click.Path(path_type=Path),
                help="Folder that holds the images; only read, never downloaded into.",
            ),
            click.option(
                "--device",
                default="auto",
                show_default=True,
                metavar="auto|cpu|cuda|mps",
                help="Where to train; auto: cuda, else mps, else cpu.",
            ),
            click.option(
                "--precision",
                type=click.Choice(["default", "float32", "tf32", "bf16", "float32-ieee"]),
                default="default",
                show_default=True,
                help="Of training; logits are float32 always. default: float32, on a GPU with TF32 in "
                "convolutions as PyTorch has it; float32: never TF32 (on a GPU a trial of its own, "
                "stored as float32-ieee); tf32: default, where that has it.",
            ),
            click.option(
                "--jobs", type=int, help="Trials side by side; default: as many as pay off."
            ),
            click.option(
                "--jobs-per-gpu",
                type=NumberOrAuto(),
                metavar="N|auto",
                help="Trials side by side on each GPU, as processes; one small network leaves most of it "
                "idle. auto: up to five, as threads of one process (not yet measured on a GPU).",
            ),
            click.option(
                "--loaders",
                type=int,
                help="Processes beside each trial that open images of lists (recorded, not hashed); "
                "default: none on a CPU, else a core each.",
            ),
            click.option(
                "--processes",
                type=int,
                default=1,
                metavar="N",
                help="Processes that train each trial together, each on a GPU of its own; the result is "
                "that of one (recorded, not hashed).",
            ),
            click.option(
                "--accumulate",
                type=int,
                default=1,
                metavar="K",
                help="Parts in which each batch is worked off, to save memory; the result is that of one "
                "(recorded, not hashed).",
            ),
            click.option(
                "--timeout",
                default="",
                metavar="90m",
                help="Longest time of each trial, with its unit, s, m, h or d: one that takes longer is "
                "ended, with all its processes, and the others go on; default: none.",
            ),
            click.option(
                "--speed",
                default="auto",
                show_default=True,
                metavar="auto|plain|WORD+WORD",
                help="How training is made faster, with rounding as the only difference (recorded, not "
                "hashed). auto: what was measured to pay on the device, CUDA graphs on a GPU. plain: "
                "nothing. Words: graph, grouped (experts in one pass), compile, augment (compiled).",
            ),
            click.option(
                "--engine",
                default="local",
                show_default=True,
                metavar="local|slurm|ray[=ADDRESS]|NAME",
                help="Where trials run: on this machine or on a cluster; see docs/clusters.md.",
            ),
            click.option(
                "--engine-set",
                "engine_settings",
                multiple=True,
                metavar="KEY=VALUE",
                callback=_engine_settings,
                help="Setting of the engine, e.g. partition=gpu; may be repeated.",
            ),
            click.option(
                "--detach",
                is_flag=True,
                help="Submit and leave; the same command without it collects.",
            ),
            click.option(
                "--track",
                multiple=True,
                metavar="tensorboard|wandb|mlflow|NAME",
                help="Also tell a tracker how trials go; may be repeated.",
            ),
            click.option("--quiet", is_flag=True, help="Tell failures only."),
        )
    ):
        function = option(function)
    return function


def overrides(
    sets: tuple[str, ...],
    imbalance: str | None,
    test_ratios: str | None,
    ensembles: tuple[str, ...] = (),
    mixes: tuple[Path, ...] = (),
) -> dict[str, str]:
    """The overrides of --set, --imbalance, --test-ratios, --ensemble and --mix in one mapping; each
    key once."""
    from ltbench.errors import InputError
    from ltbench.protocol.mix import mix_name
    from ltbench.protocol.overrides import parse_overrides

    values = parse_overrides(sets)
    for option, key, value in (
        ("--imbalance", "train.imbalance", imbalance),
        ("--test-ratios", "test.ratios", test_ratios),
    ):
        if value is not None:
            if key in values:
                raise InputError(f"{option} and --set {key}={values[key]} say the same; give one")
            values[key] = value
    for text in ensembles:
        name, equals, members = text.partition("=")
        if not equals or not name.strip() or not members.strip():
            raise InputError(f"--ensemble {text!r} must look like NAME=ce,ce,balanced-softmax")
        if "." in name:
            raise InputError(f"--ensemble {text!r}: no '.' may stand in the name")
        key = f"ensembles.{name.strip()}"
        if key in values:
            raise InputError(f"--ensemble {name.strip()} is given twice; give one")
        values[key] = members.strip()
    for path in mixes:
        name = mix_name(path)
        key = f"test.mixes.{name}"
        if key in values:
            raise InputError(f"--mix {path}: a mix called {name!r} is given twice; give one")
        values[key] = str(path.expanduser().absolute())
    return values
