"""One optimisation step, from the indices of a batch to its loss; eager, or replayed from a graph."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from ltbench.errors import ContractError, describe
from ltbench.method import Images, Method, Seen, overrides
from ltbench.models.network import ExpertNetwork
from ltbench.train.feed import Feed
from ltbench.train.given import Given, Ticket


class Step:
    """Inputs, mixing, forward, loss, backward and update of one batch; everything on one device.

    forward: what ``feed`` gives, (B,3,H,W) float32 -> logits (B,E,C) and features (B,E,D); labels:
    (N,) int64. ``bf16``: the network runs under autocast. phase: the name of the phase that runs.
    """

    phase = ""

    def __init__(
        self,
        network: ExpertNetwork,
        forward: Callable[[Tensor], tuple[Tensor, Tensor]],
        optimizer: torch.optim.Optimizer,
        method: Method[Any],
        feed: Feed,
        labels: Tensor,
        bf16: bool,
    ) -> None:
        self.network, self.forward = network, forward
        self.optimizer, self.method = optimizer, method
        self.feed, self.labels, self.bf16 = feed, labels, bf16
        self._follows = overrides(method, "after_step")

    def __call__(self, given: Given, progress: float, rng: torch.Generator) -> Tensor:
        """Returns the loss () without its graph. No synchronisation."""
        mixed = self._mixed(given)
        seen: list[Seen | None] = []

        def descend(part: str = "") -> Tensor:
            loss, last = self._descend(mixed, given, progress, rng, part)
            seen[:] = [last]
            return loss

        loss = self.method.advance(descend, self.optimizer)
        if not seen or not isinstance(loss, Tensor) or loss.shape != ():
            raise ContractError(
                f"method {self.method.name!r}: advance must call descend and return its loss, a "
                "scalar tensor ()"
            )
        if self._follows and seen[0] is not None:
            with torch.no_grad():
                self.method.after_step(self.network, seen[0].detached())
        return loss.detach()

    def _mixed(self, given: Given) -> Images:
        first = self._images(given.first)
        second = first if given.second is None else self._images(given.second)
        mixed = self.method.mix(first, second, given.drawn)
        check_mixed(mixed, first, self.method)
        return mixed

    def _descend(
        self, mixed: Images, given: Given, progress: float, rng: torch.Generator, part: str
    ) -> tuple[Tensor, Seen | None]:
        """The loss without its graph, whose gradients are left in the weights, and what it was made of,
        which only a method with an ``after_step`` needs."""
        seen = self._look(mixed, given, progress, rng, part)
        loss = self.method.objective(seen)
        check_loss(loss, self.method)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach(), seen

    def _images(self, ticket: Ticket) -> Images:
        return Images(self.feed.inputs(ticket), self.labels[ticket.chosen])

    def _look(
        self, mixed: Images, given: Given, progress: float, rng: torch.Generator, part: str
    ) -> Seen:
        logits, features = self._through(mixed.pixels)
        batch = len(given.first.chosen)
        views = len(mixed.pixels) // batch  # as many as mix left
        return Seen(
            logits.reshape(views, batch, *logits.shape[1:]),
            features.reshape(views, batch, *features.shape[1:]),
            mixed.targets,
            given.first.chosen,
            self.phase,
            progress,
            given.drawn,
            mixed.notes,
            rng,
            part,
        )

    def _through(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """The network: logits, which are never bf16, and features."""
        # Every weight is used once a step: a cache of its casts saves nothing, and a captured step
        # must not depend on one.
        with torch.autocast(
            pixels.device.type, torch.bfloat16, enabled=self.bf16, cache_enabled=False
        ):
            logits, features = self.forward(pixels)
        return (logits.float() if self.bf16 else logits), features


class Graph(Protocol):
    """What records the kernels of a piece of work and launches them again at once."""

    def warm(self, work: Callable[[], Tensor]) -> Tensor:
        """Runs ``work`` as it will be recorded; the result is real."""

    def record(self, work: Callable[[], Tensor]) -> Tensor:
        """Records ``work`` without running it; its result is filled by every :meth:`replay`."""

    def replay(self) -> None: ...


RECORDING = threading.Lock()
"""One recording at a time in a process: each begins by waiting for the whole device, which is refused while
another thread records."""
_SIDE = threading.local()


def _side_stream() -> torch.cuda.Stream:
    """Where this thread warms and records, always the same: libraries keep a buffer for each stream, a
    recorded step goes on using it, and steps of two threads may run at the same time."""
    device = torch.cuda.current_device()
    if getattr(_SIDE, "device", None) != device:
        _SIDE.device, _SIDE.stream = device, torch.cuda.Stream()  # type: ignore[no-untyped-call]
    stream: torch.cuda.Stream = _SIDE.stream
    return stream


class CudaGraph:
    """A CUDA graph with memory of its own."""

    def __init__(self) -> None:
        self._graph = torch.cuda.CUDAGraph()

    def warm(self, work: Callable[[], Tensor]) -> Tensor:
        side, current = _side_stream(), torch.cuda.current_stream()
        side.wait_stream(current)
        with torch.cuda.stream(side):
            result = work()
        current.wait_stream(side)
        return result

    def record(self, work: Callable[[], Tensor]) -> Tensor:
        # thread_local: what other threads ask of the device meanwhile does not spoil it.
        mode = "thread_local"
        with (
            RECORDING,
            torch.cuda.graph(self._graph, stream=_side_stream(), capture_error_mode=mode),
        ):
            return work()

    def replay(self) -> None:
        self._graph.replay()


WARM_STEPS = 3
"""Real steps before a recording: libraries choose kernels, the optimiser makes its buffers."""


class GraphedStep:
    """The same step, recorded once per situation and replayed: one launch instead of hundreds.

    A situation is whatever a recording fixes: the shapes of what it is given (the last batch of an
    epoch is smaller), what the loss takes from ``progress`` (:meth:`ltbench.method.Method.loss_stage`) and
    the phase. Learning rates lie in tensors that a replay reads anew. The first steps of each run eagerly,
    so that no step is lost or repeated. What ``Method.draw`` drew is copied in like the images. A loss
    that draws random numbers itself is never recorded: a replay would repeat them.

    A step that waits for the device, or chooses by values, cannot be recorded. Nothing of it has run
    then: with ``gives_up`` this one and all others are eager, and :attr:`refused` says why; without,
    :class:`ContractError` is raised.
    """

    def __init__(self, step: Step, *, gives_up: bool = False) -> None:
        self.step, self.gives_up = step, gives_up
        self._recorded: dict[_Situation, _Recorded] = {}
        self.samples = False
        """Whether the loss was seen to draw random numbers, so that every step stays eager."""
        self.refused = ""

    def new_phase(self) -> None:
        """Forgets recordings: other weights learn, or the optimiser's state was cleared."""
        self._recorded.clear()

    def __call__(self, given: Given, progress: float, rng: torch.Generator) -> Tensor:
        if self.samples or self.refused:
            return self.step(given, progress, rng)
        stage = self.step.method.loss_stage(progress)
        if any(key.stage != stage for key in self._recorded):
            self._recorded.clear()  # the earlier ones do not come back: their memory is freed
        key = _Situation(stage, given.shapes())
        if key not in self._recorded:
            self._recorded[key] = _Recorded(CudaGraph(), given)
        return self._advance(self._recorded[key], given, progress, rng)

    def _advance(
        self, recorded: _Recorded, given: Given, progress: float, rng: torch.Generator
    ) -> Tensor:
        recorded.given.copy_(given)

        def work() -> Tensor:
            return self.step(recorded.given, progress, rng)

        if recorded.warmed < WARM_STEPS:
            recorded.warmed += 1
            before = rng.get_state()
            loss = recorded.graph.warm(work)
            self.samples = self.samples or not torch.equal(before, rng.get_state())
            return loss
        if recorded.loss is None:
            self.step.optimizer.zero_grad(set_to_none=True)  # gradients belong to the recording
            try:
                recorded.loss = recorded.graph.record(work)
            except RuntimeError as error:
                self._refuse(error)
                return self.step(given, progress, rng)
        recorded.graph.replay()
        return recorded.loss.clone()

    def _refuse(self, error: RuntimeError) -> None:
        """Gives up recording, if it may. Only CUDA raises RuntimeErrors here; ours are none."""
        why = describe(error)
        if not self.gives_up:
            raise ContractError(
                f"method {self.step.method.name!r}: its step cannot be recorded as a CUDA graph ({why}); "
                "--speed plain trains it"
            ) from error
        self.refused = why
        self._recorded.clear()


