"""What test-time strategies that run the network share: batch statistics, batches, two orders."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ltbench.errors import ContractError
from ltbench.strategy import Adapted, Session, UnlabelledTest


def use_batch_statistics(network: nn.Module) -> list[nn.BatchNorm2d]:
    """Makes every BatchNorm normalise with its batch alone, for good; those layers.

    Raises :class:`ContractError` for a network without BatchNorm: there is nothing to adapt.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    if not norms:
        raise ContractError("the network has no BatchNorm layer to adapt")
    for norm in norms:
        norm.train()
        norm.track_running_stats = False
        norm.running_mean = norm.running_var = norm.num_batches_tracked = None
    return norms


def split_evenly(order: Tensor, batch_size: int) -> list[Tensor]:
    """``(N,)`` indices as ceil(N / batch_size) batches that differ by one at most.

    A short last batch would be normalised with statistics of a few images.
    """
    return list(torch.tensor_split(order, -(-len(order) // batch_size)))


def adapt_in_two_orders(
    test: UnlabelledTest, open_session: Callable[[], Session], batch_size: int, rng: torch.Generator
) -> Adapted:
    """Runs a session over ``test`` in a random order, and another one in a second order.

    The first gives the scores. The share of images that the second predicts otherwise is
    ``order_disagreement`` in the diagnostics, in [0, 1].
    """
    first, second = (_run(test, open_session(), batch_size, rng) for _ in range(2))
    other = first.argmax(dim=1) != second.argmax(dim=1)
    return Adapted(
        logits=first,
        diagnostics={
            "batches": -(-len(first) // batch_size),
            "order_disagreement": other.double().mean().item(),
        },
    )


def _run(test: UnlabelledTest, session: Session, batch_size: int, rng: torch.Generator) -> Tensor:
    images = test.images
    scores: Tensor | None = None
    for chosen in split_evenly(torch.randperm(len(images), generator=rng), batch_size):
        part = images[chosen]
        batch = UnlabelledTest(test.logits[chosen], images=lambda part=part: part)  # type: ignore[misc]
        found = session.step(batch)
        if scores is None:
            scores = found.new_empty(len(images), found.shape[1])
        scores[chosen] = found
    assert scores is not None  # a test set has an image
    return scores
