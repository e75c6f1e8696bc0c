"""From the ``[model]`` of a protocol to the backbone that it names."""

from __future__ import annotations

from collections.abc import Sequence

from ltbench.backbone import ChosenBackbone, FeatureModel
from ltbench.errors import InputError, LtbenchError
from ltbench.protocol.protocol import FROZEN, Protocol
from ltbench.registry import load_backbones


def chosen_backbone(protocol: Protocol, plugins: Sequence[str] = ()) -> ChosenBackbone:
    """``plugins``: the ``--plugin`` files. Raises :class:`LtbenchError` where its code is another one now."""
    plugin = load_backbones(plugins).get(protocol.model.backbone)
    if plugin.digest != protocol.backbone_code:
        raise LtbenchError(
            f"the code of backbone {plugin.name!r} changed since the plan was made; run it again "
            "(from Python: in a new process)"
        )
    if plugin.name == FROZEN:
        return ChosenBackbone(plugin.cls, 0, feature_model(protocol))
    return ChosenBackbone.of(plugin.cls, protocol.model.shared)


def feature_model(protocol: Protocol) -> FeatureModel:
    """The heads of ``[model]``; raises :class:`InputError` where nobody knows yet how long features are."""
    model, dim = protocol.model, protocol.data.dim
    if dim is None:
        raise InputError(
            f"{protocol.name}: how long its features are is not known without their folder; state "
            "data.dim, or name it with --data-dir"
        )
    return FeatureModel(dim, model.input, model.head, model.scale, model.head_bias, model.adapter)
