"""A row of several networks: its members side by side on the expert axis, as one method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from typing import Any, ClassVar

import torch
from torch import Tensor

from ltbench.hyper import Hyper, Json
from ltbench.method import Architecture, Method, NoHyper
from ltbench.registry import Plugin


@dataclass(frozen=True)
class Member:
    """A method with all its parameters; label: what tables would call it alone."""

    method: Plugin[Method[Any]]
    hyper: Hyper
    label: str

    def build(self, counts: Tensor) -> Method[Any]:
        return self.method.cls(counts, self.hyper)

    def facts(self) -> dict[str, Json]:
        """What makes it again: the ``method`` of a member in an ensemble's record."""
        method = self.method
        return {
            "name": method.name,
            "hyper": self.hyper.to_json(),
            "version": method.cls.version,
            "digest": method.digest,
            "origin": method.origin,
        }

    def identity(self) -> list[Json]:
        method = self.method
        return [method.name, self.hyper.identity(), method.cls.version, method.digest]


class EnsembleMethod(Method[Hyper]):
    """M networks, each trained alone, met as one with E = sum_m E_m experts.

    Expert logits, biases, views and hold-out logits lie side by side, member after member, so that a
    strategy that reasons about priors takes all experts for those of one network. ``predict`` is the
    mean over members of each member's own ``predict``: a post-hoc method stays what it is.
    """

    members: ClassVar[tuple[Member, ...]] = ()

    def __init__(self, counts: Tensor, hyper: Hyper) -> None:
        super().__init__(counts, hyper)
        self.parts = tuple(member.build(counts) for member in self.members)
        self.sizes = [part.architecture().experts for part in self.parts]
        self.ends = list(accumulate(self.sizes[:-1]))

    def architecture(self) -> Architecture:
        """Of the first member, with the experts of all."""
        first = self.parts[0].architecture()
        return Architecture(sum(self.sizes), first.head, first.scale, first.reduced)

    def loss(
        self,
        logits: Tensor,
        targets: Tensor,
        *,
        progress: float,
        rng: torch.Generator | None = None,
    ) -> Tensor:
        raise NotImplementedError("the members of an ensemble are trained alone")

    def predict(self, logits: Tensor) -> Tensor:
        """Mean over members of ``predict_m(z_m)``, z_m the slice ``(B, E_m, C)`` of member m."""
        slices = torch.tensor_split(logits, self.ends, dim=1)
        scores = [part.predict(own) for part, own in zip(self.parts, slices, strict=True)]
        return torch.stack(scores).mean(dim=0)

    def bias(self) -> Tensor | None:
        return _joined([part.bias() for part in self.parts])

    def reference_bias(self) -> Tensor | None:
        return _joined([part.reference_bias() for part in self.parts])


def _joined(biases: Sequence[Tensor | None]) -> Tensor | None:
    """``(E, C)``; None where that of one member is not known."""
    known = [bias for bias in biases if bias is not None]
    return torch.cat(known) if len(known) == len(biases) else None


@lru_cache(maxsize=256)  # one class for one ensemble: rows of it are then equal
def ensemble_plugin(
    name: str, members: tuple[Member, ...], title: str, *, of_one_method: bool
) -> Plugin[Method[Any]]:
    """The method ``name`` of these members. Its strategy is theirs where they have one in common.

    of_one_method: it then has the hyper-parameters of that method; a mixture has none.

    digest: of code that does not ship with ltbench, whichever member brings it; empty where none does.
    """
    strategies = {member.method.cls.strategy for member in members}
    cls = type(
        "Ensemble",
        (EnsembleMethod,),
        {
            "name": name,
            "title": title,
            "hyper_type": members[0].method.cls.hyper_type if of_one_method else NoHyper,
            "strategy": strategies.pop() if len(strategies) == 1 else "none",
            "version": max(member.method.cls.version for member in members),
            "members": members,
        },
    )
    digests = sorted({member.method.digest for member in members if member.method.digest})
    origins = sorted({member.method.origin for member in members})
    return Plugin(name, cls, ", ".join(origins), "-".join(digests))


def is_ensemble(plugin: Plugin[Any]) -> bool:
    return issubclass(plugin.cls, EnsembleMethod)


def members_of(plugin: Plugin[Any]) -> tuple[Member, ...]:
    """The members in their order on the expert axis; none where ``plugin`` is one network."""
    return plugin.cls.members if issubclass(plugin.cls, EnsembleMethod) else ()
