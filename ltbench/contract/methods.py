"""What every method must keep."""

from __future__ import annotations

import json
from typing import Any

import torch
from torch import Tensor

from ltbench.contract.memory import difference, global_randomness, learnable, memory
from ltbench.contract.method_case import (
    PROGRESS,
    MethodCase,
    differ,
    expected_loss,
    loss_of,
    losses_differ,
    seeded,
)
from ltbench.contract.unmet import Property, Unmet, require
from ltbench.method import Architecture, Method, Phase


def training_identity_can_be_trained(case: MethodCase) -> None:
    """The method that it says does its training is registered and trains itself."""
    name, hyper = case.build().training_identity()
    try:
        same = json.loads(json.dumps(dict(hyper), allow_nan=False)) == dict(hyper)
    except (TypeError, ValueError) as error:
        raise Unmet(f"training_identity: its hyper-parameters are not JSON: {error}") from None
    require(same, "training_identity: its hyper-parameters do not come back from JSON equal")
    trainer = case.trainer()
    require(
        trainer.training_identity()[0] == name,
        f"training_identity names {name!r}, which names yet another method",
    )
    require(
        trainer.architecture() == case.build().architecture(),
        f"it asks for another network than {name!r}, which does its training",
    )


def a_post_hoc_method_has_the_loss_of_its_trainer(case: MethodCase) -> None:
    """Where another method does the training, `loss` is that method's."""
    if case.trains_itself():
        return
    logits, targets = case.example()
    own, theirs = (loss_of(m, logits, targets) for m in (case.build(), case.trainer()))
    require(torch.equal(own, theirs), f"its loss is {own:g}, that of its trainer is {theirs:g}")


def architecture_and_phases(case: MethodCase) -> None:
    """`architecture` asks for a network, `phases` for at least one phase."""
    request, phases = case.build().architecture(), case.build().phases()
    require(
        isinstance(request, Architecture), "architecture() must return ltbench.Architecture(...)"
    )
    require(
        phases and all(isinstance(phase, Phase) for phase in phases),
        "phases() must return ltbench.Phase objects, at least one",
    )


def loss_is_a_finite_scalar(case: MethodCase) -> None:
    """The loss is one finite float32 number at any time of training."""
    logits, targets = case.example()
    for progress in PROGRESS:
        loss = loss_of(case.build(), logits, targets, progress)
        require(loss.dtype == torch.float32, f"loss is {loss.dtype}; it must stay torch.float32")
        require(torch.isfinite(loss), f"loss is {loss.item()} at progress {progress}")


def loss_teaches_every_expert(case: MethodCase) -> None:
    """The gradient of the loss is finite and reaches every expert."""
    logits, targets = case.example()
    for progress in PROGRESS:
        leaf = logits.clone().requires_grad_()
        loss = loss_of(case.build(), leaf, targets, progress)
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
    for scale in (0.0, 1e3):
        for target in range(len(case.counts)):
            leaf = (logits * scale).requires_grad_()
            loss = loss_of(case.build(), leaf, torch.tensor([target]), 0.9)
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
    for progress in torch.linspace(0, 0.995, 200).tolist():
        value = loss_of(method, *example, progress).item()
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
    for progress in PROGRESS:
        fresh, used = case.build(), case.build()
        first = _outputs(fresh, *final, progress)
        held = memory(fresh)
        for seed, earlier in enumerate((*PROGRESS, *PROGRESS)):
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
    state = global_randomness()
    for progress in PROGRESS:
        loss_of(case.build(), *case.example(), progress)
    case.build().predict(case.example()[0])
    require(
        global_randomness() == state,
        "it draws from a global generator (torch, numpy or random); use rng, for example "
        "torch.rand(n, generator=rng)",
    )


def loss_stays_on_the_device(case: MethodCase) -> None:
    """What the loss makes itself is on the device of the logits, so that it trains on a GPU, too.

    Tried on a device that computes nothing; what cannot run there is not blamed.
    """
    logits, targets = (each.to("meta") for each in case.example())
    try:
        hyper = case.plugin.cls.hyper_type.from_mapping(case.hyper, case.plugin.name)
        method = case.plugin.cls(torch.tensor(case.counts, device="meta"), hyper)
        method.loss(logits, targets, progress=0.9, rng=seeded())
    except Exception as error:  # values are asked for, or a kernel is missing there
        require(
            "device" not in str(error) or "meta" not in str(error) or "cpu" not in str(error),
            "it mixes tensors of the CPU with those of another device; write "
            "torch.tensor(..., device=logits.device), or .to(logits.device) after drawing from rng",
        )


def image_order_does_not_matter(case: MethodCase) -> None:
    """The order of the images in a batch does not change the loss."""
    logits, targets = case.example()
    order = torch.randperm(len(targets), generator=seeded())
    one = expected_loss(case.build(), logits, targets, 0.9)
    other = expected_loss(case.build(), logits[order], targets[order], 0.9)
    require(not losses_differ(one, other), f"it is {one[0]:g}, and {other[0]:g} in another order")


