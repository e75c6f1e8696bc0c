"""What a method's published figures were obtained with, and what of it differs from a protocol here."""

from __future__ import annotations

import dataclasses

import click
import torch

from ltbench.names import Call, Row
from ltbench.protocol.protocol import Protocol
from ltbench.registry import Registries
from ltbench.report.published.quoted import Quoted, all_quoted
from ltbench.report.published.recipe import LAST, augmentation, differences, width
from ltbench.resolve.rows import resolve_row

ENDS = (("forward50", "F50"), ("uniform", "U"), ("backward50", "B50"))


def show_published(call: Call, protocol: Protocol | None, registries: Registries) -> None:
    """Prints the published figures of ``call``'s method; with ``protocol`` what differs there."""
    quoted = [row for row in all_quoted() if row.method == call.name]
    if not quoted:
        if registries.methods.get(call.name).cls.reference is not None:
            click.echo("\npublished figures: none that could be read at its source")
        return
    here = None if protocol is None else _obtained_here(call, protocol, registries)
    compares = here is not None and protocol is not None and protocol.data.source == "cifar100"
    click.echo("\npublished figures, top-1 on CIFAR-100-LT:")
    for row in quoted:
        click.echo(f"  {row.label}: {_scores(row)} ({row.title})")
        click.echo(f"    obtained with {row.recipe}")
        click.echo(f"    source: {row.citation}; {row.url} ({row.note})")
        if compares and here is not None and protocol is not None:
            click.echo(f"    differs from {protocol.name}: {_differs(row, here, protocol)}")
    if protocol is not None and not compares:
        click.echo(f"{protocol.name} is another data set: its numbers do not compare with these")


def _obtained_here(call: Call, protocol: Protocol, registries: Registries) -> dict[str, object]:
    """The same four facts of a trial under ``protocol``, whose training another method may do."""
    counts = torch.ones(protocol.data.used_classes, dtype=torch.int64)
    method = resolve_row(Row(call, None), protocol, registries).build_method(counts)
    request = method.architecture()
    recipe = protocol.recipe_for(method.training_identity()[0])
    return {
        "epochs": recipe.epochs,
        "augmentation": augmentation(dataclasses.asdict(recipe)),
        "width": width(request.experts, request.reduced),
        "selection": LAST,
    }


def _differs(row: Quoted, here: dict[str, object], protocol: Protocol) -> str:
    there = {"imbalance": f"{row.imbalance:g}", **row.obtained}
    found = differences(there, {"imbalance": f"{protocol.train.imbalance:g}", **here})
    return "; ".join((*found, *row.differs)) or "nothing known"


def _scores(row: Quoted) -> str:
    told = ", ".join(f"{short} {row.scores[name]:g}" for name, short in ENDS if name in row.scores)
    return told if row.imbalance == 100 else f"{told} (imbalance {row.imbalance})"
