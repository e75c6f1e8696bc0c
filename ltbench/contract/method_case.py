"""A method under one setting of its hyper-parameters, on one list of training counts."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ltbench.contract.shown import give_teacher, parent_of, shown, trains_nothing
from ltbench.contract.unmet import require
from ltbench.method import Method, Seen, overrides
from ltbench.registry import Plugin, Registries

COUNTS = {
    "two": [9, 1],
    "ten": [100, 64, 41, 27, 17, 11, 7, 4, 3, 1],
    "ties": [5, 1, 5, 1, 1, 8],
    "equal": [4, 4, 4],
}
PROGRESS = (0.0, 0.5, 0.99)
SAMPLES = 64
"""Generators over which a loss that samples is averaged."""


@dataclass(frozen=True)
class MethodCase:
    plugin: Plugin[Method[Any]]
    hyper: dict[str, Any]
    counts: list[int]
    registries: Registries

    def build(self, counts: list[int] | None = None) -> Method[Any]:
        """For a training, with its teacher."""
        method = self.bare(counts)
        give_teacher(method, self.registries)
        return method

    def bare(self, counts: list[int] | None = None) -> Method[Any]:
        """To be asked what it wants."""
        values = torch.tensor(counts or self.counts)
        hyper = self.plugin.cls.hyper_type.from_mapping(self.hyper, self.plugin.name)
        return self.plugin.cls(values, hyper)

    def trainer(self) -> Method[Any]:
        """The method that does the training: itself, or the one a post-hoc method names."""
        name, hyper = self.bare().training_identity()
        cls = self.registries.methods.get(name).cls
        return cls(torch.tensor(self.counts), cls.hyper_type.from_mapping(hyper, name))

    def parent(self) -> Method[Any] | None:
        """The method that it starts from or learns from."""
        return parent_of(self.bare(), self.registries)

    def trains_itself(self) -> bool:
        """Whether the training is its own, so that there is no other loss to compare with."""
        method = self.bare()
        name, hyper = method.training_identity()
        return name == self.plugin.name and hyper == method.hyper.training_part()

    def trains_nothing(self) -> bool:
        """Whether it takes a parent's network as it is, or its heads from names, so that it has no loss."""
        return trains_nothing(self.bare())

    def example(self, batch: int = 8, seed: int = 0) -> tuple[Tensor, Tensor]:
        """Logits ``(B, E, C)`` and targets that hold every class where the batch allows."""
        rng = torch.Generator().manual_seed(seed)
        experts, classes = self.bare().architecture().experts, len(self.counts)
        logits = 5 * torch.randn(batch, experts, classes, generator=rng)
        return logits, torch.arange(batch) % classes

    def __str__(self) -> str:
        shown = ", ".join(f"{key}={value}" for key, value in self.hyper.items()) or "defaults"
        return f"{shown}; training counts {self.counts}"


def variants(hyper_type: type[Any]) -> list[dict[str, Any]]:
    """The defaults, and each other choice or switch on its own."""
    found: list[dict[str, Any]] = [{}]
    for field in dataclasses.fields(hyper_type):
        for choice in field.metadata.get("choices", ()):
            if choice != field.default:
                found.append({field.name: choice})
        if isinstance(field.default, bool):
            found.append({field.name: not field.default})
    return found


def method_cases(
    plugin: Plugin[Method[Any]], registries: Registries, keys: tuple[str, ...] = tuple(COUNTS)
) -> list[MethodCase]:
    """Every variant of the method on the named counts."""
    return [
        MethodCase(plugin, hyper, COUNTS[key], registries)
        for hyper in variants(plugin.cls.hyper_type)
        for key in keys
    ]


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def loss_of(
    method: Method[Any],
    logits: Tensor,
    targets: Tensor,
    progress: float = 0.0,
    rng: torch.Generator | None = None,
    **changes: Any,
) -> Tensor:
    """The loss of a step with these logits, which must be a scalar tensor: all else builds on that.

    changes: of :func:`ltbench.contract.shown.shown`.
    """
    return loss_on(method, shown(method, logits, targets, progress, rng or seeded(), **changes))


def loss_on(method: Method[Any], seen: Seen) -> Tensor:
    """The loss of this step."""
    if trains_nothing(method):  # whatever else is asked of it is tried with some loss
        return seen.logits.square().mean()
    loss = method.objective(seen)
    name = "objective" if overrides(method, "objective") else "loss"
    require(isinstance(loss, Tensor), f"{name} returned {type(loss).__name__}, not a tensor")
    require(
        loss.shape == (),
        f"{name} returned shape {tuple(loss.shape)}; it must be one number, for example the mean "
        "over the batch",
    )
    return loss


def expected_loss(
    method: Method[Any], logits: Tensor, targets: Tensor, progress: float
) -> tuple[float, float]:
    """The loss and 0; of one that samples, the mean over generators and its standard error."""
    rng = seeded()
    before = rng.get_state()
    first = loss_of(method, logits, targets, progress, rng)
    if torch.equal(before, rng.get_state()):
        return first.item(), 0.0
    draws = [
        loss_of(method, logits, targets, progress, torch.Generator().manual_seed(seed))
        for seed in range(SAMPLES)
    ]
    values = torch.stack(draws).detach().double()
    return values.mean().item(), values.std().item() / SAMPLES**0.5


def losses_differ(one: tuple[float, float], other: tuple[float, float]) -> bool:
    """Whether two of :func:`expected_loss` are further apart than rounding and sampling explain."""
    apart, error = abs(one[0] - other[0]), (one[1] ** 2 + other[1] ** 2) ** 0.5
    return not apart <= 1e-4 * abs(other[0]) + 1e-5 + 6 * error


def differ(one: Tensor, other: Tensor, rtol: float = 1e-4, atol: float = 1e-5) -> bool:
    return one.shape != other.shape or not torch.allclose(one, other, rtol=rtol, atol=atol)
