"""What every method must keep."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ltbench.contract.carried_prior import (
    bias_is_that_of_the_loss,
    posterior_is_that_of_the_loss,
)
from ltbench.contract.losses import (
    has_nothing_of_its_own_to_train,
    keeps_no_state,
    loss_has_no_side_effects,
    loss_is_a_finite_scalar,
    loss_leaves_the_global_generator_alone,
    loss_stage_tells_when_the_loss_changes,
    loss_stays_on_the_device,
    loss_survives_extreme_logits,
    loss_teaches_every_expert,
    mean_over_images_is_true,
)
from ltbench.contract.method_case import (
    PROGRESS,
    MethodCase,
    differ,
    expected_loss,
    loss_of,
    losses_differ,
    seeded,
)
from ltbench.contract.parents import network_stays_one, parent_can_be_trained
from ltbench.contract.shown import rename_extra
from ltbench.contract.steps import (
    draw_gives_tensors,
    every_part_of_the_loss_is_finite,
    mix_gives_images,
)
from ltbench.contract.unmet import Property, Unmet, require
from ltbench.method import Architecture, Method, Phase


def training_identity_can_be_trained(case: MethodCase) -> None:
    """The method that it says does its training is registered and trains itself."""
    name, hyper = case.bare().training_identity()
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
        trainer.architecture() == case.bare().architecture(),
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
    request, phases = case.bare().architecture(), case.bare().phases()
    require(
        isinstance(request, Architecture), "architecture() must return ltbench.Architecture(...)"
    )
    require(
        (phases or case.trains_nothing()) and all(isinstance(phase, Phase) for phase in phases),
        "phases() must return ltbench.Phase objects, at least one",
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
    method, example = case.build(), case.example(batch=12)
    losses = [expected_loss(method, *example, progress) for progress in PROGRESS]
    numberings = [torch.arange(classes).flip(0)]
    if not any(error for _, error in losses):  # one is enough where each takes many samples
        numberings.append(torch.randperm(classes, generator=seeded()))
    for new in numberings:
        _same_under_new_names(case, method, losses, new)


def _same_under_new_names(
    case: MethodCase, method: Method[Any], losses: Sequence[tuple[float, float]], new: Tensor
) -> None:
    """Class c is called new[c]; ``losses`` are those of ``method`` at each of ``PROGRESS``."""
    logits, targets = case.example(batch=12)
    old = torch.argsort(new)
    renamed = case.build([case.counts[c] for c in old.tolist()])
    rename_extra(method, renamed, old)
    way_out = "; set uses_class_order = True where the numbers of classes have a meaning"
    for progress, one in zip(PROGRESS, losses, strict=True):
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
    method = case.bare()
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
    Property(parent_can_be_trained),
    Property(network_stays_one),
    Property(a_post_hoc_method_has_the_loss_of_its_trainer),
    Property(loss_teaches_every_expert),
    Property(loss_survives_extreme_logits),
    Property(loss_stage_tells_when_the_loss_changes),
    Property(mean_over_images_is_true),
    Property(loss_stays_on_the_device, advice=True),
    Property(image_order_does_not_matter, advice=True),
    Property(class_names_do_not_matter),
    Property(bias_has_one_row_per_expert),
    Property(bias_is_that_of_the_loss),
    Property(posterior_is_that_of_the_loss),
    Property(draw_gives_tensors),
    Property(mix_gives_images),
    Property(every_part_of_the_loss_is_finite),
)
