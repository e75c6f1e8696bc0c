"""A method and a training small enough for a test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from ltbench import get_method
from ltbench.method import Architecture, Method, NoHyper, Phase, Reference
from ltbench.protocol.protocol import Recipe
from ltbench.train.loop import TrainingJob

COUNTS = [12, 6, 3]


class Toy(Method[NoHyper]):
    """Cross-entropy, summed over experts; tests put in what they want to see."""

    name: ClassVar = "toy"
    title: ClassVar = "Toy"
    reference: ClassVar = Reference("A", "B", "C", 2020, "https://example.org")
    stages: tuple[Phase, ...] = (Phase(),)
    request = Architecture()
    replace: Callable[..., Any] | None = None

    def architecture(self) -> Architecture:
        return self.request

    def phases(self) -> tuple[Phase, ...]:
        return self.stages

    def loss(
        self,
        logits: Tensor,
        targets: Tensor,
        *,
        progress: float,
        rng: torch.Generator | None = None,
    ) -> Tensor:
        if self.replace is not None:
            result: Tensor = self.replace(logits, targets, progress, rng)
            return result
        losses = [F.cross_entropy(logits[:, e], targets) for e in range(logits.shape[1])]
        return torch.stack(losses).sum()


@pytest.fixture
def toy() -> Toy:
    return Toy(torch.tensor(COUNTS), NoHyper())


@pytest.fixture
def make_job(tmp_path: Path) -> Callable[..., TrainingJob]:
    """A training of 21 images of 8x8 pixels; checkpoints after every epoch where it has a folder."""
    rng = torch.Generator().manual_seed(0)
    labels = torch.repeat_interleave(torch.arange(3), torch.tensor(COUNTS))
    images = torch.randint(0, 256, (len(labels), 3, 8, 8), dtype=torch.uint8, generator=rng)

    def make(method: Method[Any] | str, *, store: bool = False, **changes: Any) -> TrainingJob:
        chosen = get_method(method, COUNTS) if isinstance(method, str) else method
        settings: dict[str, Any] = {
            "epochs": 4, "batch_size": 8, "lr": 0.05, "weight_decay": 5e-4, "warmup_epochs": 1,
            "crop_padding": 1, "flip": True, "rotation": 10.0,
        }  # fmt: skip
        settings |= {k: changes.pop(k) for k in list(changes) if k in Recipe.__dataclass_fields__}
        values: dict[str, Any] = {
            "trial": "abc", "method": chosen, "recipe": Recipe(**settings), "backbone": "resnet8",
            "images": images, "labels": labels, "mean": torch.full((3,), 0.5),
            "std": torch.full((3,), 0.25), "seed": 0, "device": torch.device("cpu"),
            "folder": tmp_path / "trial" if store else None, "checkpoint_seconds": 0.0,
        }  # fmt: skip
        return TrainingJob(**{**values, **changes})

    return make
