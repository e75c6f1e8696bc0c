"""The classification networks of torchvision without their last layer: ``torchvision:resnet50``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from ltbench.encoder import Encoder, EncoderRequest, LoadedEncoder, Preprocessing
from ltbench.errors import InputError, nearest

if TYPE_CHECKING:
    from torch import nn

_HEADS = ("fc", "classifier", "heads", "head")
_LAYER = re.compile(r"^(.*denselayer\d+\.(?:norm|conv))\.([12]\.\w+)$")
"""Names in the published files of DenseNets, which are older than the class."""
_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


class Torchvision(Encoder):
    """What the last linear layer of the classifier is given, whatever number of classes it had."""

    name, title = "torchvision", "A classification network of torchvision, before its last layer"
    licence = "code BSD-3-Clause; weights as their file's authors say"
    url = "https://docs.pytorch.org/vision/stable/models.html"
    family = True
    takes: ClassVar[tuple[Literal["weights", "revision"], ...]] = ("weights",)

    def load(self, request: EncoderRequest) -> LoadedEncoder:
        import torch
        import torchvision
        from torchvision.models import get_model, list_models

        from ltbench.encoders.weights import fill, read_weights

        known = list_models(module=torchvision.models)
        if request.member not in known:
            raise InputError(
                f"torchvision has no classification network {request.member!r}"
                f"{nearest(request.member, known)}"
            )
        assert request.weights is not None
        with torch.random.fork_rng(devices=[]):
            network = get_model(request.member, weights=None, **_quick(request.member))
        head = _without_last_layer(network, request.member)
        state = {_LAYER.sub(r"\1\2", k): v for k, v in read_weights(request.weights).items()}
        fill(network, state, request.weights, (head, "AuxLogits.", "aux1.", "aux2."))
        preprocessing = _published(request.member, request.sha256)
        version = str(torchvision.__version__)
        return LoadedEncoder(network, preprocessing, library=("torchvision", version))


def _quick(member: str) -> dict[str, Any]:
    """These two would draw truncated normal numbers for minutes, and warn of it; their published weights
    expect inputs that the network itself normalises once more."""
    if member in ("googlenet", "inception_v3"):
        return {"init_weights": False, "aux_logits": False, "transform_input": True}
    return {}


def _without_last_layer(network: nn.Module, member: str) -> str:
    """Puts the identity in its place; how its names in a file begin."""
    from torch import nn

    for top in _HEADS:
        within = getattr(network, top, None)
        if not isinstance(within, nn.Module):
            continue
        linear = [name for name, module in within.named_modules() if isinstance(module, nn.Linear)]
        if linear:
            path = ".".join(filter(None, (top, linear[-1])))
            holder, _, last = path.rpartition(".")
            setattr(network.get_submodule(holder), last, nn.Identity())
            return f"{path}."
    raise InputError(
        f"torchvision:{member} ends with no linear layer ({', '.join(_HEADS)}); write an encoder for it"
    )


def _published(member: str, sha256: str) -> Preprocessing:
    """Of the published weights with this digest, of which torchvision's file names hold the beginning;
    of other files that of the network's first published weights."""
    from torchvision.models import get_model_weights

    published = list(get_model_weights(member))
    own = [w for w in published if str(w.url).rpartition("-")[2].removesuffix(".pth") == sha256[:8]]
    if not published:
        return Preprocessing(256, 224, "bilinear", True, *_IMAGENET)
    made = (own or published)[0].transforms()
    interpolation = made.interpolation.value
    return Preprocessing(
        int(made.resize_size[0]),
        int(made.crop_size[0]),
        interpolation,
        bool(made.antialias),
        tuple(made.mean),
        tuple(made.std),
    )
