"""Logits of the stored pairs of augmented views, made on demand and cached."""

from __future__ import annotations

from collections.abc import Callable

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ltbench.data.cache import cache_root
from ltbench.data.dataset import Dataset
from ltbench.evaluate.view_images import VIEWS_VERSION, view_pair
from ltbench.evaluate.view_processes import render_missing
from ltbench.files import write_atomically
from ltbench.protocol.protocol import ViewsConfig
from ltbench.train.infer import Inference
from ltbench.trial.trial import content_hash

Report = Callable[[str, int, int], None]


class ViewLogits:
    """``(2, N, E, C)`` logits of pair k, from memory, the cache or the network, in this order.

    The cache is keyed by the weights themselves (``digest``: SHA-256 of their file), so that a trial
    trained again elsewhere under the same hash never meets another network's logits. ``inference``
    is called only where the network has to run.
    """

    def __init__(
        self,
        inference: Callable[[], Inference],
        digest: str,
        test: Dataset,
        views: ViewsConfig,
        report: Report,
    ) -> None:
        self._inference, self._test, self._views = inference, test, views
        self._report = report
        key = content_hash([digest, test.fingerprint, views.logits_identity(), VIEWS_VERSION])
        self._folder = cache_root() / "view-logits" / key
        self._pairs: dict[int, Tensor] = {}

    def __call__(self, k: int) -> Tensor:
        if k not in self._pairs:
            self._pairs[k] = self._load(k)
        return self._pairs[k]

    def _load(self, k: int) -> Tensor:
        path = self._folder / f"pair{k}.safetensors"
        try:
            return load_file(path)["logits"]
        except (OSError, SafetensorError, KeyError):
            pass  # not there yet, or damaged: made again below
        inference = self._inference()  # before images are made: there may be no network
        render_missing(
            self._test,
            self._views,
            torch.get_num_threads(),
            progress=lambda i, n: self._report("view images", i, n),
        )
        images = view_pair(
            self._test, self._views, k, progress=lambda i, n: self._report("view images", i, n)
        )
        sides = [
            inference(
                side.__getitem__,
                len(self._test),
                lambda i, n: self._report("view logits", i, n),
                bf16=self._views.precision == "bf16",
            )
            for side in images
        ]
        logits = torch.stack(sides)
        write_atomically(path, lambda temporary: save_file({"logits": logits}, temporary))
        return logits
