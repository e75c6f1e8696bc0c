"""Running the trained network over images."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor, nn

from ltbench.data.dataset import Dataset, Images
from ltbench.errors import ContractError
from ltbench.models.fold import folded
from ltbench.models.frozen import FrozenNetwork
from ltbench.train.arithmetic import tf32
from ltbench.train.augment import normalise
from ltbench.train.frozen_feed import LARGEST_BATCH

BATCH = 64
"""Measured: larger batches are slower on a CPU, since activations fall out of its cache (128: by a
twentieth); so is 8, by a tenth."""
ACCELERATOR_BATCH = 1000


class Inference:
    """A network with its normalisation; logits are float32, without TF32, whatever it was trained in.

    Where it takes frozen features, float16, these are given to it in place of images, as they are.
    """

    def __init__(self, network: nn.Module, mean: Tensor, std: Tensor, device: torch.device) -> None:
        self.network = network.eval().to(device)
        self.device = device
        self.mean, self.std = mean.to(device), std.to(device)
        self.batch = BATCH if device.type == "cpu" else ACCELERATOR_BATCH
        if isinstance(network, FrozenNetwork):
            self.batch = LARGEST_BATCH

    def __call__(
        self,
        read: Callable[[slice], Images],
        count: int,
        progress: Callable[[int, int], None] = lambda done, total: None,
        *,
        bf16: bool = False,
    ) -> Tensor:
        """Logits ``(N, E, C)`` on the CPU of ``count`` uint8 images that ``read`` gives by slices.

        BatchNorm is folded into the convolutions: :func:`ltbench.models.fold.folded` says how exactly.

        ``bf16``: the convolutions run in bfloat16; for stored views only, where a protocol says so.
        """
        with tf32(convolutions=False):
            return self._of_all(read, count, progress, bf16)

    def _of_all(
        self,
        read: Callable[[slice], Images],
        count: int,
        progress: Callable[[int, int], None],
        bf16: bool,
    ) -> Tensor:
        network = folded(self.network.eval())  # now: whoever holds the network may have changed it
        slices = [slice(i, min(i + self.batch, count)) for i in range(0, count, self.batch)]
        batches = (torch.from_numpy(np.array(read(chosen))) for chosen in slices)
        parts = []
        for chosen, part in zip(slices, self._logits(network, batches, bf16), strict=True):
            parts.append(part)
            progress(chosen.stop, count)
        logits = torch.cat(parts)
        if not torch.isfinite(logits).all():
            raise ContractError("the trained network gives logits that are not finite")
        return logits

    def features(self, read: Callable[[slice], Images], count: int) -> Tensor:
        """Features ``(N, E, D)`` float32 on the CPU that the heads are given, of ``count`` images."""
        parts = []
        for start in range(0, count, self.batch):
            images = torch.from_numpy(np.array(read(slice(start, min(start + self.batch, count)))))
            with (
                torch.no_grad(),
                tf32(convolutions=False),
            ):  # a method may do with them what it likes
                inputs = self._inputs(images)
                parts.append(self.network.with_features(inputs)[1].cpu())  # type: ignore[operator]
        return torch.cat(parts)

    def dataset(
        self, dataset: Dataset, progress: Callable[[int, int], None] = lambda done, total: None
    ) -> Tensor:
        """Logits ``(N, E, C)`` of every image of ``dataset``, without augmentation."""
        return self(
            lambda chosen: dataset.read(np.arange(chosen.start, chosen.stop)),
            len(dataset),
            progress,
        )

    def _logits(
        self, network: nn.Module, batches: Iterable[Tensor], bf16: bool
    ) -> Iterator[Tensor]:
        """The logits of each batch, in order.

        On a CPU each thread runs batches of its own instead of sharing every layer with the others:
        the same bits, measured a fifth faster on 2 cores.
        """
        threads = torch.get_num_threads()
        if self.device.type != "cpu" or threads == 1:
            for images in batches:
                yield self._forward(network, images, bf16)
            return
        running: deque[Future[Tensor]] = deque()
        pool = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))
        try:
            for images in batches:
                running.append(pool.submit(self._forward, network, images, bf16))
                if len(running) > threads:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)
            torch.set_num_threads(threads)

    def _inputs(self, images: Tensor) -> Tensor:
        on_device = images.to(self.device)
        if images.is_floating_point():
            return on_device.float()
        return normalise(on_device, self.mean, self.std)

    def _forward(self, network: nn.Module, images: Tensor, bf16: bool) -> Tensor:
        with (
            torch.inference_mode(),
            torch.autocast(self.device.type, torch.bfloat16, enabled=bf16),
        ):
            inputs = self._inputs(images)
            logits: Tensor = network(inputs)
            return logits.float().cpu()
