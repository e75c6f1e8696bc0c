"""Logits of test images under the training augmentation: a flaw of published code, on request only.

The official SADE evaluation without adaptation builds its forward and backward test sets with the
training transform. The mode ``augmented`` reproduces that, to measure what it changes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ltbench.data.dataset import Dataset, Images
from ltbench.protocol.protocol import Recipe
from ltbench.seeds import generator
from ltbench.train.augment import Augmenter
from ltbench.train.infer import Inference


def augmented_logits(inference: Inference, test: Dataset, recipe: Recipe, seed: int) -> Tensor:
    """``(N, E, C)``: every test image once, cropped, flipped and rotated as in training."""
    augmenter = Augmenter(recipe, test.image_size, torch.device("cpu"))
    draws = augmenter.draw(len(test), generator("augmented test", seed))

    def read(chosen: slice) -> Images:
        images = torch.from_numpy(test.read(range(chosen.start, chosen.stop)))
        augmented: Images = augmenter.apply(images, draws[chosen]).numpy()
        return augmented

    return inference(read, len(test))
