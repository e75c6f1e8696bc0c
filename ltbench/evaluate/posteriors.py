"""Logits whose prior is no bias, as strategies that reason about priors get them: log-posteriors."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from ltbench.errors import ContractError
from ltbench.evaluate.outputs import TrialOutputs
from ltbench.evaluate.spilled import is_spilled, spilled
from ltbench.method import Method, overrides
from ltbench.pieces import by_pieces, pieces
from ltbench.resolve.ensembles import EnsembleMethod
from ltbench.resolve.rows import ResolvedRow


def as_log_posteriors(outputs: TrialOutputs, row: ResolvedRow, method: Method[Any]) -> TrialOutputs:
    """``outputs`` with ``method.posterior(z)`` in the place of z, where the method has an own posterior
    and the strategy declares ``bias``, which is 0 then. Experts are judged by these, too."""
    if "bias" not in row.needs or not has_posterior(method):
        return outputs
    logits = log_posteriors(method, outputs.logits)
    same = outputs.shifted_logits is outputs.logits
    views, network, holdout = outputs.views, outputs.network, outputs.holdout
    return replace(
        outputs,
        logits=logits,
        shifted_logits=logits if same else log_posteriors(method, outputs.shifted_logits),
        views=lambda k: _views_as_log_posteriors(method, views(k)),
        network=None if network is None else lambda: _Corrected(network(), method),
        holdout=None
        if holdout is None
        else replace(holdout, logits=log_posteriors(method, holdout.logits)),
    )


def _views_as_log_posteriors(method: Method[Any], pair: Tensor) -> Tensor:
    """``(2, N, E, C)`` in the type that it is stored in."""
    if is_spilled(pair.shape, pair.dtype):
        size, *shape = pair.shape[1:]
        parts = (
            log_posteriors(method, view[part].float())
            for view in pair
            for part in pieces(size, *shape)
        )
        return spilled(pair.shape, pair.dtype, parts)
    return torch.stack(
        [
            by_pieces(lambda piece: log_posteriors(method, piece.float()).to(pair.dtype), view)
            for view in pair
        ]
    )


def has_posterior(method: Method[Any]) -> bool:
    """Whether it, or a member of an ensemble, states a posterior that is no bias."""
    parts = method.parts if isinstance(method, EnsembleMethod) else (method,)
    return any(overrides(part, "posterior") for part in parts)


def log_posteriors(method: Method[Any], logits: Tensor) -> Tensor:
    """``(N, E, C)`` to the same, image by image; experts whose prior is a bias keep their logits.

    Raises :class:`ContractError` for another shape or numbers that are not finite.
    """
    if is_spilled(logits.shape, torch.float32):
        parts = (_log_posteriors(method, logits[part]) for part in pieces(*logits.shape))
        return spilled(logits.shape, torch.float32, parts)
    return by_pieces(lambda piece: _log_posteriors(method, piece), logits)


def _log_posteriors(method: Method[Any], logits: Tensor) -> Tensor:
    if isinstance(method, EnsembleMethod):
        slices = torch.tensor_split(logits, method.ends, dim=1)
        found = [_log_posteriors(p, own) for p, own in zip(method.parts, slices, strict=True)]
        return torch.cat(found, dim=1)
    if not overrides(method, "posterior"):
        return logits
    result = method.posterior(logits)
    if result is None or result.shape != logits.shape or not torch.isfinite(result).all():
        got = "None" if result is None else f"{tuple(result.shape)}, or numbers that are not finite"
        raise ContractError(
            f"method {method.name!r}: posterior returned {got}; expected finite {tuple(logits.shape)}"
        )
    return result.float()


class _Corrected(nn.Module):
    """A network that gives log-posteriors."""

    def __init__(self, network: nn.Module, method: Method[Any]) -> None:
        super().__init__()
        self.network, self._method = network, method

    def forward(self, images: Tensor) -> Tensor:
        return log_posteriors(self._method, self.network(images))
