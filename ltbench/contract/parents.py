"""What a method says of its parent, and what `build` and `finish` make of a network."""

from __future__ import annotations

import json

import torch

from ltbench.contract.method_case import MethodCase
from ltbench.contract.shown import IMAGE_SIZE
from ltbench.contract.unmet import Unmet, require
from ltbench.method import Parent, TrainingFeatures, overrides
from ltbench.models.assemble import assemble, build_extra
from ltbench.models.network import ExpertNetwork


def parent_can_be_trained(case: MethodCase) -> None:
    """The method that it starts from or learns from is registered; a start has the same network."""
    method = case.bare()
    asked = method.parent()
    if asked is None:
        return
    require(isinstance(asked, Parent), "parent() must return ltbench.method.Parent(...) or None")
    try:
        same = json.loads(json.dumps(dict(asked.hyper), allow_nan=False)) == dict(asked.hyper)
    except (TypeError, ValueError) as error:
        raise Unmet(f"parent: its hyper-parameters are not JSON: {error}") from None
    require(same, "parent: its hyper-parameters do not come back from JSON equal")
    require(asked.method != case.plugin.name, "parent() names the method itself")
    parent = case.parent()
    assert parent is not None
    require(
        asked.role == "teacher" or parent.architecture() == method.architecture(),
        f"it starts from {asked.method!r}, which asks for another network: {parent.architecture()}, "
        f"not {method.architecture()}",
    )


def network_stays_one(case: MethodCase) -> None:
    """What `build` and `finish` leave gives finite logits, and is made again from its weights."""
    method = case.bare()
    if not (overrides(method, "build") or overrides(method, "finish")):
        return
    one = _built(case, seed=1, finished=True)
    images = torch.randn(4, 3, IMAGE_SIZE, IMAGE_SIZE, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        logits = one.eval()(images)
        expected = (4, method.architecture().experts, len(case.counts))
        require(
            tuple(logits.shape) == expected and bool(torch.isfinite(logits).all()),
            f"with what build and finish made the network gives {tuple(logits.shape)}, or numbers that "
            f"are not finite; expected {expected}",
        )
        other = _built(case, seed=2, finished=False)
        try:
            other.load_state_dict(one.state_dict())
        except RuntimeError as error:
            raise Unmet(
                "its weights do not fit what build makes again; build must depend on counts and "
                f"hyper-parameters alone, finish set values in place: {str(error).splitlines()[-1]}"
            ) from None
        require(
            torch.equal(other.eval()(images), logits),
            "loaded from its weights the network gives other logits: build or finish left something "
            "that is no weight and no buffer of it",
        )


def _built(case: MethodCase, seed: int, *, finished: bool) -> ExpertNetwork:
    method, parent = case.build(), case.parent()
    asked = method.parent()
    starts = asked is not None and asked.role == "start" and parent is not None
    line = [parent, method] if starts and parent is not None else [method]
    rng = torch.Generator().manual_seed(seed)
    network = assemble("resnet8", len(case.counts), line, rng)
    build_extra(method, network, seed)
    if overrides(method, "finish") and finished:
        classes = torch.arange(len(case.counts)).repeat_interleave(2)
        shape = (len(classes), method.architecture().experts, network.feature_width)
        with torch.no_grad():
            text = None
            if method.needs_text:
                text = torch.randn(len(case.counts), network.feature_width, generator=rng)
            seen = TrainingFeatures(torch.rand(shape, generator=rng), classes, text)
            method.finish(network.eval(), seen)
    return network
