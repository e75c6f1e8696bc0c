"""A label distribution regressed on the mean output of a test set, learnt from simulated shifts.

The labelled hold-out is drawn again and again, with replacement, under known label distributions; a small
network learns to read the distribution from the mean of what the classifier says. Classes stand in the
order of their training counts throughout, so that their numbers have no meaning.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from ltbench.shift.profiles import exponential_counts

Array = NDArray[np.float64]


def centred(logits: Tensor) -> Tensor:
    """Logits ``(..., C)`` less their mean over classes: a constant on an image says nothing."""
    return logits - logits.mean(dim=-1, keepdim=True)


def smallest_k(logits: Tensor, labels: Tensor, weights: Tensor, tolerance: float) -> int:
    """The least k whose weighted top-k accuracy exceeds ``tolerance``, or C.

    logits ``(H, C)``; labels, weights ``(H,)``. A class of equal score stands before.
    """
    own = logits.gather(1, labels[:, None])
    place = (logits >= own).sum(dim=1)  # 1: the highest
    for k in range(1, logits.shape[1]):
        if (weights * (place <= k)).sum() > tolerance * weights.sum():
            return k
    return logits.shape[1]


def keep_top(values: Tensor, k: int) -> Tensor:
    """The k largest of each row of ``(N, C)``, 0 for the others."""
    top = values.topk(k, dim=1)
    return torch.zeros_like(values).scatter(1, top.indices, top.values)


def simulated_counts(n_max: int, classes: int, ratios: Array) -> NDArray[np.int64]:
    """Images per rank ``(2 M, C)``: of exponential profiles, most frequent first, then reversed."""
    forward = np.stack([exponential_counts(n_max, ratio, classes) for ratio in ratios])
    return np.concatenate([forward, forward[:, ::-1]])


def drawn_means(
    features: Tensor, ranks: Tensor, counts: NDArray[np.int64], source: np.random.Generator
) -> Tensor:
    """Mean features ``(M, D)`` of M sets that are drawn from the hold-out with replacement.

    features ``(H, D)``; ranks ``(H,)`` of the labels; counts ``(M, C)``, how many images of each rank.
    A rank without a hold-out image is left out of a set, its mean is over the others.
    """
    times = np.zeros((len(counts), len(features)), dtype=np.int64)
    for rank in range(counts.shape[1]):
        (own,) = np.nonzero(ranks.numpy() == rank)
        if len(own):
            times[:, own] = source.multinomial(counts[:, rank], np.full(len(own), 1 / len(own)))
    weights = torch.from_numpy(times / np.maximum(times.sum(axis=1, keepdims=True), 1))
    return (weights @ features.double()).to(features.dtype)


def regressor(inputs: int, classes: int, rng: torch.Generator) -> nn.Sequential:
    """inputs to 3 C to C, ReLU between; weights and biases uniform within 1 / sqrt(inputs of a layer)."""
    with torch.random.fork_rng(devices=[]):  # layer constructors draw from the global generator
        network = nn.Sequential(
            nn.Linear(inputs, 3 * classes), nn.ReLU(), nn.Linear(3 * classes, classes)
        )
    for layer in (network[0], network[2]):
        assert isinstance(layer, nn.Linear)
        bound = layer.in_features**-0.5
        for parameter in (layer.weight, layer.bias):
            nn.init.uniform_(parameter, -bound, bound, generator=rng)
    return network


def learn(
    network: nn.Module, means: Tensor, goals: Tensor, epochs: int, batch_size: int, lr: float
) -> float:
    """Adam on the mean KL(goal || softmax(network(mean))), batches in the order given; the last loss."""
    optimizer = torch.optim.Adam(network.parameters(), lr=lr)
    last = 0.0
    for _ in range(epochs):
        for start in range(0, len(means), batch_size):
            part = slice(start, start + batch_size)
            said = F.log_softmax(network(means[part]), dim=1)
            loss = F.kl_div(said, goals[part], reduction="batchmean")
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            last = loss.item()
    return last
