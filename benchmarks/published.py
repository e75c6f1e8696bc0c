"""The published procedure, transcribed: what the SADE repository does, in our words.

PIL transforms image by image in a DataLoader, float32 NCHW eager training that reads the loss after
every step, the network run again for every test distribution, a confusion matrix filled in a Python
loop, and test-time steps whose gradients pass through the whole network. The network is ours in NCHW
layout with the published forward passes: the same function, so that outcomes can be compared. Not
transcribed, in favour of the published code: opening and checking the CIFAR archive two to four
times for every distribution, and the validation after every training epoch.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from ltbench.method import Method
from ltbench.models.resnet import BasicBlock, ExpertResNet

BATCH = 128
Images = NDArray[np.uint8]


class Pictures(Dataset[Any]):
    """(N,32,32,3) uint8 as PIL images, through a transform, one at a time."""

    def __init__(self, images: Images, labels: NDArray[np.int64], transform: Any) -> None:
        self.images, self.labels, self.transform = images, labels.tolist(), transform

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        return self.transform(Image.fromarray(self.images[index])), self.labels[index]


class Twice:
    """Two independent views of an image."""

    def __init__(self, transform: Any) -> None:
        self.transform = transform

    def __call__(self, image: Image.Image) -> list[Tensor]:
        return [self.transform(image), self.transform(image)]


class Blur:
    def __call__(self, image: Image.Image) -> Image.Image:
        return image.filter(ImageFilter.GaussianBlur(radius=random.uniform(0.1, 2.0)))


class PublishedBlock(BasicBlock):
    """Every activation is a new tensor, the sum with the shortcut alone is in place."""

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += self.shortcut(x)
        return F.relu(out)


class PublishedResNet(ExpertResNet):
    def forward(self, x: Tensor) -> Tensor:
        shared = self.stage1(F.relu(self.bn(self.conv(x))))
        return torch.stack([expert(shared) for expert in self.experts], dim=1)


class Published:
    """``mean`` and ``std``: (3,) in [0, 1]. ``workers``: of every DataLoader, 2 as published."""

    name = "published procedure (transcribed)"

    def __init__(self, mean: list[float], std: list[float], workers: int = 2) -> None:
        self.workers = workers
        last = [transforms.ToTensor(), transforms.Normalize(mean, std)]
        self.train_transform = transforms.Compose(
            [
                transforms.RandomCrop(32, padding=4),
                transforms.RandomHorizontalFlip(),
                transforms.RandomRotation(15),
                *last,
            ]
        )
        self.clean_transform = transforms.Compose(last)
        self.view_transform = transforms.Compose(
            [
                transforms.RandomCrop(32, padding=4),
                transforms.RandomApply([transforms.ColorJitter(0.4, 0.4, 0.4, 0.1)], p=0.8),
                transforms.RandomGrayscale(p=0.2),
                transforms.RandomApply([Blur()], p=0.2),
                transforms.RandomHorizontalFlip(),
                *last,
            ]
        )

    def training_batches(
        self, images: Images, labels: NDArray[np.int64], workers: int | None = None
    ) -> Iterator[Any]:
        data = Pictures(images, labels, self.train_transform)
        count = self.workers if workers is None else workers
        return iter(DataLoader(data, batch_size=BATCH, shuffle=True, num_workers=count))

    def network(self, ours: nn.Module) -> nn.Module:
        """The same weights in NCHW layout; (B,3,32,32) -> (B,E,C)."""
        for module in ours.modules():
            if type(module) is ExpertResNet:
                module.__class__ = PublishedResNet
            elif type(module) is BasicBlock:
                module.__class__ = PublishedBlock
        return ours.to(memory_format=torch.contiguous_format)

    def train_step(
        self,
        network: nn.Module,
        optimizer: torch.optim.Optimizer,
        method: Method[Any],
        images: Tensor,
        labels: Tensor,
    ) -> float:
        """One step; the loss is read and the accuracy counted, as the published trainer does."""
        optimizer.zero_grad()
        logits = network(images)
        loss = method.loss(logits, labels, progress=0.0)
        loss.backward()
        optimizer.step()
        accuracy = (logits.mean(dim=1).argmax(dim=1) == labels).float().mean()
        return loss.item() + 0.0 * accuracy.item()

    def validate(
        self, network: nn.Module, images: Images, labels: NDArray[np.int64], weights: Tensor
    ) -> float:
        """Top-1 in per cent of the weighted experts on one test set; the network runs over it."""
        network.eval()
        loader = DataLoader(
            Pictures(images, labels, self.clean_transform),
            batch_size=BATCH,
            num_workers=self.workers,
        )
        confusion = torch.zeros(100, 100)
        with torch.no_grad():
            for batch, targets in loader:
                scores = torch.einsum("e,nec->nc", weights, network(batch))
                for t, p in zip(targets, scores.argmax(dim=1), strict=True):
                    confusion[t.long(), p.long()] += 1
        return 100.0 * (confusion.diag().sum() / confusion.sum()).item()

    def view_batches(self, images: Images, labels: NDArray[np.int64]) -> Iterator[Any]:
        data = Pictures(images, labels, Twice(self.view_transform))
        return iter(DataLoader(data, batch_size=BATCH, shuffle=True, num_workers=self.workers))

    def adapt_step(
        self,
        network: nn.Module,
        scores: Tensor,
        optimizer: torch.optim.Optimizer,
        first: Tensor,
        second: Tensor,
    ) -> None:
        """One step of the expert weights; nothing is frozen, so the backward pass runs through all."""
        network.eval()
        weights = F.softmax(scores, dim=0)
        one = torch.einsum("e,nec->nc", weights, network(first))
        two = torch.einsum("e,nec->nc", weights, network(second))
        similarity = F.cosine_similarity(F.softmax(one, dim=1), F.softmax(two, dim=1), dim=1)
        optimizer.zero_grad()
        (-similarity.mean()).backward()
        optimizer.step()
