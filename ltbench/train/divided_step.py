"""The step of a batch that is divided: BatchNorm in groups, in parts for memory, among processes.

Its result depends on the groups alone, up to rounding: the loss sees the logits and features of the whole
batch, every process computes it alike, and running statistics follow the first group. Equation: with
outputs z = f(x; w) and loss L(z), dL/dw = sum over images of (dL/dz_i) (dz_i/dw), so that dL/dz of the whole
batch is enough for each process and part to add its images' terms.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from ltbench.method import Images, Method, Seen, overrides
from ltbench.models.network import ExpertNetwork
from ltbench.train.division import Division
from ltbench.train.feed import Feed
from ltbench.train.given import Given, Ticket
from ltbench.train.step import Step, check_loss, check_mixed
from ltbench.train.team import ALONE, Team

_TYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
Outputs = tuple[Tensor, Tensor]
"""Logits (V, b, E, C) and features (V, b, E, D)."""


class DividedStep(Step):
    """As :class:`Step`; the tickets that a process is given hold its own share of each batch.

    smallest: images that a group has at least, or it is joined to the one before.
    """

    smallest = 1

    def __init__(
        self,
        network: ExpertNetwork,
        forward: Callable[[Tensor], tuple[Tensor, Tensor]],
        optimizer: torch.optim.Optimizer,
        method: Method[Any],
        feed: Feed,
        labels: Tensor,
        bf16: bool,
        division: Division,
        team: Team = ALONE,
    ) -> None:
        super().__init__(network, forward, optimizer, method, feed, labels, bf16)
        self.division, self.team = division, team
        self._mixes = overrides(method, "mix")
        whole = overrides(method, "objective") or overrides(method, "after_step")
        self._by_parts = method.mean_over_images and not whole

    def _mixed(self, given: Given) -> Images:
        """Of a method that mixes the whole batch, of another one its share; targets are of all."""
        first = self._all(given.first, given.whole)
        if not self._mixes:
            return first
        second = first
        if given.second is not None:
            second = self._all(given.second, given.second_whole)
        mixed = self.method.mix(first, second, given.drawn)
        check_mixed(mixed, first, self.method)
        return mixed

    def _all(self, ticket: Ticket, whole: Tensor) -> Images:
        pixels = self.feed.inputs(ticket)
        if self._mixes:
            views = pixels.reshape(len(ticket.views), len(ticket.chosen), *pixels.shape[1:])
            pixels = self._gathered(views, len(whole)).flatten(0, 1)
        return Images(pixels, self.labels[whole])

    def _gathered(self, rows: Tensor, batch: int) -> Tensor:
        """``(V, b, ...)`` of each process to ``(V, B, ...)``."""
        if self.team.size == 1:
            return rows
        shares = self.division.shares(batch, self.smallest)
        return self.team.gather(rows.transpose(0, 1).contiguous(), shares).transpose(0, 1)

    def _descend(
        self, mixed: Images, given: Given, progress: float, rng: torch.Generator, part: str
    ) -> tuple[Tensor, Seen | None]:
        batch = len(given.whole)
        shares = self.division.shares(batch, self.smallest)
        own = shares[self.team.rank]
        views = len(mixed.pixels) // batch if self._mixes else len(given.first.views)
        pixels = mixed.pixels.reshape(views, -1 if self._mixes else own.stop - own.start,
                                      *mixed.pixels.shape[1:])  # fmt: skip
        if self._mixes:
            pixels = pixels[:, own]
        parts = [
            [slice(g.start - own.start, g.stop - own.start) for g in groups]
            for groups in self.division.of_process(self.team.rank, batch, self.smallest)
            if groups
        ]
        work = _Work(self, mixed, given, progress, rng, part, pixels, parts, own)
        self.optimizer.zero_grad(set_to_none=True)
        loss, seen = work.by_parts() if self._by_parts else work.whole()
        idle = any(share.stop == share.start for share in shares)
        weights = [p for group in self.optimizer.param_groups for p in group["params"]]
        self.team.average_gradients(weights, idle=idle)
        return loss, seen

    def through(self, pixels: Tensor, groups: Sequence[slice], *, moves: bool) -> Outputs:
        """A part: every group by itself. moves: whether running statistics follow the first one."""
        outputs: list[Outputs] = []
        for group in groups:
            images = pixels[:, group]
            with self._statistics(moves and not outputs):
                logits, features = self._through(images.flatten(0, 1))
            shape = images.shape[:2]
            outputs.append(
                (
                    logits.reshape(*shape, *logits.shape[1:]),
                    features.reshape(*shape, *features.shape[1:]),
                )
            )
        if len(outputs) == 1:
            return outputs[0]
        logits_of, features_of = zip(*outputs, strict=True)
        return torch.cat(logits_of, dim=1), torch.cat(features_of, dim=1)

    @contextmanager
    def _statistics(self, move: bool) -> Iterator[None]:
        norms = [] if move else self._moving()
        for norm in norms:
            norm.track_running_stats = False
        try:
            yield
        finally:
            for norm in norms:
                norm.track_running_stats = True

    def _moving(self) -> list[_BatchNorm]:
        """BatchNorm layers whose running statistics follow the batches."""
        return [
            m
            for m in self.network.modules()
            if isinstance(m, _BatchNorm) and m.training and m.track_running_stats
        ]

    def share_statistics(self) -> None:
        """The first process has the first group, hence the statistics of all."""
        if self.team.size > 1:
            buffers = [b for m in self._moving() for b in (m.running_mean, m.running_var)]
            self.team.copy_first([b for b in buffers if b is not None])


class _Work:
    """One descent: the share ``pixels`` (V, b, 3, S, S) of a process in its ``parts``."""

    def __init__(
        self,
        step: DividedStep,
        mixed: Images,
        given: Given,
        progress: float,
        rng: torch.Generator,
        part: str,
        pixels: Tensor,
        parts: list[list[slice]],
        own: slice,
    ) -> None:
        self.step, self.mixed, self.given = step, mixed, given
        self.progress, self.rng, self.name = progress, rng, part
        self.pixels, self.parts, self.own = pixels, parts, own
        self.batch = len(given.whole)
        # What each process adds is averaged over all of them in the end, and so is what all compute
        # alike: the gradients of weights that the objective itself uses.
        self.scale = step.team.size

    def by_parts(self) -> tuple[Tensor, Seen | None]:
        """Of a loss that is a mean over images: each part is a term of it."""
        step, method = self.step, self.step.method
        loss = next(step.network.parameters()).new_zeros(())
        seen = None
        for i, groups in enumerate(self.parts):
            outputs = step.through(self.pixels, groups, moves=self._first(i))
            rows = slice(self.own.start + groups[0].start, self.own.start + groups[-1].stop)
            seen = self._seen(*outputs, rows)
            part = method.objective(seen)
            check_loss(part, method)
            share = (rows.stop - rows.start) / self.batch
            (part * (share * self.scale)).backward()
            loss = loss + part.detach() * share
        step.share_statistics()
        return step.team.total(loss), seen

    def whole(self) -> tuple[Tensor, Seen]:
        """Of any loss: its gradients by the outputs of the whole batch, then those of the weights.

        One part keeps its graph meanwhile. Several are run twice, without a graph at first: a third
        more time, and the memory of one part.
        """
        step, method = self.step, self.step.method
        again = len(self.parts) > 1
        with torch.set_grad_enabled(not again):
            outputs = [
                step.through(self.pixels, groups, moves=self._first(i))
                for i, groups in enumerate(self.parts)
            ]
        step.share_statistics()
        logits, features = self._of_all([tuple(o.detach() for o in each) for each in outputs])
        seen = self._seen(logits, features, slice(0, self.batch))
        loss = method.objective(seen)
        check_loss(loss, method)
        loss.backward()  # type: ignore[no-untyped-call]
        for i, groups in enumerate(self.parts):
            made = step.through(self.pixels, groups, moves=False) if again else outputs[i]
            rows = slice(self.own.start + groups[0].start, self.own.start + groups[-1].stop)
            pairs = [
                (output, leaf.grad[:, rows] * self.scale)
                for output, leaf in zip(made, (logits, features), strict=True)
                if leaf.grad is not None and output.requires_grad
            ]
            if pairs:
                torch.autograd.backward([o for o, _ in pairs], [g for _, g in pairs])
        return loss.detach(), seen

    def _of_all(self, outputs: list[tuple[Tensor, ...]]) -> Outputs:
        """Those of the whole batch as leaves, which gather the gradients of the loss."""
        own = [torch.cat(each, dim=1) for each in zip(*outputs, strict=True)] if outputs else []
        shares = self.step.division.shares(self.batch, self.step.smallest)
        if any(share.stop == share.start for share in shares):
            own = self._shaped(own)
        logits, features = (
            self.step._gathered(o, self.batch).contiguous().requires_grad_() for o in own
        )
        return logits, features

    def _shaped(self, own: list[Tensor]) -> list[Tensor]:
        """A process without images knows neither widths nor types; the first one always has some."""
        facts = [n for o in own for n in (*o.shape[2:], _TYPES.index(o.dtype))] or [0] * 6
        told = self.step.team.agree_on(facts)
        return own or [
            torch.zeros(
                (len(self.pixels), 0, experts, width),
                dtype=_TYPES[kind],
                device=self.pixels.device,
            )
            for experts, width, kind in (told[:3], told[3:])
        ]

    def _first(self, part: int) -> bool:
        return part == 0 and self.step.team.rank == 0

    def _seen(self, logits: Tensor, features: Tensor, rows: slice) -> Seen:
        return Seen(
            logits,
            features,
            self.mixed.targets[rows],
            self.given.whole[rows],
            self.step.phase,
            self.progress,
            self.given.drawn,
            self.mixed.notes,
            self.rng,
            self.name,
        )
