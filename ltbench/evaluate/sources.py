"""What a strategy is told of training: the bias and how it is known, the hold-out, the network.

A strategy gets the hold-out, an estimated bias and the network only where it declares them.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ltbench.errors import ContractError, InputError
from ltbench.evaluate.bias_fit import fit_bias
from ltbench.evaluate.outputs import BiasKind, HoldOut, KnownBias, TrialOutputs
from ltbench.hyper import Json
from ltbench.method import Method, overrides
from ltbench.resolve.ensembles import EnsembleMethod
from ltbench.resolve.rows import ResolvedRow, needs_a_holdout, needs_the_network
from ltbench.strategy import OptimizerSettings, Source

_WORST_FIRST: tuple[BiasKind, ...] = ("none", "reference", "fitted", "closed-form")


def find_bias(method: Method[Any], shape: tuple[int, int], holdout: HoldOut | None) -> KnownBias:
    """Closed form, else fitted on the hold-out, else the method's reference as it stands, else none.

    shape: (experts, classes). Raises :class:`ContractError` where the method returns another one.
    Each member of an ensemble has its own.
    """
    if isinstance(method, EnsembleMethod):
        return _side_by_side(method, shape[1], holdout)
    if overrides(method, "posterior"):  # its logits are met as log-posteriors
        return KnownBias("closed-form", torch.zeros(shape))
    exact = exact_bias(method, shape)
    if exact.kind != "none":
        return exact
    reference = _of_shape(method, "reference_bias", method.reference_bias(), shape)
    if holdout is not None:
        counts = method.counts.cpu()
        fit = fit_bias(holdout.logits, holdout.labels, counts, reference)
        return KnownBias("fitted", fit.bias, fit.error, fit.kappa, fit.kappa_error)
    if reference is not None:
        return KnownBias("reference", reference, kappa=torch.ones(shape[0]))
    return KnownBias("none")


def _side_by_side(method: EnsembleMethod, classes: int, holdout: HoldOut | None) -> KnownBias:
    """The biases of the members, known as well as the least known of them is."""
    start, found = 0, []
    for part, size in zip(method.parts, method.sizes, strict=True):
        own = None
        if holdout is not None:
            own = HoldOut(holdout.logits[:, start : start + size], holdout.labels)
        found.append(find_bias(part, (size, classes), own))
        start += size
    kind = next(kind for kind in _WORST_FIRST if any(known.kind == kind for known in found))
    if kind != "closed-form":
        found = [_as_estimate(known) for known in found]
    joined = [
        None if any(tensor is None for tensor in tensors) else torch.cat(tensors)
        for tensors in zip(*(known.tensors() for known in found), strict=True)
    ]
    return KnownBias(kind, *joined)


def _as_estimate(known: KnownBias) -> KnownBias:
    """A closed form beside estimates: its own reference at kappa = 1, without error, mean 0."""
    if known.kind != "closed-form" or known.value is None:
        return known
    value, none = known.value - known.value.mean(dim=1, keepdim=True), torch.zeros(len(known.value))
    return KnownBias("fitted", value, torch.zeros_like(value), torch.ones_like(none), none)


def exact_bias(method: Method[Any], shape: tuple[int, int]) -> KnownBias:
    """The closed form of the bias, or none."""
    closed = _of_shape(method, "bias", method.bias(), shape)
    return KnownBias("none") if closed is None else KnownBias("closed-form", closed)


def _of_shape(
    method: Method[Any], what: str, bias: Tensor | None, shape: tuple[int, int]
) -> Tensor | None:
    if bias is not None and tuple(bias.shape) != shape:
        raise ContractError(
            f"method {method.name!r}: {what} returned shape {tuple(bias.shape)}; expected {shape}"
        )
    return bias


def bias_of(row: ResolvedRow, outputs: TrialOutputs) -> KnownBias:
    """The bias of the row's method, fitted once for all rows of a trial."""
    key = json.dumps([row.method.name, row.hyper.identity()], sort_keys=True)
    if key not in outputs.biases:
        method = row.build_method(torch.from_numpy(outputs.task.train.counts))
        outputs.biases[key] = find_bias(method, outputs.shape, outputs.holdout)
    return outputs.biases[key]


def build_source(row: ResolvedRow, method: Method[Any], outputs: TrialOutputs) -> Source:
    """Everything but the network, which is fresh for every test set: :func:`with_fresh_network`.

    Raises :class:`InputError`, one line, where the trial has no hold-out, network or bias to give
    and the strategy declares it.
    """
    needs = row.needs
    known = bias_of(row, outputs) if "bias" in needs else exact_bias(method, outputs.shape)
    if known.kind == "none" and "bias" in needs:
        raise InputError(f"{row.label}: the prior that the logits carry is not known")
    holdout = outputs.holdout if "holdout" in needs else None
    if "holdout" in needs and holdout is None:
        raise InputError(needs_a_holdout(row))
    if "network" in needs and (outputs.network is None or outputs.images is None):
        raise InputError(needs_the_network(row))
    recipe = outputs.trial.recipe
    return Source(
        method=method,
        bias=known.value,
        bias_kind=known.kind,
        optimizer=OptimizerSettings(
            recipe.lr, recipe.momentum, recipe.uses_nesterov, recipe.weight_decay
        ),
        bias_error=known.error,
        holdout_logits=None if holdout is None else holdout.logits,
        holdout_labels=None if holdout is None else holdout.labels,
    )


def with_fresh_network(source: Source, row: ResolvedRow, outputs: TrialOutputs) -> Source:
    """The source with a network as training left it, where the strategy declares one."""
    if "network" not in row.needs or outputs.network is None:
        return source
    return replace(source, network=outputs.network())


def bias_block(row: ResolvedRow, outputs: TrialOutputs) -> dict[str, Json] | None:
    """What the record of ``row`` says about the bias; None where the strategy does not use it."""
    return bias_of(row, outputs).to_json() if "bias" in row.needs else None
