"""What the loss of every method must keep: finite, for every expert, without state or side effects."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ltbench.contract.memory import difference, global_randomness, learnable, memory
from ltbench.contract.method_case import (
    COUNTS,
    PROGRESS,
    MethodCase,
    differ,
    loss_of,
    loss_on,
    seeded,
)
from ltbench.contract.shown import phase_at, shown
from ltbench.contract.unmet import require
from ltbench.method import Method, Seen, overrides


def loss_is_a_finite_scalar(case: MethodCase) -> None:
    """The loss is one finite float32 number at any time of training."""
    logits, targets = case.example()
    method = case.build()
    for progress in PROGRESS:
        loss = loss_of(method, logits, targets, progress)
        require(loss.dtype == torch.float32, f"loss is {loss.dtype}; it must stay torch.float32")
        require(torch.isfinite(loss), f"loss is {loss.item()} at progress {progress}")


def loss_teaches_every_expert(case: MethodCase) -> None:
    """The gradient of the loss is finite and reaches every expert."""
    logits, targets = case.example()
    method = case.build()
    for progress in PROGRESS:
        leaf = logits.clone().requires_grad_()
        loss = loss_of(method, leaf, targets, progress)
        require(loss.requires_grad, "the loss does not depend on the logits by torch operations")
        (slope,) = torch.autograd.grad(loss, leaf)
        require(torch.isfinite(slope).all(), f"its gradient is not finite at progress {progress}")
        idle = (slope.abs().sum(dim=(0, 2)) == 0).nonzero().flatten().tolist()
        require(
            not idle,
            f"experts {idle} get no gradient at progress {progress}: logits are (B, E, C), and "
            "each of the E experts must learn",
        )


def loss_survives_extreme_logits(case: MethodCase) -> None:
    """Loss and gradient are finite for zero and for huge logits, and for a batch of one image."""
    logits, _ = case.example(batch=1)
    method = case.build()
    for scale in (0.0, 1e3):
        for target in range(len(case.counts)):
            leaf = (logits * scale).requires_grad_()
            loss = loss_of(method, leaf, torch.tensor([target]), 0.9)
            require(
                torch.isfinite(loss),
                f"loss is {loss.item()} for one image with logits up to "
                f"{leaf.abs().max():g}; use log_softmax, not log(softmax)",
            )
            (slope,) = torch.autograd.grad(loss, leaf)
            require(
                torch.isfinite(slope).all(),
                "the gradient of the loss is not finite for one image with logits up to "
                f"{leaf.abs().max():g}; use log_softmax, not log(softmax)",
            )


def mean_over_images_is_true(case: MethodCase) -> None:
    """Where ``mean_over_images`` is declared, the loss is the mean of what each image gives alone."""
    method = case.build()
    if not method.mean_over_images:
        return
    logits, targets = case.example()
    for progress in PROGRESS:
        whole = loss_of(method, logits, targets, progress)
        each = [
            loss_of(method, logits[i : i + 1], targets[i : i + 1], progress)
            for i in range(len(targets))
        ]
        mean = torch.stack(each).mean()
        require(
            not differ(whole, mean),
            f"mean_over_images is declared, and the loss is {whole:g} of a batch, {mean:g} as the mean of "
            f"its images one by one, at progress {progress}; declare it only where they are equal",
        )


def loss_has_no_side_effects(case: MethodCase) -> None:
    """The loss changes none of its inputs and gives the same twice with the same generator.

    What it keeps for later is the matter of :func:`keeps_no_state`.
    """
    logits, targets = case.example()
    before, counts = (logits.clone(), targets.clone()), torch.tensor(case.counts)
    method = case.build()
    for progress in PROGRESS:
        first = loss_of(method, logits, targets, progress)
        same = torch.equal(logits, before[0]) and torch.equal(targets, before[1])
        require(same, "the loss writes into the logits or targets it is given")
        require(torch.equal(method.counts, counts), "the loss writes into self.counts")
        for again in (method, case.build()):
            require(
                torch.equal(first, loss_of(again, logits, targets, progress)),
                "the loss differs at a second call with equal inputs: it keeps a state, or draws "
                "from another generator than rng",
            )


def loss_stage_tells_when_the_loss_changes(case: MethodCase) -> None:
    """Where `loss_stage` is the same for two values of progress, so is the loss."""
    if case.plugin.cls.loss_stage is Method.loss_stage:  # never the same, hence always right
        return
    method, example = case.build(), case.example()
    by_stage: dict[object, float] = {}
    made: dict[tuple[str, int], tuple[Seen, Tensor]] = {}
    # Counts move no stage: every epoch of a long recipe is tried on one list, some on the others.
    steps = 200 if case.counts == COUNTS["ten"] else 25
    for progress in torch.linspace(0, 0.995, steps).tolist():
        phase, rng = phase_at(method, progress), seeded()
        key = phase.name, len(phase.views)
        if key not in made:  # what is drawn and mixed at one progress is the same at all of a phase
            seen = shown(method, *example, progress, rng, draw_at=0.0)
            made[key] = seen, rng.get_state()
        seen, state = made[key]
        rng.set_state(state)
        value = loss_on(method, replace(seen, progress=progress, rng=rng)).item()
        stage = method.loss_stage(progress)
        require(
            by_stage.setdefault(stage, value) == value,
            f"the loss changes at progress {progress:.3f} and loss_stage stays {stage!r}; a recorded "
            "training step would not notice (leave loss_stage out where in doubt)",
        )


def keeps_no_state(case: MethodCase) -> None:
    """Nothing is remembered from call to call: a resumed run starts with a method that has seen nothing.

    What a call leaves behind may be a memo, made once or from the call's own arguments.
    """
    final = case.example(batch=6, seed=9)
    used = case.build()
    for i, progress in enumerate(PROGRESS):
        fresh = case.build()
        first = _outputs(fresh, *final, progress)
        held = memory(fresh)
        for seed, earlier in enumerate(PROGRESS, i * len(PROGRESS)):
            _outputs(used, *case.example(batch=5, seed=seed), earlier)
        again = _outputs(used, *final, progress)
        place = difference(held, memory(used))
        told = f"{place} differs" if place else "loss, its gradient or predict differs"
        require(
            place is None and all(map(torch.equal, first, again)),
            f"{told} after other batches: no checkpoint holds what a method remembers, so a resumed "
            "run would give other numbers; use arguments, counts and hyper-parameters only",
        )


def _outputs(
    method: Method[Any], logits: Tensor, targets: Tensor, progress: float
) -> tuple[Tensor, ...]:
    """Loss, its gradient and the prediction."""
    leaf = logits.clone().requires_grad_()
    loss = loss_of(method, leaf, targets, progress)
    slopes = torch.autograd.grad(loss, leaf) if loss.requires_grad else ()
    return (loss.detach(), *slopes, method.predict(logits).detach())


def has_nothing_of_its_own_to_train(case: MethodCase) -> None:
    """It holds no weights: what learns is the network that `architecture` asks for."""
    method = case.build()
    for when in ("before", "after"):  # the loss may make one at its first call
        place = learnable(method)
        require(
            place is None,
            f"{place} is a learnable parameter, which no optimiser trains and no checkpoint holds; "
            "make it a number, for example a hyper-parameter, or drop requires_grad",
        )
        if when == "before":
            loss_of(method, *case.example())


def loss_leaves_the_global_generator_alone(case: MethodCase) -> None:
    """The loss draws random numbers from `rng` only."""
    state, method = global_randomness(), case.build()
    for progress in PROGRESS:
        loss_of(method, *case.example(), progress)
    method.predict(case.example()[0])
    require(
        global_randomness() == state,
        "it draws from a global generator (torch, numpy or random); use rng, for example "
        "torch.rand(n, generator=rng)",
    )


def loss_stays_on_the_device(case: MethodCase) -> None:
    """What the loss makes itself is on the device of the logits, so that it trains on a GPU, too.

    Tried on a device that computes nothing; what cannot run there is not blamed.
    """
    if overrides(case.bare(), "build") or overrides(case.bare(), "parent"):
        return  # weights would have to be there, too
    logits, targets = (each.to("meta") for each in case.example())
    try:
        hyper = case.plugin.cls.hyper_type.from_mapping(case.hyper, case.plugin.name)
        method = case.plugin.cls(torch.tensor(case.counts, device="meta"), hyper)
        loss_of(method, logits, targets, 0.9)
    except Exception as error:  # values are asked for, or a kernel is missing there
        require(
            "device" not in str(error) or "meta" not in str(error) or "cpu" not in str(error),
            "it mixes tensors of the CPU with those of another device; write "
            "torch.tensor(..., device=logits.device), or .to(logits.device) after drawing from rng",
        )