class _Situation(NamedTuple):
    stage: Hashable
    shapes: tuple[tuple[object, ...], ...]


class _Recorded:
    """A graph with the tensors that it reads and the one that it fills."""

    def __init__(self, graph: Graph, given: Given) -> None:
        self.graph = graph
        self.given = given.clone()
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


def check_mixed(mixed: object, first: Images, method: Method[Any]) -> None:
    """Raises :class:`ContractError` unless ``mixed`` is what the contract of ``mix`` says."""
    if mixed is first:
        return
    shape, batch = tuple(first.pixels.shape), len(first.targets)
    fewer = f", or fewer views of {batch} images," if shape[0] > batch else ","
    expected = (
        f"expected Images(pixels {shape}{fewer} targets ({batch},) or ({batch}, "
        f"{len(method.counts)}))"
    )
    if not isinstance(mixed, Images):
        raise ContractError(
            f"method {method.name!r}: mix returned {type(mixed).__name__}; {expected}"
        )
    targets = tuple(mixed.targets.shape)
    whole = len(mixed.pixels) in range(batch, shape[0] + 1, batch)  # views, not parts of them
    fits = whole and tuple(mixed.pixels.shape[1:]) == shape[1:]
    if not fits or targets not in ((batch,), (batch, len(method.counts))):
        got = f"pixels {tuple(mixed.pixels.shape)}, targets {targets}"
        raise ContractError(f"method {method.name!r}: mix returned {got}; {expected}")
