"""What a plan has to know of frozen features: how long they are, and which rows cannot stand on them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ltbench.data.dataset import Splits
from ltbench.errors import InputError
from ltbench.features.dataset import FeatureDataset
from ltbench.features.views import views_identity
from ltbench.method import Method
from ltbench.protocol.protocol import FEATURES, Protocol, TrainConfig
from ltbench.resolve.rows import ResolvedRow


def with_dim(protocol: Protocol, splits: Splits | None) -> Protocol:
    """``protocol`` with the length of its features where it does not state it. No identity changes."""
    if protocol.data.source != FEATURES or splits is None:
        return protocol
    assert isinstance(splits.train, FeatureDataset)
    return replace(protocol, data=replace(protocol.data, dim=splits.train.dim))


def check_stored_features(protocol: Protocol, splits: Splits) -> None:
    """Raises :class:`InputError` where the folder cannot be what ``[train]`` and ``[model]`` ask for."""
    train = splits.train
    if not isinstance(train, FeatureDataset):
        return
    asked = _asks_a_subset(protocol.train)
    if asked and not train.whole_pool:
        raise InputError(
            f"{asked} draws from all images of the source, and {splits.origin} holds features of a part "
            'of them; use profile = "all" without it, or extract the whole pool'
        )
    if protocol.model.init == "text" and train.text is None:
        raise InputError(
            f'model.init = "text" needs features of the class names, and {splits.origin} has no '
            "heads.safetensors"
        )


def _asks_a_subset(config: TrainConfig) -> str:
    if config.holdout_share > 0:
        return f"train.holdout = {config.holdout:g}" if config.holdout != "val" else ""
    return "" if config.profile == "all" else f'train.profile = "{config.profile}"'


def refuse_on_features(
    row: ResolvedRow, method: Method[Any], protocol: Protocol, splits: Splits | None, mode: str
) -> None:
    """Raises :class:`InputError`, one line, for a row that needs images or a network below its heads, and,
    of images, for one that needs features."""
    if method.needs_text:
        _refuse_without_text(row, protocol, splits)
    if protocol.data.source != FEATURES:
        return
    if mode == "augmented":
        raise InputError("mode 'augmented' augments test images; frozen features have none")
    if "network" in row.needs:
        raise InputError(f"{row.label}: adapts BatchNorm; frozen features have none")
    _refuse_training(row, method)
    if splits is None:
        return
    test = splits.test
    assert isinstance(test, FeatureDataset)
    experts = method.architecture().experts
    if test.sets not in (1, experts):
        raise InputError(
            f"{row.label}: {splits.origin} has {test.sets} feature sets, one an expert, and "
            f"{row.method.name} has {experts} experts"
        )
    if "views" in row.needs and test.live is None:
        _check_pairs(row, test, protocol, splits.origin)


def _refuse_without_text(row: ResolvedRow, protocol: Protocol, splits: Splits | None) -> None:
    """Features of names mean something beside features of images as the encoder gives them, only there."""
    needs = f"{row.label}: method {row.method.name!r} needs features of the class names"
    model = protocol.model
    if protocol.data.source != FEATURES:
        raise InputError(f"{needs}, which source {protocol.data.source!r} has not")
    if (
        splits is not None
        and isinstance(splits.train, FeatureDataset)
        and splits.train.text is None
    ):
        raise InputError(f"{needs}, and {splits.origin} has no heads.safetensors")
    for name, value, right in (
        ("input", model.input, ("none", "l2")),
        ("adapter", model.adapter, (0,)),
    ):
        if value not in right:
            raise InputError(
                f"{needs} beside those of images as they are; model.{name} = {value!r} changes the latter"
            )


def _refuse_training(row: ResolvedRow, method: Method[Any]) -> None:
    for phase in method.phases():
        if phase.views != ("recipe",):
            raise InputError(
                f"{row.label}: method {row.method.name!r} asks for the views "
                f"{', '.join(phase.views)} of each image; frozen features have none"
            )
    if method.needs_images:
        raise InputError(
            f"{row.label}: method {row.method.name!r} works on pixels; frozen features have none"
        )
    if method.architecture().share == "features":
        raise InputError(
            f"{row.label}: the experts of method {row.method.name!r} are BatchNorms of a feature map; "
            "frozen features have none"
        )


def _check_pairs(row: ResolvedRow, test: FeatureDataset, protocol: Protocol, origin: str) -> None:
    wanted = protocol.views.pairs
    if test.pairs < wanted:
        raise InputError(
            f"{row.label}: strategy {row.strategy.name!r} needs {wanted} pairs of views (views.pairs), and "
            f"{origin} stores {test.pairs}"
        )
    if test.views != views_identity(protocol.views):
        raise InputError(
            f"{row.label}: the stored pairs of views of {origin} were rendered by other settings than "
            "the protocol's [views]"
        )
