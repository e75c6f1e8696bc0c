"""The image encoders of OpenCLIP and the texts of their classes: ``open_clip:ViT-B-16/laion2b_s34b_b88k``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from ltbench.encoder import Encoder, EncoderRequest, LoadedEncoder, Preprocessing
from ltbench.errors import InputError, nearest

if TYPE_CHECKING:
    from torch import Tensor, nn

PRE_PROJECTION = "pre-projection"


class OpenClip(Encoder):
    """``embedding``: as ``encode_image`` gives it, not normalised; ``pre-projection``: before the matrix that
    leads into the space of the texts, which LIFT's classifiers are trained on (``ViT`` only).

    ``NAME/TAG`` names published weights, which decide the activation (OpenAI's need ``quick_gelu``), mean
    and deviation; ``NAME`` alone is the architecture with OpenAI's mean and deviation.
    """

    name, title = "open_clip", "The image encoder of a CLIP network of OpenCLIP"
    licence = "code MIT; weights as their page at the hub says"
    url = "https://github.com/mlfoundations/open_clip"
    requires, extra = ("open_clip",), "open-clip"
    family = True
    takes: ClassVar[tuple[Literal["weights", "revision"], ...]] = ("weights", "revision")
    outputs: ClassVar[tuple[str, ...]] = ("embedding", PRE_PROJECTION)

    def load(self, request: EncoderRequest) -> LoadedEncoder:
        import open_clip
        import torch

        from ltbench.encoders.weights import fill, read_weights

        model, config = _published(request.member)
        with torch.random.fork_rng(devices=[]):
            clip: nn.Module = open_clip.create_model(
                model,
                load_weights=False,
                force_quick_gelu=bool(config.get("quick_gelu", False)),
                pretrained_text=False,
            )
        assert request.weights is not None
        fill(clip, read_weights(request.weights), request.weights, ())
        clip.eval()
        tokenizer = open_clip.get_tokenizer(model)
        visual: Any = clip.visual
        project = _take_projection(visual, request) if request.output == PRE_PROJECTION else None

        def text(prompts: Sequence[str]) -> Tensor:
            with torch.inference_mode():
                encode: Any = clip.encode_text
                found: Tensor = torch.nn.functional.normalize(
                    encode(tokenizer(list(prompts))), dim=1
                )
                # Of pre-projection features f the logits are (f P) . t = f . (P t).
                found = found if project is None else found @ project.T
                return torch.nn.functional.normalize(found, dim=1)

        size = visual.image_size
        side = int(size if isinstance(size, int) else size[0])
        default = open_clip.get_model_preprocess_cfg(clip)
        preprocessing = Preprocessing(
            side,
            side,
            config.get("interpolation", "bicubic"),
            True,
            tuple(config.get("mean", default["mean"])),
            tuple(config.get("std", default["std"])),
        )
        library = ("open_clip", str(open_clip.__version__))
        return LoadedEncoder(visual, preprocessing, library=library, text=text)

    def hub(self, member: str) -> tuple[str, str]:
        _, config = _published(member)
        repository = str(config.get("hf_hub", "")).strip("/")
        if not repository:
            raise InputError(
                f"open_clip:{member} names no repository at the hub; give NAME/TAG or --weights FILE"
            )
        return repository, "open_clip_model.safetensors"


def _published(member: str) -> tuple[str, dict[str, Any]]:
    """The architecture and what OpenCLIP says of the weights of this tag."""
    import open_clip

    model, slash, tag = member.partition("/")
    known = open_clip.list_models()
    if model not in known:
        raise InputError(f"open_clip has no network {model!r}{nearest(model, known)}")
    if not slash:
        return model, {}
    tags = open_clip.list_pretrained_tags_by_model(model)
    if tag not in tags:
        raise InputError(
            f"open_clip:{model} has no weights {tag!r} (there are: {', '.join(tags) or 'none'})"
        )
    return model, dict(open_clip.get_pretrained_cfg(model, tag))


def _take_projection(visual: Any, request: EncoderRequest) -> Tensor:
    """Removes the matrix (W, D) of a vision transformer and returns it."""
    from torch import Tensor

    found = getattr(visual, "proj", None)
    if not isinstance(found, Tensor):
        raise InputError(
            f"open_clip:{request.member} has no projection matrix behind its image features; "
            "--output embedding"
        )
    visual.proj = None
    return found.detach().clone()
