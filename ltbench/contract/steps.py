"""What the hooks of a training step must keep: `draw`, `mix` and the loss on what they make."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ltbench.contract.memory import global_randomness
from ltbench.contract.method_case import PROGRESS, MethodCase, loss_of, seeded
from ltbench.contract.shown import IMAGE_SIZE, phase_at, prepare, shown
from ltbench.contract.unmet import require
from ltbench.method import Images, overrides
from ltbench.models.training_cost import parts_of_a_step


def draw_gives_tensors(case: MethodCase) -> None:
    """`draw` returns a tuple of tensors that follow from `rng`; their shapes follow from the batch."""
    if not overrides(case.bare(), "draw"):
        return
    state, shapes = global_randomness(), set()
    for progress in PROGRESS:
        one, other = (case.build().draw(6, progress=progress, rng=seeded()) for _ in range(2))
        require(
            isinstance(one, tuple) and all(isinstance(each, Tensor) for each in one),
            f"draw returned {type(one).__name__}; it must return a tuple of tensors",
        )
        require(
            len(one) == len(other) and all(map(torch.equal, one, other)),
            "draw gives other numbers from an equal rng",
        )
        require(all(each.device.type == "cpu" for each in one), "draw must draw on the CPU")
        shapes.add(tuple((tuple(each.shape), each.dtype) for each in one))
    require(len(shapes) == 1, "number, shapes or types of what draw returns depend on progress")
    require(global_randomness() == state, "draw uses a global generator; draw with generator=rng")


def every_part_of_the_loss_is_finite(case: MethodCase) -> None:
    """`advance` descends, and each part of the loss that it asks for is finite, and so is its gradient."""
    if not overrides(case.bare(), "advance") or case.trains_nothing():
        return
    method = case.build()
    parts = parts_of_a_step(method)
    require(parts, "advance never calls descend, so that nothing is learned")
    for part in dict.fromkeys(parts):
        for progress in PROGRESS:
            logits, targets = case.example()
            leaf = logits.requires_grad_()
            loss = loss_of(method, leaf, targets, progress, part=part)
            name = f"part {part!r} of the loss" if part else "the loss"
            require(loss.requires_grad, f"{name} does not depend on the logits by torch operations")
            (slope,) = torch.autograd.grad(loss, leaf)
            require(
                torch.isfinite(loss) and torch.isfinite(slope).all(),
                f"{name} or its gradient is not finite at progress {progress}",
            )


def mix_gives_images(case: MethodCase) -> None:
    """`mix` returns pixels of the same shape, and targets on which the loss is finite and teaches."""
    if not overrides(case.bare(), "mix"):
        return
    method = case.build()
    prepare(method)
    classes, batch = len(case.counts), 8
    for progress in PROGRESS:
        views = len(phase_at(method, progress).views)
        draws = method.draw(batch, progress=progress, rng=seeded())
        first, second = (_images(batch, views if v == 0 else 1, classes, v) for v in (0, 1))
        if phase_at(method, progress).second is None:
            second = first
        before = first.pixels.clone(), first.targets.clone()
        state = global_randomness()
        mixed = method.mix(first, second, draws)
        require(global_randomness() == state, "mix uses a global generator; draw in draw")
        require(isinstance(mixed, Images), f"mix returned {type(mixed).__name__}, not Images")
        require(
            torch.equal(first.pixels, before[0]) and torch.equal(first.targets, before[1]),
            "mix writes into the images it is given",
        )
        kept = len(mixed.pixels) in range(batch, len(first.pixels) + 1, batch)
        require(
            kept
            and mixed.pixels.shape[1:] == first.pixels.shape[1:]
            and mixed.pixels.dtype == torch.float32,
            f"mix returned pixels {tuple(mixed.pixels.shape)} {mixed.pixels.dtype}; expected "
            f"{tuple(first.pixels.shape)} torch.float32, or the first views of all {batch} images",
        )
        _check_targets(mixed.targets, batch, classes)
        logits = case.example(batch)[0].requires_grad_()
        seen = shown(method, logits, first.targets, progress, seeded())
        loss = method.objective(
            replace(seen, targets=mixed.targets, draws=draws, notes=mixed.notes)
        )
        (slope,) = torch.autograd.grad(loss, logits)
        require(
            torch.isfinite(loss) and torch.isfinite(slope).all(),
            "loss or gradient on the targets that mix makes is not finite",
        )
        require((slope.abs().sum((0, 2)) > 0).all(), "on what mix makes an expert gets no gradient")


def _check_targets(targets: Tensor, batch: int, classes: int) -> None:
    if targets.dtype == torch.int64:
        require(tuple(targets.shape) == (batch,), f"mix returned targets {tuple(targets.shape)}")
        return
    require(
        tuple(targets.shape) == (batch, classes)
        and bool((targets >= 0).all())
        and torch.allclose(targets.sum(1), torch.ones(batch), atol=1e-5),
        f"mix returned targets {tuple(targets.shape)} {targets.dtype}; expected ({batch},) int64 or "
        f"({batch}, {classes}) float32 rows that sum to 1",
    )


def _images(batch: int, views: int, classes: int, stream: int) -> Images:
    rng = torch.Generator().manual_seed(stream)
    pixels = torch.randn(batch * views, 3, IMAGE_SIZE, IMAGE_SIZE, generator=rng)
    return Images(pixels, (torch.arange(batch) + stream) % classes)
