"""timm and OpenCLIP, with random weights in local files; skipped where they are not installed."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

from ltbench.encoders import load as module
from ltbench.encoders.encode import Encode
from ltbench.encoders.load import load_encoder
from ltbench.errors import InputError, LtbenchError

IMAGES = np.random.RandomState(1).randint(0, 256, (2, 3, 32, 32)).astype(np.uint8)
CPU = torch.device("cpu")


def needs(name: str) -> pytest.MarkDecorator:
    absent = importlib.util.find_spec(name) is None
    return pytest.mark.skipif(
        absent, reason=f"{name} is not installed (pip install 'ltbench[...]')"
    )


def stored(network: nn.Module, file: Path) -> Path:
    save_file({k: v.contiguous().clone() for k, v in network.state_dict().items()}, file)
    return file


@pytest.fixture
def resnet(tmp_path: Path) -> tuple[Any, Path]:
    import timm

    torch.manual_seed(0)
    network = timm.create_model("resnet10t", pretrained=False).eval()
    return network, stored(network, tmp_path / "resnet10t.safetensors")


@needs("timm")
def test_a_network_of_timm_gives_its_features_before_the_classifier(
    resnet: tuple[Any, Path],
) -> None:
    network, file = resnet
    chosen = load_encoder("timm:resnet10t", weights=file)
    made = chosen.loaded.preprocessing
    assert (made.resize, made.crop, made.interpolation) == (201, 176, "bicubic")
    assert chosen.loaded.library[0] == "timm"
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = network.forward_head(network.forward_features(x), pre_logits=True)
        assert torch.equal(chosen.loaded.network.eval()(x), expected)
    assert Encode(chosen, CPU)(IMAGES).shape == (2, 512)


@needs("timm")
def test_a_revision_is_downloaded_as_a_file_and_told_by_its_digest(
    resnet: tuple[Any, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, file = resnet
    asked = []

    def download(repository: str, name: str, revision: str) -> str:
        asked.append((repository, name, revision))
        return str(file)

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    chosen = load_encoder("timm:resnet10t", revision="a1b2")
    assert asked == [("timm/resnet10t.c3_in1k", "model.safetensors", "a1b2")]
    assert chosen.loaded.weights == f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"

    def offline(*_: object, **__: object) -> str:
        raise OSError("no route\nto host")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", offline)
    with pytest.raises(
        LtbenchError, match="at revision a1b2 cannot be had: OSError: no route"
    ) as e:
        load_encoder("timm:resnet10t", revision="a1b2")
    assert "\n" not in str(e.value)


@needs("timm")
@pytest.mark.parametrize("member", ["resnet10x", "resnet10t.no_such_tag"])
def test_an_unknown_network_of_timm_is_one_line(member: str, resnet: tuple[Any, Path]) -> None:
    with pytest.raises(InputError, match="timm") as told:
        load_encoder(f"timm:{member}", weights=resnet[1])
    assert "\n" not in str(told.value)


@pytest.fixture
def clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Path]:
    """A CLIP network that is small enough to be written in a test."""
    import open_clip

    config = tmp_path / "tiny-clip.json"
    config.write_text(
        '{"embed_dim": 16, "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "patch_size": 16},'
        ' "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1}}'
    )
    open_clip.add_model_config(config)
    torch.manual_seed(0)
    network = open_clip.create_model("tiny-clip", load_weights=False).eval()
    return network, stored(network, tmp_path / "clip.safetensors")


@needs("open_clip")
def test_open_clip_before_and_behind_its_projection(clip: tuple[Any, Path]) -> None:
    network, file = clip
    embedding = load_encoder("open_clip:tiny-clip", weights=file)
    before = load_encoder("open_clip:tiny-clip", weights=file, output="pre-projection")
    assert (embedding.output, before.output) == ("embedding", "pre-projection")
    assert embedding.loaded.preprocessing.resize == 32
    x = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = network.encode_image(x)
        assert torch.equal(embedding.loaded.network.eval()(x), expected)
        wide = before.loaded.network.eval()(x)
        assert wide.shape == (2, 64)
        assert (wide @ network.visual.proj - expected).abs().max() < 1e-5


@needs("open_clip")
def test_open_clip_texts_are_taken_back_through_the_projection(clip: tuple[Any, Path]) -> None:
    """Before it a text t is P t, of length 1 again, as LIFT starts its classifiers."""
    import open_clip

    network, file = clip
    prompts = [f"a photo of a {name}." for name in ("cat", "dog", "owl")]
    with torch.no_grad():
        expected = F.normalize(
            network.encode_text(open_clip.get_tokenizer("tiny-clip")(prompts)), dim=1
        )
    embedding = load_encoder("open_clip:tiny-clip", weights=file).loaded
    before = load_encoder("open_clip:tiny-clip", weights=file, output="pre-projection").loaded
    assert embedding.text is not None
    assert before.text is not None
    assert (embedding.text(prompts) - expected).abs().max() < 1e-6
    projected = F.normalize(expected @ network.visual.proj.T, dim=1)
    assert (before.text(prompts) - projected).abs().max() < 1e-6
    assert ((before.text(prompts).norm(dim=1) - 1).abs() < 1e-6).all()


@needs("open_clip")
@pytest.mark.parametrize(
    ("member", "told"),
    [
        ("ViT-B-61", r"no network 'ViT-B-61'; did you mean"),
        ("ViT-B-16/mine", r"open_clip:ViT-B-16 has no weights 'mine' \(there are: .*laion2b"),
    ],
)
def test_an_unknown_network_of_open_clip_is_one_line(
    member: str, told: str, clip: tuple[Any, Path]
) -> None:
    with pytest.raises(InputError, match=told):
        load_encoder(f"open_clip:{member}", weights=clip[1])


@pytest.mark.parametrize(("name", "extra"), [("timm", "timm"), ("open_clip", "open-clip")])
def test_a_library_that_is_not_there_is_one_line(
    name: str, extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "a.safetensors"
    save_file({"a": torch.zeros(1)}, file)
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(InputError, match=rf"needs {name}, .*pip install 'ltbench\[{extra}\]'") as e:
        module.load_encoder(f"{name}:anything", weights=file)
    assert "\n" not in str(e.value)
