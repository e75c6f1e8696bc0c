"""A user's own clone of the official SADE code in the place of the transcription.

Its network, loss, training loader and transforms run unmodified; ``.cuda()`` becomes a no-op where
there is no GPU, and its CIFAR classes are handed arrays instead of the archive.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.published import BATCH, Images, Published
from ltbench.errors import InputError
from ltbench.method import Method


class Official(Published):
    """Times the clone in ``folder``."""

    name = "official code"

    def __init__(
        self, folder: Path, mean: list[float], std: list[float], train: Images, labels: Any
    ) -> None:
        super().__init__(mean, std)
        if not (folder / "model" / "loss.py").is_file():
            raise InputError(f"{folder} does not look like a clone of SADE-AgnosticLT")
        sys.path.insert(0, str(folder))
        if not torch.cuda.is_available():
            torch.Tensor.cuda = lambda self, *a, **k: self  # type: ignore[method-assign,assignment]
        try:
            self._models = importlib.import_module("model.model")
            self._losses = importlib.import_module("model.loss")
            self._loaders = importlib.import_module("data_loader.cifar_data_loaders")
        except ImportError as error:
            raise InputError(
                f"{folder} cannot be imported: {error}; install what its requirements name"
            ) from error
        self._counts = np.bincount(labels, minlength=100).tolist()
        self._full = (train, labels)

    def training_batches(
        self, images: Images, labels: NDArray[np.int64], workers: int | None = None
    ) -> Iterator[Any]:
        count = self.workers if workers is None else workers
        with _arrays(images, labels), _whole(self._loaders):
            loader = self._loaders.ImbalanceCIFAR100DataLoader(
                "unused", batch_size=BATCH, num_workers=count
            )
        return iter(loader)

    def network(self, ours: nn.Module) -> nn.Module:
        """The clone's own network, freshly initialised; its weights are laid out otherwise."""
        experts = len(ours.experts)
        settings = {"reduce_dimension": experts > 1, "use_norm": True, "num_experts": experts}
        return _Stacked(self._models.ResNet32Model(num_classes=100, **settings), experts)

    def train_step(
        self,
        network: nn.Module,
        optimizer: torch.optim.Optimizer,
        method: Method[Any],
        images: Tensor,
        labels: Tensor,
    ) -> float:
        optimizer.zero_grad()
        logits = network(images)
        if logits.shape[1] == 1:
            loss = self._losses.CrossEntropyLoss()(logits[:, 0], labels)
        else:
            criterion = self._losses.DiverseExpertLoss(cls_num_list=self._counts, tau=2)
            extra = {"logits": logits.transpose(0, 1)}
            loss = criterion(logits.mean(dim=1), labels, extra)
        loss.backward()
        optimizer.step()
        accuracy = (logits.mean(dim=1).argmax(dim=1) == labels).float().mean()
        return loss.item() + 0.0 * accuracy.item()


class _Stacked(nn.Module):
    """The clone's output as (B,E,C)."""

    def __init__(self, network: nn.Module, experts: int) -> None:
        super().__init__()
        self.inner, self.count = network, experts

    def forward(self, x: Tensor) -> Tensor:
        out = self.inner(x)
        logits: Tensor = out["logits"] if isinstance(out, dict) else out[:, None]
        return logits


@contextlib.contextmanager
def _arrays(images: Images, labels: NDArray[np.int64]) -> Iterator[None]:
    """torchvision's CIFAR classes open these arrays instead of an archive."""
    kind = torchvision.datasets.CIFAR10
    before = kind.__init__

    def opened(
        self: Any, root: str, train: bool = True, transform: Any = None, *a: Any, **k: Any
    ) -> None:
        self.data, self.targets = images, labels.tolist()
        self.transform, self.target_transform = transform, None

    kind.__init__ = opened  # type: ignore[method-assign]
    try:
        yield
    finally:
        kind.__init__ = before  # type: ignore[method-assign]


@contextlib.contextmanager
def _whole(loaders: Any) -> Iterator[None]:
    """The images are the long-tailed subset already: the clone must not thin them out again."""
    kind = loaders.IMBALANCECIFAR100
    before = kind.gen_imbalanced_data
    kind.gen_imbalanced_data = lambda self, counts: None
    try:
        yield
    finally:
        kind.gen_imbalanced_data = before
