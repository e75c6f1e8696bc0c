"""The networks of timm without their classifier: ``timm:vit_base_patch16_224.augreg_in21k``."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from ltbench.encoder import Encoder, EncoderRequest, LoadedEncoder, Preprocessing
from ltbench.errors import InputError, nearest


class Timm(Encoder):
    """Pooled features as ``forward_features`` and ``forward_head(pre_logits=True)`` give them."""

    name, title = "timm", "A network of timm, before its classifier"
    licence = "code Apache-2.0; weights as their page at the hub says"
    url = "https://huggingface.co/timm"
    requires, extra = ("timm",), "timm"
    family = True
    takes: ClassVar[tuple[Literal["weights", "revision"], ...]] = ("weights", "revision")

    def load(self, request: EncoderRequest) -> LoadedEncoder:
        import timm
        import torch

        from ltbench.encoders.weights import fill, read_weights

        architecture = request.member.partition(".")[0]
        if not timm.is_model(architecture):
            raise InputError(
                f"timm {timm.__version__} has no network {architecture!r}"
                f"{nearest(architecture, timm.list_models())}"
            )
        with torch.random.fork_rng(devices=[]):
            try:
                network = timm.create_model(request.member, pretrained=False, num_classes=0)
            except RuntimeError as error:  # an unknown tag behind the dot
                raise InputError(f"timm:{request.member}: {str(error).splitlines()[0]}") from None
        assert request.weights is not None
        heads = network.pretrained_cfg.get("classifier") or ()
        names = (heads,) if isinstance(heads, str) else tuple(heads)
        unused = tuple(f"{name}." for name in names)
        fill(network, read_weights(request.weights), request.weights, unused)
        config = timm.data.resolve_model_data_config(network)
        crop = int(config["input_size"][1])
        kind: Any = config["interpolation"]
        if kind == "random":  # of training
            kind = "bilinear"
        preprocessing = Preprocessing(
            int(crop / config["crop_pct"]),
            crop,
            kind,
            True,
            tuple(config["mean"]),
            tuple(config["std"]),
        )
        return LoadedEncoder(network, preprocessing, library=("timm", str(timm.__version__)))

    def hub(self, member: str) -> tuple[str, str]:
        import timm

        found = timm.get_pretrained_cfg(member, allow_unregistered=False)
        repository = found.hf_hub_id if found is not None else None
        if not repository:
            raise InputError(f"timm:{member} has no repository at the hub; give --weights FILE")
        return repository, "model.safetensors"
