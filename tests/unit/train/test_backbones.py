"""Training of networks for large images: precision, resumption, estimates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from ltbench.errors import InputError, InterruptedRun
from ltbench.train.infer import Inference
from ltbench.train.loop import Hooks, TrainingJob, train


def test_half_precision_trains_nearly_the_same_network(
    make_job: Callable[..., TrainingJob],
) -> None:
    rng = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (21, 3, 32, 32), dtype=torch.uint8, generator=rng)
    job = make_job("sade", backbone="resnet10", epochs=1, lr=1e-4, images=images)
    losses, logits = [], []
    for precision in ("float32", "bf16"):
        network, progress = train(replace(job, precision=precision), Hooks(), {})
        losses.append(progress.history[-1]["loss"])
        run = Inference(network, job.mean, job.std, job.device)
        images = job.images.numpy()
        logits.append(run(images.__getitem__, len(images), bf16=precision == "bf16"))
        assert logits[-1].dtype == torch.float32
        assert all(p.dtype == torch.float32 for p in network.parameters())
    assert losses[0] != losses[1]
    assert losses[1] == pytest.approx(losses[0], rel=0.05)


def test_half_precision_on_a_cpu_is_refused_where_its_gradients_are_noise(
    make_job: Callable[..., TrainingJob],
) -> None:
    for backbone in ("resnet10", "resnet8"):
        job = make_job("ce", backbone=backbone, epochs=1, precision="bf16")  # images of 8 pixels
        if backbone == "resnet8":
            train(job, Hooks(), {})
            continue
        with pytest.raises(InputError, match="bf16 cannot train on images of 8 pixels on a CPU"):
            train(job, Hooks(), {})


def test_an_interrupted_training_ends_with_the_same_weights(
    make_job: Callable[..., TrainingJob],
) -> None:
    job = make_job("ce", backbone="resnet10", epochs=2)
    whole, _ = train(job, Hooks(), {})
    stored = make_job("ce", backbone="resnet10", epochs=2, store=True)
    with pytest.raises(InterruptedRun):
        train(stored, Hooks(should_stop=lambda: True), {})
    resumed, progress = train(stored, Hooks(), {})
    assert progress.epochs_done == 2
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