def class_names_do_not_matter(case: MethodCase) -> None:
    """Renumbering the classes changes neither loss nor prediction nor bias.

    On distinct counts only: between classes of equal count a rank is broken by the class index. A
    method for which numbers have a meaning declares ``uses_class_order``.
    """
    if case.plugin.cls.uses_class_order or len(set(case.counts)) < len(case.counts):
        return
    classes = len(case.counts)
    for new in (torch.randperm(classes, generator=seeded()), torch.arange(classes).flip(0)):
        _same_under_new_names(case, new)


def _same_under_new_names(case: MethodCase, new: Tensor) -> None:
    """Class c is called new[c]."""
    logits, targets = case.example(batch=12)
    old = torch.argsort(new)
    renamed = case.build([case.counts[c] for c in old.tolist()])
    method = case.build()
    way_out = "; set uses_class_order = True where the numbers of classes have a meaning"
    for progress in PROGRESS:
        one = expected_loss(method, logits, targets, progress)
        other = expected_loss(renamed, logits[..., old], new[targets], progress)
        require(
            not losses_differ(one, other),
            f"the loss is {one[0]:g}, and {other[0]:g} renumbered{way_out}",
        )
    require(
        not differ(renamed.predict(logits[..., old]), method.predict(logits)[:, old]),
        f"predict depends on the number of a class{way_out}",
    )
    bias, other_bias = method.bias(), renamed.bias()
    if bias is not None and other_bias is not None:
        require(
            not differ(other_bias, bias[:, old]), f"bias depends on the number of a class{way_out}"
        )


def predict_scores_every_class(case: MethodCase) -> None:
    """`predict` gives one finite float32 score per image and class, image by image."""
    logits, _ = case.example()
    before, method = logits.clone(), case.build()
    scores = method.predict(logits)
    expected = (len(logits), len(case.counts))
    require(
        tuple(scores.shape) == expected,
        f"predict returned shape {tuple(scores.shape)}; from (B, E, C) it must make (B, C), here "
        f"{expected}",
    )
    require(scores.dtype == torch.float32, f"predict returned {scores.dtype}, not torch.float32")
    require(torch.isfinite(scores).all(), "predict returned NaN or infinite scores")
    require(torch.equal(logits, before), "predict writes into the logits it is given")
    require(
        not differ(method.predict(logits[2:3]), scores[2:3]),
        "the scores of an image depend on the other images of the batch",
    )


def bias_has_one_row_per_expert(case: MethodCase) -> None:
    """`bias` and `reference_bias` are None or finite float32 numbers (E, C)."""
    method = case.build()
    shape = (method.architecture().experts, len(case.counts))
    for name in ("bias", "reference_bias"):
        bias = getattr(method, name)()
        if bias is None:
            continue
        require(
            tuple(bias.shape) == shape,
            f"{name} returned shape {tuple(bias.shape)}; expected (E, C) = {shape}",
        )
        require(bias.dtype == torch.float32, f"{name} is {bias.dtype}, not torch.float32")
        require(torch.isfinite(bias).all(), f"{name} has NaN or infinite values")


def bias_is_that_of_the_loss(case: MethodCase) -> None:
    """A stated bias is the one in the loss: cross-entropy on z_e + bias[e], times any constant.

    At z_e = -b_e every class has the same chance there, and the slope of the loss is known: 1/C
    minus the target, over the batch.
    """
    method = case.build()
    bias = method.bias()
    if bias is None:
        return
    classes = len(case.counts)
    logits = (-bias).expand(classes, *bias.shape).clone().requires_grad_()
    loss = loss_of(method, logits, torch.arange(classes), PROGRESS[-1])
    (slope,) = torch.autograd.grad(loss, logits)
    expected = (1 / classes - torch.eye(classes)) / classes
    for e in range(slope.shape[1]):
        scale = (slope[:, e] * expected).sum() / expected.square().sum()
        require(
            scale > 0 and not differ(slope[:, e], scale * expected, atol=1e-6),
            f"the loss of expert {e} is not cross-entropy on z + bias[{e}]; return None where no "
            "closed form exists",
        )


METHOD_PROPERTIES: tuple[Property[MethodCase], ...] = (
    Property(architecture_and_phases),
    Property(loss_is_a_finite_scalar),
    Property(predict_scores_every_class),
    # First what makes a loss differ from itself: whatever compares two calls would blame another.
    Property(has_nothing_of_its_own_to_train),
    Property(loss_leaves_the_global_generator_alone),
    Property(loss_has_no_side_effects),
    Property(keeps_no_state),
    Property(training_identity_can_be_trained),
    Property(a_post_hoc_method_has_the_loss_of_its_trainer),
    Property(loss_teaches_every_expert),
    Property(loss_survives_extreme_logits),
    Property(loss_stage_tells_when_the_loss_changes),
    Property(loss_stays_on_the_device, advice=True),
    Property(image_order_does_not_matter, advice=True),
    Property(class_names_do_not_matter),
    Property(bias_has_one_row_per_expert),
    Property(bias_is_that_of_the_loss),
)
