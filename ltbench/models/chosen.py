"""From the ``[model]`` of a protocol to the backbone that it names."""

from __future__ import annotations

from collections.abc import Sequence

from ltbench.backbone import ChosenBackbone
from ltbench.errors import LtbenchError
from ltbench.protocol.protocol import Protocol
from ltbench.registry import load_backbones


def chosen_backbone(protocol: Protocol, plugins: Sequence[str] = ()) -> ChosenBackbone:
    """``plugins``: the ``--plugin`` files. Raises :class:`LtbenchError` where its code is another one now."""
    plugin = load_backbones(plugins).get(protocol.model.backbone)
    if plugin.digest != protocol.backbone_code:
        raise LtbenchError(
            f"the code of backbone {plugin.name!r} changed since the plan was made; run it again "
            "(from Python: in a new process)"
        )
    return ChosenBackbone.of(plugin.cls, protocol.model.shared)
