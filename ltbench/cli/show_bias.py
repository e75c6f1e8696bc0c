"""How the prior that a method's logits carry is known, and the estimates in records."""

from __future__ import annotations

from pathlib import Path

import click

from ltbench.names import Call
from ltbench.protocol.protocol import MethodOverrides, Protocol
from ltbench.registry import Registries


def show_bias(call: Call, protocol: Protocol | None, registries: Registries, results: Path) -> None:
    """Under a protocol also every estimate of it in ``results``, with its standard error."""
    import torch

    from ltbench.method import overrides

    cls = registries.methods.get(call.name).cls
    base = protocol.methods.get(call.name, MethodOverrides()).hyper if protocol else {}
    hyper = cls.hyper_type.from_mapping({**base, **call.params}, call.name)
    method = cls(torch.tensor([2, 1]), hyper)
    if overrides(method, "posterior"):
        click.echo(
            "\nprior in the logits: no bias, but its posterior is known in closed form, so that "
            "`oracle` and the like are exact"
        )
        return
    if method.bias() is not None:
        click.echo("\nprior in the logits: known in closed form, `oracle` and the like are exact")
        return
    click.echo(
        "\nprior in the logits: no closed form; with `--set train.holdout=0.1` it is fitted on "
        "held-out training images, an estimate"
    )
    if method.reference_bias() is not None:
        click.echo(
            "without a hold-out: the method's reference as it stands, unreliable, not used for regret"
        )
    if protocol is not None and results.is_dir():
        _show_estimates(call.name, protocol, results)


def _show_estimates(method: str, protocol: Protocol, results: Path) -> None:
    from ltbench.report.records.bias import BiasEstimate
    from ltbench.report.records.read import read_records
    from ltbench.report.rows.bias_notes import describe_estimates

    found: dict[str, dict[int, BiasEstimate]] = {}
    for e in read_records(results).evaluations:
        same = (e.protocol.name, e.protocol.variant) == (protocol.name, protocol.variant)
        if e.method == method and same and e.bias is not None and e.bias.kind == "fitted":
            found.setdefault(e.label, {})[e.seed] = e.bias
    for label, estimates in sorted(found.items()):
        click.echo(f"{label} in {results}: {describe_estimates(estimates)}")
