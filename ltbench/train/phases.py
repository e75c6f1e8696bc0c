"""How the phases of a method share the epochs."""

from __future__ import annotations

from dataclasses import dataclass

from ltbench.errors import ContractError
from ltbench.method import Phase


@dataclass(frozen=True)
class PhaseSpan:
    """A phase and its epochs: ``start <= epoch < start + epochs``."""

    phase: Phase
    start: int
    epochs: int


def phase_spans(phases: tuple[Phase, ...], epochs: int) -> tuple[PhaseSpan, ...]:
    """Shares ``epochs`` by ``Phase.share``; each phase gets at least one epoch.

    Raises :class:`ContractError` for no phase, what is none, or too few epochs.
    """
    if not phases or not all(isinstance(phase, Phase) for phase in phases):
        raise ContractError("phases() must return at least one ltbench.Phase")
    if len(phases) > epochs:
        raise ContractError(f"{len(phases)} phases need at least as many epochs, not {epochs}")
    total = sum(phase.share for phase in phases)
    spans: list[PhaseSpan] = []
    start, passed = 0, 0.0
    for i, phase in enumerate(phases):
        passed += phase.share
        end = max(start + 1, min(round(epochs * passed / total), epochs - (len(phases) - 1 - i)))
        spans.append(PhaseSpan(phase, start, end - start))
        start = end
    return tuple(spans)
