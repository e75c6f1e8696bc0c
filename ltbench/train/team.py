"""The processes that train one network together, and what they tell one another."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ltbench.errors import LtbenchError

_BUCKET = 1 << 24
"""Numbers that are summed at once: 64 MiB of gradients."""
_PATIENCE = datetime.timedelta(hours=2)
"""A process that is gone is noticed by the one that started it; this is for what nobody notices."""


class PeerGone(LtbenchError):
    """Another process of the trial did not answer; why is for that one to say."""


class Team:
    """Process ``rank`` of ``size``; alone, with ``size`` 1, nothing is sent and everything is as it is.

    All of them call the same methods in the same order. Raises :class:`PeerGone` where one does not.
    """

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank, self.size = rank, size
        self._words: dist.ProcessGroup | None = None
        """Over which decisions go: by the CPU, so that nobody waits for an accelerator."""

    @classmethod
    def join(cls, meeting: Path, rank: int, size: int, device: torch.device) -> Team:
        """Waits until all are there; meeting: a file that is not there yet, on a disk that all see."""
        team = cls(rank, size)
        with _answered():
            dist.init_process_group(
                "nccl" if device.type == "cuda" else "gloo",
                init_method=meeting.absolute().as_uri(),
                rank=rank,
                world_size=size,
                timeout=_PATIENCE,
            )
            if device.type == "cuda":
                words = dist.new_group(backend="gloo", timeout=_PATIENCE)
                assert isinstance(words, dist.ProcessGroup)  # of which this process is one
                team._words = words
        return team

    def leave(self) -> None:
        if dist.is_initialized():
            dist.destroy_process_group()

    def agree(self, value: bool) -> bool:
        """What the first process says."""
        return bool(self.agree_on([int(value)])[0])

    def agree_on(self, values: list[int]) -> list[int]:
        """What the first process says; as many numbers in each."""
        if self.size == 1:
            return values
        told = torch.tensor(values)
        with _answered():
            dist.broadcast(told, 0, group=self._words)
        return [int(value) for value in told]

    def wait(self) -> None:
        """For the first process."""
        self.agree(True)

    def gather(self, rows: Tensor, shares: Sequence[slice]) -> Tensor:
        """``(b, ...)`` of each process, one after the other: ``(B, ...)``. shares: whose rows are which."""
        if self.size == 1:
            return rows
        most = max(share.stop - share.start for share in shares)
        padded = rows.new_zeros((most, *rows.shape[1:]))
        padded[: len(rows)] = rows
        found = [torch.empty_like(padded) for _ in shares]
        with _answered():
            dist.all_gather(found, padded)
        return torch.cat(
            [f[: share.stop - share.start] for f, share in zip(found, shares, strict=True)]
        )

    def total(self, value: Tensor) -> Tensor:
        """The sum over all processes, in place."""
        if self.size > 1:
            with _answered():
                dist.all_reduce(value)
        return value

    def average_gradients(self, parameters: Iterable[nn.Parameter], *, idle: bool) -> None:
        """idle: whether a process had no image, and hence no gradients, in this step."""
        if self.size == 1:
            return
        weights = list(parameters)
        if idle:
            self._fill_absent(weights)
        gradients = [p.grad for p in weights if p.grad is not None]
        for bucket in _buckets(gradients):
            flat = self.total(torch.cat([g.flatten() for g in bucket])).div_(self.size)
            parts = torch.split(flat, [g.numel() for g in bucket])
            for gradient, part in zip(bucket, parts, strict=True):
                gradient.copy_(part.view(gradient.shape))

    def _fill_absent(self, weights: list[nn.Parameter]) -> None:
        there = [p.grad is not None for p in weights]
        anywhere = self.total(torch.tensor(there, dtype=torch.int32, device=weights[0].device))
        for parameter, wanted in zip(weights, anywhere.tolist(), strict=True):
            if wanted and parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)

    def copy_first(self, buffers: Sequence[Tensor]) -> None:
        """Gives all processes the contents that ``buffers`` have in the first one."""
        if self.size == 1 or not buffers:
            return
        flat = torch.cat([b.flatten() for b in buffers])
        with _answered():
            dist.broadcast(flat, 0)
        if self.rank:
            parts = torch.split(flat, [b.numel() for b in buffers])
            for buffer, part in zip(buffers, parts, strict=True):
                # .data: no graph that is still to be walked holds the old contents.
                buffer.data.copy_(part.view(buffer.shape))


ALONE = Team()


def _buckets(gradients: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Consecutive ones of one type, not too many numbers at a time."""
    bucket: list[Tensor] = []
    for gradient in gradients:
        full = sum(each.numel() for each in bucket) + gradient.numel() > _BUCKET
        if bucket and (full or bucket[0].dtype != gradient.dtype):
            yield bucket
            bucket = []
        bucket.append(gradient)
    if bucket:
        yield bucket


@contextmanager
def _answered() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:  # what torch.distributed raises for all that goes wrong
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise PeerGone(f"another process of the trial does not answer ({reason})") from error
