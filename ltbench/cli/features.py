"""``ltbench features``: a folder of frozen features of a protocol's images, extracted or imported."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ltbench.cli.options import plugin_option, results_option

if TYPE_CHECKING:
    from ltbench.cli.data_progress import DataProgress
    from ltbench.encoders.extract import Extracted
    from ltbench.encoders.load import Chosen
    from ltbench.features.header import Header

EPILOG = """\b
Examples:
  ltbench features --protocol cifar100-lt --encoder torchvision:resnet50 --weights resnet50.pth
    -o features/c100
  ltbench features --protocol imagenet-lt --encoder open_clip:ViT-B-16/laion2b_s34b_b88k --revision COMMIT
    --output pre-projection --views 1 --augmented 2 --prompt 'a photo of a {}.' -o features/in-lt-clip
  ltbench features --protocol cifar100-lt --trial results/cifar100-lt/ce/0-4b878121d26d -o features/own
  ltbench features --import train.npz test.npz --classes classes.json -o features/theirs
  ltbench features --check features/c100
"""
_PATH = click.Path(path_type=Path)


@click.command(name="features", epilog=EPILOG)
@click.option("--protocol", metavar="NAME|FILE.toml", help="Whose images are encoded.")
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="Override of the protocol.")
@click.option("--data-dir", type=_PATH, help="Your folder of images; it is only read.")
@click.option(
    "--encoder", metavar="NAME", help="See `ltbench list encoders`; of an import: its name."
)
@click.option(
    "--trial", type=_PATH, metavar="FOLDER", help="The network of a trial as the encoder."
)
@click.option("--weights", type=_PATH, metavar="FILE", help="A local .safetensors or .pth file.")
@click.option("--revision", default="", metavar="R", help="Commit of the encoder's hub repository.")
@click.option("--output", default="", metavar="POINT", help="Where in the network; `ltbench show`.")
@click.option("--views", type=click.IntRange(0), default=0, help="Pairs of views of test images.")
@click.option("--augmented", type=click.IntRange(0), default=0, help="Augmented training copies.")
@click.option("--prompt", default="", metavar="TEXT", help="With {}: features of class names, too.")
@click.option("--resize", type=click.IntRange(0), metavar="N", help="Pixels; 0: none.")
@click.option("--crop", type=click.IntRange(0), metavar="N", help="Pixels of the middle; 0: all.")
@click.option("--interpolation", type=click.Choice(["nearest", "bilinear", "bicubic"]))
@click.option("--antialias/--no-antialias", default=None, help="Of the resize.")
@click.option("--device", default="auto", show_default=True, metavar="auto|cpu|cuda|mps")
@click.option("--batch-size", type=click.IntRange(1), metavar="N", help="Images encoded together.")
@click.option("--import", "imported", type=_PATH, nargs=2, metavar="TRAIN TEST", help="Two files.")
@click.option("--classes", type=_PATH, metavar="FILE.json", help="Of an import: names by label.")
@click.option("--check", "checked", type=_PATH, metavar="FOLDER", help="Verify a folder's digests.")
@click.option("-o", "folder", type=_PATH, metavar="FOLDER", help="Where the features go.")
@results_option
@click.option("--quiet", is_flag=True, help="Tell failures only.")
@plugin_option
def command(
    protocol: str | None,
    sets: tuple[str, ...],
    encoder: str | None,
    trial: Path | None,
    imported: tuple[Path, Path] | None,
    classes: Path | None,
    checked: Path | None,
    folder: Path | None,
    quiet: bool,
    **settings: Any,
) -> None:
    """Run a frozen encoder over all images of a protocol's source and store what it gives.

    The whole pool is encoded, so that one folder serves every imbalance, split and hold-out. Interrupted,
    the same command goes on where it was.
    """
    from ltbench.errors import InputError

    ways = {"--trial": trial, "--import": imported, "--check": checked}
    given = [name for name, value in ways.items() if value is not None]
    if encoder is not None and imported is None:
        given.append("--encoder")
    if len(given) != 1:
        told = f"{' and '.join(given)} exclude each other" if given else "nothing to do"
        raise InputError(f"{told}; give one of --encoder, --trial, --import and --check")
    if checked is not None:
        _check(checked, quiet)
        return
    if folder is None:
        raise InputError("-o FOLDER says where the features go")
    if imported is not None:
        _import(imported, classes, encoder, settings["output"], protocol, folder, quiet)
        return
    if protocol is None:
        raise InputError(f"{given[0]} needs --protocol, whose images are encoded")
    _extract(protocol, sets, encoder, trial, folder, quiet, settings)


def _extract(
    protocol: str,
    sets: tuple[str, ...],
    encoder: str | None,
    trial: Path | None,
    folder: Path,
    quiet: bool,
    settings: dict[str, Any],
) -> None:
    from dataclasses import replace

    from ltbench.data.sources import open_data
    from ltbench.encoders.encode import Encode
    from ltbench.encoders.extract import Wanted, extract
    from ltbench.encoders.load import with_preprocessing
    from ltbench.protocol.file import load_protocol_config
    from ltbench.trial.environment import resolve_device

    loaded = load_protocol_config(protocol, sets, plugins=settings["plugins"])
    device = resolve_device(settings["device"])
    chosen = _chosen(encoder, trial, settings)
    keys = ("resize", "crop", "interpolation", "antialias")
    changes = {key: settings[key] for key in keys if settings[key] is not None}
    encode = Encode(with_preprocessing(chosen, changes), device, settings["batch_size"])
    wanted = Wanted(settings["views"], settings["augmented"], settings["prompt"])
    with _progress(quiet) as report:
        config = replace(loaded.data, subset=type(loaded.data.subset)())  # the whole pool
        splits = open_data(config, settings["data_dir"], report=report, plugins=settings["plugins"])
        done = extract(loaded, splits, encode, wanted, folder, report)
    if not quiet:
        _tell(done, folder)
        if wanted.pairs < loaded.views.pairs:
            click.echo(
                f"note: {wanted.pairs} pairs of views; strategies that need views want the protocol's "
                f"{loaded.views.pairs} (--views {loaded.views.pairs}, or views.pairs of the frozen protocol)"
            )


def _chosen(encoder: str | None, trial: Path | None, settings: dict[str, Any]) -> Chosen:
    from ltbench.encoders.load import load_encoder
    from ltbench.encoders.trial import trial_encoder
    from ltbench.errors import InputError

    if trial is None:
        assert encoder is not None
        keys = ("weights", "revision", "output", "plugins")
        return load_encoder(encoder, **{key: settings[key] for key in keys})
    for name in ("weights", "revision", "output", "prompt", "resize", "crop", "interpolation"):
        if settings[name]:
            raise InputError(
                f"--trial has weights and preprocessing of its own; leave --{name} out"
            )
    return trial_encoder(trial, settings["results"], settings["plugins"])


def _import(
    files: tuple[Path, Path],
    classes: Path | None,
    encoder: str | None,
    output: str,
    source: str | None,
    folder: Path,
    quiet: bool,
) -> None:
    from ltbench.encoders.imports import Stated, import_features, read_classes
    from ltbench.errors import InputError

    if classes is None:
        raise InputError("--import needs --classes FILE.json, the names of the classes by label")
    stated = Stated(encoder or "imported", output, source or "imported")
    header = import_features(*files, read_classes(classes), stated, folder)
    if not quiet:
        _summarise(header, folder)


def _check(folder: Path, quiet: bool) -> None:
    from ltbench.features.folder import FeatureFolder

    there = FeatureFolder(folder)
    with _progress(quiet) as report:
        there.verify(report)
    if not quiet:
        _summarise(there.header, folder)
        click.echo("every digest is as the header says")


def _tell(done: Extracted, folder: Path) -> None:
    if done.whole:
        click.echo(f"{folder} was complete; every digest is as the header says")
    for part, (images, seconds) in done.by_part.items():
        rate = f", {images / seconds:,.0f} images a second" if images and seconds else ""
        click.echo(f"{part}: {images:,} images encoded in {seconds:.1f} s{rate}")
    if done.kept:
        click.echo(f"{done.kept:,} images were encoded before; their pieces were checked and kept")
    if done.damaged:
        click.echo(f"{done.damaged} damaged pieces were made again")
    _summarise(done.header, folder)


def _summarise(header: Header, folder: Path) -> None:
    size = sum(header.bytes.values()) / 1e6
    experts = f"{header.experts} experts, " if header.experts > 1 else ""
    encoder = header.encoder
    click.echo(
        f"{folder}: {experts}{header.dim} numbers an image of {encoder.name}"
        f"{f' ({encoder.output})' if encoder.output else ''}, {len(header.class_names)} classes, "
        f"{header.augmented} augmented copies, {header.pairs} pairs of views, {size:,.1f} MB"
    )
    if encoder.weights:
        click.echo(f"  weights {encoder.weights}")


def _progress(quiet: bool) -> DataProgress:
    """On stderr, so that the summary on stdout stays clean."""
    from rich.console import Console

    from ltbench.cli.data_progress import DataProgress

    return DataProgress(Console(stderr=True), quiet=quiet)
