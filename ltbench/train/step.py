"""One optimisation step, from the indices of a batch to its loss; eager, or replayed from a graph."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from ltbench.errors import ContractError
from ltbench.method import Method
from ltbench.train.augment import Augmenter, Draws, normalise


class Step:
    """Augmentation, forward, loss, backward and update of one batch; everything on one device.

    network: (B,3,H,W) float32 -> (B,E,C); images: (N,3,H,W) uint8; labels: (N,) int64; mean, std:
    (3,) float32 in units of the full range. ``bf16``: the network runs under autocast.
    """

    def __init__(
        self,
        network: Callable[[Tensor], Tensor],
        optimizer: torch.optim.Optimizer,
        method: Method[Any],
        augmenter: Augmenter,
        images: Tensor,
        labels: Tensor,
        mean: Tensor,
        std: Tensor,
        bf16: bool,
    ) -> None:
        self.network, self.optimizer, self.method = network, optimizer, method
        self.augmenter, self.images, self.labels = augmenter, images, labels
        self.mean, self.std, self.bf16 = mean, std, bf16

    def __call__(
        self, chosen: Tensor, draws: Draws, progress: float, rng: torch.Generator
    ) -> Tensor:
        """chosen: (B,) int64 indices; returns the loss () without its graph. No synchronisation."""
        raw = self.augmenter.apply(self.images[chosen], draws)
        inputs = normalise(raw, self.mean, self.std)
        # Every weight is used once a step: a cache of its casts saves nothing, and a captured step
        # must not depend on one.
        with torch.autocast(
            inputs.device.type, torch.bfloat16, enabled=self.bf16, cache_enabled=False
        ):
            logits = self.network(inputs)
        loss = self.method.loss(logits.float(), self.labels[chosen], progress=progress, rng=rng)
        check_loss(loss, self.method)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return loss.detach()


class Graph(Protocol):
    """What records the kernels of a piece of work and launches them again at once."""

    def warm(self, work: Callable[[], Tensor]) -> Tensor:
        """Runs ``work`` as it will be recorded; the result is real."""

    def record(self, work: Callable[[], Tensor]) -> Tensor:
        """Records ``work`` without running it; its result is filled by every :meth:`replay`."""

    def replay(self) -> None: ...


class CudaGraph:
    """A CUDA graph with memory of its own."""

    def __init__(self) -> None:
        self._graph = torch.cuda.CUDAGraph()

    def warm(self, work: Callable[[], Tensor]) -> Tensor:
        side, current = torch.cuda.Stream(), torch.cuda.current_stream()  # type: ignore[no-untyped-call]
        side.wait_stream(current)
        with torch.cuda.stream(side):
            result = work()
        current.wait_stream(side)
        return result

    def record(self, work: Callable[[], Tensor]) -> Tensor:
        with torch.cuda.graph(self._graph):
            return work()

    def replay(self) -> None:
        self._graph.replay()


WARM_STEPS = 3
"""Real steps before a recording: libraries choose kernels, the optimiser makes its buffers."""


class GraphedStep:
    """The same step, recorded once per situation and replayed: one launch instead of hundreds.

    A situation is whatever a recording fixes: the batch size (the last batch of an epoch is
    smaller), the learning rate (eight values in 200 epochs), what the loss takes from ``progress``
    (:meth:`ltbench.method.Method.loss_stage`) and the phase. The first steps of each run eagerly, so
    that no step is lost or repeated. A loss that draws random numbers is never recorded: a replay
    would repeat them.
    """

    def __init__(self, step: Step) -> None:
        self._step = step
        self._recorded: dict[_Situation, _Recorded] = {}
        self.samples = False
        """Whether the loss was seen to draw random numbers, so that every step stays eager."""

    def new_phase(self) -> None:
        """Forgets recordings: other weights learn, or the optimiser's state was cleared."""
        self._recorded.clear()

    def __call__(
        self, chosen: Tensor, draws: Draws, progress: float, rng: torch.Generator
    ) -> Tensor:
        if self.samples:
            return self._step(chosen, draws, progress, rng)
        rates = tuple(group["lr"] for group in self._step.optimizer.param_groups)
        stage = self._step.method.loss_stage(progress)
        if any((key.rates, key.stage) != (rates, stage) for key in self._recorded):
            self._recorded.clear()  # the earlier ones do not come back: their memory is freed
        key = _Situation(rates, stage, len(chosen))
        if key not in self._recorded:
            self._recorded[key] = _Recorded(CudaGraph(), chosen, draws)
        return self._advance(self._recorded[key], chosen, draws, progress, rng)

    def _advance(
        self,
        recorded: _Recorded,
        chosen: Tensor,
        draws: Draws,
        progress: float,
        rng: torch.Generator,
    ) -> Tensor:
        recorded.chosen.copy_(chosen)
        recorded.draws.table.copy_(draws.table)

        def work() -> Tensor:
            return self._step(recorded.chosen, recorded.draws, progress, rng)

        if recorded.warmed < WARM_STEPS:
            recorded.warmed += 1
            before = rng.get_state()
            loss = recorded.graph.warm(work)
            self.samples = self.samples or not torch.equal(before, rng.get_state())
            return loss
        if recorded.loss is None:
            self._step.optimizer.zero_grad(set_to_none=True)  # gradients belong to the recording
            recorded.loss = recorded.graph.record(work)
        recorded.graph.replay()
        return recorded.loss.clone()


class _Situation(NamedTuple):
    rates: tuple[float, ...]
    stage: Hashable
    batch: int


class _Recorded:
    """A graph with the tensors that it reads and the one that it fills."""

    def __init__(self, graph: Graph, chosen: Tensor, draws: Draws) -> None:
        self.graph = graph
        self.chosen = chosen.clone()
        self.draws = Draws(draws.table.clone())
        self.warmed = 0
        self.loss: Tensor | None = None


def check_loss(loss: object, method: Method[Any]) -> None:
    """Raises :class:`ContractError` unless ``loss`` is what the contract of a method says."""
    expected = "expected a scalar float tensor () that depends on the logits"
    if not isinstance(loss, Tensor):
        raise ContractError(
            f"method {method.name!r}: loss returned {type(loss).__name__}; {expected}"
        )
    if loss.shape != () or not loss.is_floating_point() or not loss.requires_grad:
        what = f"shape {tuple(loss.shape)}, {loss.dtype}, requires_grad={loss.requires_grad}"
        raise ContractError(f"method {method.name!r}: loss returned {what}; {expected}")


def compiled(network: nn.Module) -> Callable[[Tensor], Tensor]:
    """The network through torch.compile; the same weights, the same function up to rounding."""
    return torch.compile(network)
