"""How the prior that a method's logits carry is known, and what records say of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ltbench.names import Call
from ltbench.protocol.protocol import MethodOverrides, Protocol
from ltbench.registry import Registries

if TYPE_CHECKING:
    from ltbench.report.records.schema import Evaluation, Trial


def show_bias(call: Call, protocol: Protocol | None, registries: Registries, results: Path) -> None:
    """Under a protocol also what ``results`` hold: estimates of it with their standard errors, and what
    the logits of trained networks were measured to carry."""
    known = _show_kind(call, protocol, registries)
    if protocol is not None and results.is_dir():
        (_show_carried if known else _show_estimates)(call.name, protocol, results)


def _show_kind(call: Call, protocol: Protocol | None, registries: Registries) -> bool:
    """Whether it is known in closed form."""
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
        return True
    if method.bias() is not None:
        click.echo("\nprior in the logits: known in closed form, `oracle` and the like are exact")
        return True
    click.echo(
        "\nprior in the logits: no closed form; with `--set train.holdout=0.1` it is fitted on "
        "held-out training images, an estimate"
    )
    if method.reference_bias() is not None:
        click.echo(
            "without a hold-out: the method's reference as it stands, unreliable, not used for regret"
        )
    return False


def _show_estimates(method: str, protocol: Protocol, results: Path) -> None:
    from ltbench.report.records.bias import BiasEstimate
    from ltbench.report.rows.bias_notes import describe_estimates

    found: dict[str, dict[int, BiasEstimate]] = {}
    for e in _evaluations(method, protocol, results):
        if e.bias is not None and e.bias.kind == "fitted":
            found.setdefault(e.label, {})[e.seed] = e.bias
    for label, estimates in sorted(found.items()):
        click.echo(f"{label} in {results}: {describe_estimates(estimates)}")


def _show_carried(method: str, protocol: Protocol, results: Path) -> None:
    from ltbench.report.rows.carried_notes import carried_by, describe_carried

    trials: dict[str, dict[str, Trial]] = {}
    for e in _evaluations(method, protocol, results):
        trials.setdefault(e.label, {})[e.trial.trial] = e.trial
    shown: list[set[str]] = []
    for label, own in sorted(trials.items(), key=lambda item: (len(item[0]), item[0])):
        if (found := carried_by(own.values())) and set(own) not in shown:  # rows share trials
            shown.append(set(own))
            click.echo(f"{label} in {results}: {describe_carried(found)}")


def _evaluations(method: str, protocol: Protocol, results: Path) -> list[Evaluation]:
    from ltbench.report.records.read import read_records

    asked = (protocol.name, protocol.variant)
    found = read_records(results).evaluations
    return [
        e for e in found if e.method == method and (e.protocol.name, e.protocol.variant) == asked
    ]
