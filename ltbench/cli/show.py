"""``ltbench show``: a method, strategy, protocol, source, backbone or encoder, resolved."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import click

from ltbench.cli.options import plugin_option, results_option

EPILOG = """\b
Examples:
  ltbench show sade --protocol cifar10-lt
  ltbench show 'sade[tau=1]' --protocol cifar100-lt
  ltbench show '3*ce'
  ltbench show stability
  ltbench show digits-lt
  ltbench show cifar100
  ltbench show resnext50_32x4d --protocol imagenet-lt
  ltbench show sade --bibtex
"""


@click.command(name="show", epilog=EPILOG)
@click.argument("name")
@click.option("--protocol", metavar="NAME|FILE.toml", help="Resolve settings under this protocol.")
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="Override of the protocol.")
@results_option
@click.option("--bibtex", is_flag=True, help="Print the BibTeX entry of NAME and nothing else.")
@plugin_option
def command(
    name: str,
    protocol: str | None,
    sets: tuple[str, ...],
    results: Path,
    bibtex: bool,
    plugins: tuple[str, ...],
) -> None:
    """Print every resolved value of NAME, and where it departs from the published settings."""
    from ltbench.errors import InputError, nearest
    from ltbench.names import parse_row
    from ltbench.protocol.file import load_protocol_config
    from ltbench.protocol.registry import find_protocols
    from ltbench.registry import load_registries

    registries = load_registries(plugins)
    if bibtex:
        from ltbench.cli.show_method import show_bibtex

        show_bibtex(parse_row(name).method.name, registries)
        return
    call = parse_row(name).method if not name.endswith(".toml") else None
    under = load_protocol_config(protocol, sets, plugins=plugins) if protocol else None
    if call is not None and call.name in registries.methods.plugins:
        from ltbench.cli.show_bias import show_bias
        from ltbench.cli.show_method import show_method

        show_method(parse_row(name), under, registries)
        show_bias(call, under, registries, results)
    elif call is not None and under is not None and call.name in under.ensembles:
        from ltbench.cli.show_ensemble import show_mixture

        show_mixture(parse_row(name), under, registries)
    elif call is not None and call.name in registries.strategies.plugins:
        from ltbench.cli.show_method import show_strategy

        show_strategy(call, under, registries)
    elif name.endswith(".toml") or name in find_protocols(plugins).files:
        _show_protocol(load_protocol_config(name, sets, plugins=plugins))
    elif call is not None and call.name in registries.sources.plugins:
        from ltbench.cli.show_method import show_source

        show_source(call.name, registries)
    elif call is not None and call.name in registries.backbones.plugins:
        from ltbench.cli.show_backbone import show_backbone

        show_backbone(call.name, under, registries)
    elif call is not None and call.name.partition(":")[0] in registries.encoders.plugins:
        from ltbench.cli.show_method import show_encoder

        show_encoder(call.name.partition(":")[0], registries)
    else:
        kinds: tuple[Any, ...] = (
            *(registries.methods, registries.strategies, registries.sources),
            *(registries.backbones, registries.encoders),
        )
        for registry in kinds:
            if call is not None and (call.name in registry.broken or call.name in registry.clashes):
                registry.get(call.name)
        known = [*(each for kind in kinds for each in kind.plugins), *find_protocols(plugins).files]
        raise InputError(
            "no method, strategy, protocol, source, backbone or encoder is called "
            f"{name!r}{nearest(name, known)}"
        )


def _show_protocol(protocol: Any) -> None:
    click.echo(f"{protocol.name} {protocol.version_of_code}: {protocol.title}")
    click.echo(f"from {protocol.origin}")
    if protocol.variant:
        click.echo(f"variant: {protocol.variant}")
    click.echo(f"seeds: {', '.join(map(str, protocol.seeds))}")
    if protocol.not_inherited:
        click.echo(
            f"not taken over from {protocol.images_unlike}, whose images are others: "
            f"{', '.join(protocol.not_inherited)}"
        )
    for section in ("data", "train", "groups", "test", "model", "recipe", "views"):
        click.echo(f"\n[{section}]")
        value = getattr(protocol, section)
        _show_fields(value)
    for name, overrides in protocol.methods.items():
        click.echo(f"\n[methods.{name}]")
        for key, value in overrides.hyper.items():
            click.echo(f"{key} = {_plain(value)}")
        for key, value in overrides.recipe.items():
            click.echo(f"recipe.{key} = {_plain(value)}")
    for name, settings in protocol.strategies.items():
        click.echo(f"\n[strategies.{name}]")
        for key, value in settings.items():
            click.echo(f"{key} = {_plain(value)}")
    if protocol.ensembles:
        click.echo("\n[ensembles]")
        for name, members in protocol.ensembles.items():
            click.echo(f"{name} = {_plain(members)}")
    for part in protocol.study:
        click.echo(f"\n[study: {part.name}]")
        _show_fields(part)
    _show_counts(protocol)


def _show_fields(value: Any, prefix: str = "") -> None:
    for field in dataclasses.fields(value):
        inner = getattr(value, field.name)
        if dataclasses.is_dataclass(inner):
            _show_fields(inner, f"{prefix}{field.name}.")
        else:
            click.echo(f"{prefix}{field.name} = {_plain(inner)}")


def _show_counts(protocol: Any) -> None:
    """Sizes of the training and test sets, where they are known without the images."""
    import numpy as np

    from ltbench.shift.groups import class_groups
    from ltbench.shift.profiles import training_rank
    from ltbench.shift.testsets import build_test_sets
    from ltbench.shift.trainset import planned_counts

    train, test = protocol.train, protocol.test
    numbered = {k: v for k, v in test.subsets.items() if all(isinstance(c, int) for c in v)}
    test = dataclasses.replace(test, subsets=numbered, mixes={})  # names are met with the images
    if train.max_count is None and train.profile != "counts":
        return
    classes = protocol.data.used_classes
    counts = planned_counts(train, np.full(classes, train.max_count or 1, dtype=np.int64))
    groups = class_groups(counts, protocol.groups)
    sizes = ", ".join(f"{len(members)} {group}" for group, members in groups.items())
    click.echo(f"\ntraining set: {counts.sum()} images, {counts.max()} to {counts.min()} a class")
    click.echo(f"classes: {sizes}")
    if test.max_count is not None:
        available = np.full(classes, test.max_count, dtype=np.int64)
        for test_set in build_test_sets(test, available, training_rank(counts), groups):
            click.echo(f"test set {test_set.name}: {test_set.counts.sum()} images")


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_plain(item)}" for key, item in value.items()) + "}"
    if isinstance(value, tuple):
        return "[" + ", ".join(map(_plain, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_plain(item)}" for key, item in value.items()) + "}"
    return f"{value:g}" if isinstance(value, float) and abs(value) >= 1e-4 else str(value)
