"""What feeds heads on frozen features: rows in half precision, and one of the stored copies of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ltbench.features.dataset import FeatureDataset
from ltbench.request import View
from ltbench.seeds import generator
from ltbench.shift.sampling import Indices
from ltbench.train.given import Ticket

LARGEST_BATCH = 4096
"""Of features that go through heads without training."""


@dataclass(frozen=True)
class FeatureRows:
    """The training features. rows: ``(K, N, D)`` or ``(K, N, S, D)`` of K copies, the first un-augmented, and
    S feature sets; float16, or float32 where they are not stored. text: ``(C, D)`` of the class names."""

    rows: Tensor
    text: Tensor | None = None

    @classmethod
    def of(cls, dataset: FeatureDataset, indices: Indices) -> FeatureRows:
        """The rows of ``indices`` alone are read."""
        copies = [dataset.read_copy(k, indices) for k in range(dataset.copies)]
        rows = torch.stack([torch.from_numpy(each) for each in (dataset.read(indices), *copies)])
        text = None if dataset.text is None else torch.tensor(dataset.text).float()
        return cls(rows, text)

    @property
    def clean(self) -> Tensor:
        """``(N, D)`` or ``(N, S, D)`` float32."""
        return self.rows[0].float()

    def __len__(self) -> int:
        return self.rows.shape[1]


class FeatureFeed:
    """Of each image one of its K copies, drawn for each visit; the rows lie on the device."""

    streamed = False
    image_size = 0

    def __init__(self, features: FeatureRows, seed: int, device: torch.device) -> None:
        self.rows, self.seed, self.device = features.rows.to(device), seed, device

    def tickets(
        self,
        epoch: int,
        order: Tensor,
        batches: Sequence[slice],
        views: tuple[View, ...] = ("recipe",),
        *name: str,
    ) -> Iterator[Ticket]:
        """See :class:`ltbench.train.feed.Feed`; with one copy nothing is drawn. views: one, ``recipe``."""
        assert views == ("recipe",), views  # the plan refuses others
        which = torch.zeros(len(order), dtype=torch.int64)
        if len(self.rows) > 1:
            rng = generator("augmentation", self.seed, epoch, *name)
            which = torch.randint(len(self.rows), (len(order),), generator=rng)
        which = which.to(self.device)
        for batch in batches:
            yield Ticket(order[batch], (which[batch],))

    def inputs(self, ticket: Ticket) -> Tensor:
        """``(B, D)`` or ``(B, S, D)`` float32. No synchronisation."""
        (which,) = ticket.views
        assert isinstance(which, Tensor)
        return self.rows[which, ticket.chosen].float()

    def close(self) -> None:
        """Nothing runs beside the loop."""
