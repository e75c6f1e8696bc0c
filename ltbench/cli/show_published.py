"""What a method's published figures were obtained with, and what of it differs from a protocol here."""

from __future__ import annotations

import dataclasses

import click
import torch

from ltbench.names import Call, Row
from ltbench.protocol.protocol import Protocol
from ltbench.registry import Registries
from ltbench.report.published.quoted import CIFAR, Quoted, all_quoted
from ltbench.report.published.recipe import LAST, augmentation, differences, width
from ltbench.resolve.rows import resolve_row

ENDS = (
    *(("forward50", "F50"), ("forward3", "F3")),
    ("uniform", "U"),
    *(("backward3", "B3"), ("backward50", "B50")),
)


def show_published(call: Call, protocol: Protocol | None, registries: Registries) -> None:
    """Prints the published figures of ``call``'s method; with ``protocol`` what differs there."""
    quoted = [row for row in all_quoted() if row.method == call.name]
    if not quoted:
        if registries.methods.get(call.name).cls.reference is not None:
            click.echo("\npublished figures: none that could be read at its source")
        return
    here = None if protocol is None else _obtained_here(call, protocol, registries)
    comparable = [row for row in quoted if protocol is not None and _same_data(row, protocol)]
    shown = comparable or quoted
    for data in dict.fromkeys(row.data for row in shown):
        click.echo(f"\npublished figures, top-1 on {data}:")
        for row in (row for row in shown if row.data == data):
            click.echo(f"  {row.label}: {_scores(row)} ({row.title})")
            click.echo(f"    obtained with {row.recipe}")
            click.echo(f"    source: {row.citation}; {row.url} ({row.note})")
            if comparable and here is not None and protocol is not None:
                click.echo(f"    differs from {protocol.name}: {_differs(row, here, protocol)}")
    if protocol is not None and not comparable:
        click.echo(f"{protocol.name} is another data set: its numbers do not compare with these")


def _same_data(row: Quoted, protocol: Protocol) -> bool:
    """Whether a published figure is of the images of ``protocol``."""
    if row.data == CIFAR:
        return protocol.data.source == "cifar100"
    return protocol.name in (row.protocol, *row.other_protocols)


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
    drawn = {} if row.imbalance is None else {"imbalance": f"{row.imbalance:g}"}
    there = {**drawn, **row.obtained}
    found = differences(there, {"imbalance": f"{protocol.train.imbalance:g}", **here})
    return "; ".join((*found, *row.differs)) or "nothing known"


def _scores(row: Quoted) -> str:
    told = ", ".join(f"{short} {row.scores[name]:g}" for name, short in ENDS if name in row.scores)
    return told if row.imbalance in (None, 100) else f"{told} (imbalance {row.imbalance})"
